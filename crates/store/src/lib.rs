//! The embedded store: Parquet on object_store, read back by trace and time
