//! Telemetry to Parquet rows and back
