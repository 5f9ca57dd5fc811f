//! Configuration: text in, a checked document out, every problem at once with its line and its remedy.
//!
//! | file | what |
//! |---|---|
//! | `tree.rs` | YAML text → values that know their lines |
//! | `interpolate.rs` | `${VAR}` and `${file:PATH}` in string leaves, after parsing |
//! | `validate.rs` | a value against a JSON schema: unknown keys, wrong types, bad values, all of them |
//! | `reference.rs` | a JSON schema → a page for operators |
//!
//! Invariants: pure but for the look-ups that the caller hands in; knows no component. The binary puts the schemas of its
//! receivers and sinks together and hands the result in, so a new component changes nothing here.

mod interpolate;
mod reference;
mod tree;
mod validate;

pub use interpolate::{Lookup, Surroundings};
pub use reference::page;
pub use tree::{Document, Problems, parse};
pub use validate::validate;
