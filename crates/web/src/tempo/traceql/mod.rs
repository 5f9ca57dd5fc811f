//! The part of TraceQL that is understood: one pair of braces with comparisons, `&&`, `||` and parentheses, and `| select(…)`.
//! Everything else is refused with the name of what is not supported; nothing is left out silently.
//!
//! | file | what |
//! |---|---|
//! | `words.rs` | text to words |
//! | `field.rs` | what can be compared |
//! | `parse.rs` | words to a filter |

mod field;
mod parse;
mod words;

use rows::Filter;

pub(super) use field::{Field, INTRINSICS};

/// A query, understood.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// What a span must be.
    pub(super) filter: Filter,
    /// What the query names, to be shown of each span.
    pub(super) fields: Vec<Field>,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong with it or not supported, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::query(text).map_err(|error| format!("invalid TraceQL query: {error}"))
    }
}
