//! The journal from outside: on a simulated disk, and on the real one where it matters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod basics;
mod damage;
mod faults;
mod forks;
mod model;
mod support;
