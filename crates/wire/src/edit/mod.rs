//! Leaving items out of a request and changing texts in it, without decoding it: the request is walked once, an `Editor` is
//! asked about every item, attribute and text, and only what it changes is written anew. Where it changes nothing there is
//! nothing new.
//!
//! | file | what |
//! |---|---|
//! | `script.rs` | the list of edits, and applying it |
//! | `otlp.rs`, `rw.rs` | the walks |
//! | `values.rs` | attributes and their values |
//!
//! Wrappers whose items are all left out go with them; wrappers that had none stay. Unknown fields stay. Data of a metric
//! that later data of another type overrides (protobuf encoding spec, "Oneofs") is no item and goes.

mod otlp;
mod rw;
mod script;
mod values;

use crate::{Layout, Signal, WireError};
use script::Script;

/// Decides what becomes of a request.
pub trait Editor {
    /// What is to be asked at all; the rest is passed over.
    fn wants(&self) -> Wants;

    /// Whether an item stays. Asked once for all items of a remote-write series.
    ///
    /// # Errors
    /// The item cannot be read.
    fn judge(&mut self, item: &Item<'_>) -> Result<Fate, WireError>;

    /// What is to happen to the attribute `key`.
    fn attribute(&mut self, place: Place, key: &str) -> Treatment;

    /// The text that takes the place of `text`; `None` where it stays.
    fn text(&mut self, how: How, text: &str) -> Option<String>;
}

/// What an editor is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// `judge`.
    pub items: bool,
    /// `attribute`, and `text` for the values of attributes.
    pub attributes: bool,
    /// `text` for what is no attribute: bodies, names of spans and events, messages of statuses.
    pub texts: bool,
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Keep,
    /// It is not wanted.
    Filter,
    /// It is not in the sample.
    Sample,
    /// It is given in another form.
    Other,
}

/// Where an attribute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At a resource.
    Resource,
    /// At an instrumentation scope.
    Scope,
    /// At a span, an event, a link or a log record.
    Item,
    /// At a data point or a remote-write series, whose identity it is part of, or in a metric's own metadata.
    Series,
    /// At an exemplar.
    Exemplar,
    /// In a map that is a value or a body.
    Inside,
}

/// What is to happen to an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It stays as it is.
    Leave,
    /// It goes. Only attributes can go: in a map, and in the name of a series, it stays.
    Remove,
    /// `Editor::text` is asked for each text in it.
    Ask(How),
}

/// How a text is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// What must not be seen is looked for in it.
    Search,
    /// The whole of it must not be seen, by the rule of this number.
    Seal(u16),
}

/// An item with what stands above it, all as bytes of their messages.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What it is.
    pub kind: Kind,
    /// The item; for a series the whole of it.
    pub raw: &'a [u8],
    /// Its resource.
    pub resource: &'a [u8],
    /// Its instrumentation scope.
    pub scope: &'a [u8],
    /// Its metric.
    pub metric: &'a [u8],
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An OTLP span.
    Span,
    /// An OTLP log record.
    Log,
    /// An OTLP data point, with the number of the field that holds its attributes.
    Point(u32),
    /// All samples, histograms and exemplars of a remote-write series.
    Series,
    /// A remote-write metadata entry.
    Metadata,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edited {
    /// The new bytes; `None` where nothing changed.
    pub plain: Option<Vec<u8>>,
    /// The numbers of the items that stay, in the order of `batch::count`; `None` where all do.
    pub kept: Option<Vec<u32>>,
    /// Items of the request as it came.
    pub items: u32,
    /// Items that were filtered.
    pub filtered: u32,
    /// Items that were not sampled.
    pub sampled: u32,
    /// Items that are given in another form.
    pub other: u32,
}

/// Walks the request `plain` and asks `editor`.
///
/// # Errors
/// The bytes are no request of this layout, as far down as the editor wants to know, or it answered an error.
pub fn edit(
    signal: Signal,
    layout: Layout,
    plain: &[u8],
    editor: &mut impl Editor,
) -> Result<Edited, WireError> {
    let mut walk = Walk::new(editor);
    match layout {
        Layout::Otlp => walk.request(signal, plain)?,
        Layout::RemoteWrite => walk.write_request(plain)?,
    }
    let all = walk.tally.filtered + walk.tally.sampled + walk.tally.other == 0;
    Ok(Edited {
        plain: (!walk.script.is_empty()).then(|| walk.script.apply(plain)),
        kept: (!all).then_some(walk.tally.kept),
        items: walk.tally.next,
        filtered: walk.tally.filtered,
        sampled: walk.tally.sampled,
        other: walk.tally.other,
    })
}

/// A walk under way.
struct Walk<'e, E> {
    editor: &'e mut E,
    wants: Wants,
    script: Script,
    tally: Tally,
}

/// What was counted so far.
#[derive(Debug, Default)]
struct Tally {
    /// The number of the next item.
    next: u32,
    kept: Vec<u32>,
    filtered: u32,
    sampled: u32,
    other: u32,
}

impl<'e, E: Editor> Walk<'e, E> {
    fn new(editor: &'e mut E) -> Self {
        let wants = editor.wants();
        Self { editor, wants, script: Script::default(), tally: Tally::default() }
    }

    fn judge(&mut self, item: &Item<'_>) -> Result<Fate, WireError> {
        if self.wants.items { self.editor.judge(item) } else { Ok(Fate::Keep) }
    }
}

impl Tally {
    /// Counts `items` of one fate.
    fn count(&mut self, fate: Fate, items: u32) {
        match fate {
            Fate::Keep => self.kept.extend(self.next..self.next + items),
            Fate::Filter => self.filtered += items,
            Fate::Sample => self.sampled += items,
            Fate::Other => self.other += items,
        }
        self.next += items;
    }

    /// Whether items went since `before` and none stayed.
    fn emptied(&self, before: (u32, usize)) -> bool {
        self.next > before.0 && self.kept.len() == before.1
    }

    fn mark(&self) -> (u32, usize) {
        (self.next, self.kept.len())
    }
}

#[cfg(test)]
mod tests;
