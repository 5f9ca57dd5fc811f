//! A list of edits to a message's bytes, in order, made while it is walked and applied in one go.
//!
//! The length before a message depends on what is edited in it. So its place in the list is kept when the message is
//! opened, and filled in when it is closed, or taken back when nothing in it was edited.

use std::ops::Range;

use crate::put;
use crate::walk::Field;

/// Edits to one message. Positions are those of the message as it came, and only rise.
#[derive(Debug, Default)]
pub(super) struct Script {
    edits: Vec<Edit>,
    /// What is put in, one edit's after the other's.
    fresh: Vec<u8>,
    /// By how much the edits so far make the message longer.
    growth: i64,
}

#[derive(Debug)]
struct Edit {
    from: Range<usize>,
    /// The bytes of `fresh` that take its place; not known yet for the head of a message that is open.
    with: Option<Range<usize>>,
}

/// A message inside the message, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    number: u32,
    /// The whole field, tag included.
    field: Range<usize>,
    /// Where its content begins.
    pub(super) content: usize,
    edits: usize,
    fresh: usize,
    growth: i64,
}

impl Script {
    /// Opens the message in `field`, which stands at `base` and holds `content`.
    pub(super) fn open(&mut self, base: usize, field: &Field<'_>, content: &[u8]) -> Opened {
        let end = base + field.end;
        let opened = Opened {
            number: field.number,
            field: base + field.start..end,
            content: end - content.len(),
            edits: self.edits.len(),
            fresh: self.fresh.len(),
            growth: self.growth,
        };
        self.edits.push(Edit { from: opened.field.start..opened.content, with: None });
        opened
    }

    /// Closes what was opened last.
    pub(super) fn close(&mut self, opened: &Opened) {
        if self.edits.len() == opened.edits + 1 {
            self.edits.truncate(opened.edits);
            return;
        }
        let before = (opened.field.end - opened.content) as i64;
        let length = before + self.growth - opened.growth;
        let start = self.fresh.len();
        put::varint(&mut self.fresh, u64::from(opened.number) << 3 | 2);
        // No edit takes out more than there is.
        put::varint(&mut self.fresh, length.max(0) as u64);
        let with = start..self.fresh.len();
        let head = &mut self.edits[opened.edits];
        self.growth += with.len() as i64 - head.from.len() as i64;
        head.with = Some(with);
    }

    /// Takes out the whole of what was opened last, whatever was edited in it, and closes it.
    pub(super) fn close_removed(&mut self, opened: &Opened) {
        self.edits.truncate(opened.edits);
        self.fresh.truncate(opened.fresh);
        self.growth = opened.growth;
        self.remove(opened.field.clone());
    }

    /// Takes `from` out.
    pub(super) fn remove(&mut self, from: Range<usize>) {
        self.growth -= from.len() as i64;
        match self.edits.last_mut() {
            Some(last) if last.from.end == from.start && last.is_removal() => last.from.end = from.end,
            _ => self.edits.push(Edit { from, with: Some(0..0) }),
        }
    }

    /// Puts the length-delimited field `number` with `value` in the place of `from`.
    pub(super) fn replace(&mut self, from: Range<usize>, number: u32, value: &[u8]) {
        let start = self.fresh.len();
        put::bytes(&mut self.fresh, number, value);
        let with = start..self.fresh.len();
        self.growth += with.len() as i64 - from.len() as i64;
        self.edits.push(Edit { from, with: Some(with) });
    }

    /// Whether nothing is edited.
    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The message with all edits made.
    pub(super) fn apply(&self, message: &[u8]) -> Vec<u8> {
        let room = message.len() as i64 + self.growth;
        let mut out = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        let mut at = 0;
        for edit in &self.edits {
            out.extend_from_slice(&message[at..edit.from.start]);
            out.extend_from_slice(&self.fresh[edit.with.clone().unwrap_or(0..0)]);
            at = edit.from.end;
        }
        out.extend_from_slice(&message[at..]);
        out
    }
}

impl Edit {
    fn is_removal(&self) -> bool {
        self.with.as_ref().is_some_and(Range::is_empty)
    }
}
