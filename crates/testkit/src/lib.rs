//! Dev only: sample payloads, fake peers, processes under test, real-server launchers.

pub mod peer;
pub mod process;
pub mod sample;
pub mod server;

pub use sample::sample;
