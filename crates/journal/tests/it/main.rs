//! The journal from outside: on a simulated disk, and on the real one where it matters.

mod basics;
mod damage;
mod faults;
mod model;
mod support;
