//! What clients speak: one file a protocol, one row in the table, and the front door that all of them share.
//!
//! | file | what |
//! |---|---|
//! | `table.rs` | the rows: name, paths, settings, example of every receiver |
//! | `settings.rs` | the front door's settings |
//! | `server.rs`, `connection.rs` | sockets: binding, accepting, HTTP/1 and HTTP/2, slow clients, the drain |
//! | `door.rs`, `auth.rs` | paths, and the one gate before all of them |
//! | `body.rs`, `decode.rs`, `media.rs` | reading and inflating bodies in leased memory; headers that describe them |
//! | `receiver.rs` | what every protocol does alike, and what it is given |
//! | `otlp.rs`, `otlp_http.rs`, `otlp_grpc.rs` | OpenTelemetry |
//! | `remote_write.rs` | Prometheus remote-write 1.0 and 2.0 |
//! | `logpush.rs`, `logpush_url.rs` | Cloudflare Logpush, and what its URLs say |
//! | `stream.rs`, `pieces.rs` | large bodies inflated step by step and cut at line ends |
//! | `kong.rs` | Kong's http-log |
//! | `meter.rs`, `reply.rs` | counters; plain answers |
//!
//! Invariants:
//! - A success is answered only after `Submit::submit` resolved: the journal has the data.
//! - No body byte is read before the gate has let the request in and memory for it is leased; leases end with the answer.
//! - Receivers know the intake and nothing behind it. Bodies stay bytes: nothing here decodes a record.
//! - Each protocol has one function that turns a refusal into its status, and no other place does.

mod auth;
mod body;
mod connection;
mod decode;
mod door;
mod kong;
mod logpush;
mod logpush_url;
mod media;
mod meter;
mod otlp;
mod otlp_grpc;
mod otlp_http;
mod pieces;
mod receiver;
mod remote_write;
mod reply;
mod server;
pub mod settings;
mod stream;
mod table;

pub use auth::{Auth, BoundToken, Caller, Credentials, Gate, Token, User};
pub use door::{Door, Routes};
pub use receiver::Context;
pub use server::{BindError, Bound, Server};
pub use settings::Settings;
pub use table::{Check, CheckedReceiver, ROWS, ReceiverRow, clashes};
