//! One JSON document for each item of a parcel, for peers that store documents: written straight into a buffer from the views,
//! without a tree in between.
//!
//! | file | what |
//! |---|---|
//! | `item.rs` | the items of a parcel one after the other, as views, and what is asked of any of them |
//! | `otel.rs` | OpenTelemetry's own names: `attributes.*`, `resource.attributes.*` |
//! | `ecs.rs`, `ecs_names.rs` | the names of the Elastic Common Schema |
//! | `raw.rs` | a log record's body as it was received, when that is a JSON object |
//! | `metric.rs` | what a metric point says, alike in both schemas |
//! | `json.rs` | JSON tokens, values of any kind, keys that cannot clash |
//!
//! What JSON cannot hold, in every mode: a number that is not finite is the string `"NaN"`, `"Infinity"` or `"-Infinity"`, and in a
//! metric point stands in a field of its own (`value_text` beside `value`), so that a peer's number fields stay numbers; bytes are base64,
//! ids hex, times RFC 3339 in UTC with nanoseconds. Of equal keys the last counts. A key that is also the beginning of another (`a` and `a.b`)
//! gets `.value` behind it, since peers read dots as objects; an empty part of a dotted key becomes `_`. Where a peer knows each field by one kind
//! of value (`Shape`), a list of several kinds is one of texts.

mod ecs;
mod ecs_names;
mod item;
mod json;
mod metric;
mod otel;
mod raw;

use pipeline::{BodyError, Parcel};
use schemars::JsonSchema;
use serde::Deserialize;
pub(crate) use wire::json::Lists;

pub(crate) use item::{Item, View};
use json::Out;

/// How a document is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// OpenTelemetry's names: `attributes.*`, `resource.attributes.*`, `scope.*`, `body`.
    #[default]
    Otel,
    /// Names of the Elastic Common Schema where it has one: `message`, `trace.id`, `service.name`, `http.*`. Other attributes go below
    /// `labels` and `numeric_labels`.
    Ecs,
    /// A log record whose body is a JSON object is that object as it was received, with `@timestamp` and `source` added; any
    /// other log record is its text as `message`. Spans and metrics are laid out as in `otel`.
    Raw,
}

/// How documents are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) mode: Mode,
    /// How lists are written in the attributes of items and resources, as far as these are named so in the document …
    pub(crate) attributes: Lists,
    /// … and everywhere else.
    pub(crate) others: Lists,
}

impl From<Mode> for Shape {
    fn from(mode: Mode) -> Self {
        Self { mode, attributes: Lists::AsTheyAre, others: Lists::AsTheyAre }
    }
}

/// Calls `each` with every item of the parcel and its document, in the parcel's order. A document has no line feed and no end of
/// line. May take milliseconds for a large parcel: run it on `SinkContext::workers`.
///
/// # Errors
/// A frame that cannot be read, named by its offset.
pub(crate) fn each(
    parcel: &Parcel,
    shape: impl Into<Shape>,
    mut each: impl FnMut(&Item<'_>, &[u8]),
) -> Result<(), BodyError> {
    let shape = shape.into();
    let mut out = Out::new(shape.attributes, shape.others);
    item::each(parcel, |item| {
        out.clear();
        write(item, shape.mode, &mut out)?;
        each(item, &out);
        Ok(())
    })
}

fn write(item: &Item<'_>, mode: Mode, out: &mut Out) -> Result<(), wire::WireError> {
    match (mode, &item.view) {
        (Mode::Raw, View::Log { record, .. }) => raw::write(item, record, out),
        (Mode::Otel | Mode::Raw, _) => otel::write(item, out),
        (Mode::Ecs, _) => ecs::write(item, out),
    }
}

#[cfg(test)]
mod tests;
