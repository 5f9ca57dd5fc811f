//! The auditor: sends items that are known by their number through a real gateway to real back ends, breaks things on the
//! way, reads every back end by its own query interface, and says what is missing, doubled, changed or made up.
//!
//! | file | what |
//! |---|---|
//! | `item.rs` | streams, and items by number and name |
//! | `content/` | what each item says: a pure function of its number |
//! | `value.rs`, `flatten.rs`, `text.rs` | fields with typed values, the form of every comparison |
//! | `send/`, `claims.rs` | the senders of the four inputs, and what they claim |
//! | `scenario.rs` | what goes wrong, as data |
//! | `backend.rs`, `backends/`, `table.rs` | the back ends: what each takes, how it is started and delivered to |
//! | `cannot_hold.rs` | what a back end may hold otherwise, as data |
//! | `read/` | what each back end has |
//! | `recorder.rs` | a server of our own behind sinks that deliver to whoever listens |
//! | `audit.rs` | what is there set against what was claimed |
//! | `books.rs`, `ledger.rs`, `letters.rs` | and against the gateway's books and dead letters |
//! | `drive.rs`, `peers.rs`, `gateway.rs` | one run |
//! | `report.rs` | the table |
//! | `prom.rs`, `json.rs` | Prometheus' messages; JSON with exact numbers |
//!
//! Invariants: no code is shared with the gateway, so that one misunderstanding cannot hide in both. What a back end may
//! hold otherwise than it was sent is data, and nothing else is allowed. Faults are due by counts, a minute without a
//! server apart, and the end of a run is seen in the ledger.

pub mod audit;
pub mod backend;
mod backends;
mod books;
pub mod cannot_hold;
pub mod claims;
pub mod content;
pub mod drive;
pub mod flatten;
pub mod gateway;
pub mod item;
pub mod json;
pub mod ledger;
pub mod letters;
mod peers;
mod prom;
pub mod read;
mod recorder;
pub mod report;
pub mod scenario;
pub mod send;
pub mod table;
mod text;
pub mod value;
