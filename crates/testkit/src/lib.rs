//! Dev only: sample payloads, fake peers, faulty ways to real ones, processes under test, real-server launchers.
//!
//! | file | what |
//! |---|---|
//! | `sample.rs` | the sample payloads under `samples/` |
//! | `peer/` | a fake peer that answers by script |
//! | `process.rs` | processes under test, and waiting for what they do |
//! | `server/` | real servers, started on free loopback ports |
//! | `proxy.rs` | a TCP proxy whose fault can be switched: delay, resets, half-open, slow, cut, refused |
//! | `faults.rs` | an HTTP proxy that answers some requests itself: 429, 503, hang-up, an answer lost |
//! | `disk.rs` | a small disk that can be filled |

mod background;
pub mod disk;
pub mod faults;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod sample;
pub mod server;

pub use sample::sample;
