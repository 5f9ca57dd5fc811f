//! The embedded store: Parquet files on `object_store`, searched by trace id and time.
//!
//! It is a sink that settles later. Parcels are gathered in memory, where they can be searched at once; a
//! range of the journal is written to files when there is enough of it, or when it has waited long enough. Four steps, each
//! of which may be the last before a crash:
//!
//! 1. the range's end is recorded with the courier (`Settler::begin`);
//! 2. its files are written, each whole and durable before it has its name;
//! 3. in one step, for all readers, the files take the place of the rows in memory;
//! 4. the range is settled: only now may the journal forget it.
//!
//! After a crash between 1 and 4 exactly this range is gathered and written again, to the same names; its files are not
//! shown until then. So every item is shown once, whenever the machine stops.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what the operator may set; the row in the table of sinks |
//! | `store.rs` | the store: a sink, its background task, its threads |
//! | `key.rs` | what files are called |
//! | `pending.rs`, `gather.rs` | rows in memory |
//! | `flush.rs` | rows to files |
//! | `resume.rs` | what to make of the files found at start |
//! | `index.rs`, `files.rs` | which files there are; the files themselves |
//! | `merge.rs`, `keep.rs` | merging small files; retention |
//! | `reader.rs`, `find.rs` | looking up by trace id and time |
//! | `search.rs`, `names.rs` | searching spans by what they are; which services, names and keys there are |
//! | `kept.rs` | what is kept of what was read |
//! | `measures.rs` | its own metrics |
//!
//! Invariants: nothing is settled that is not durable in a file; files are never changed, only written, replaced and deleted;
//! nothing blocks an async worker; no clock but the injected one. It knows nothing of HTTP or SQL.

mod error;
mod files;
mod find;
mod flush;
mod gather;
mod index;
mod keep;
mod kept;
mod key;
mod measures;
mod merge;
mod names;
mod pending;
mod reader;
mod resume;
mod search;
mod settings;
mod store;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use find::{Request, Scan, Scanned, Trace};
pub use names::{AttributeKeys, Operations};
pub use reader::Reader;
pub use search::{Calls, Extent, Hits, Search, Texts};
pub use settings::{ROW, Settings};
pub use store::Store;
