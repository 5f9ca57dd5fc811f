//! Where to cut a request so that every piece keeps its limits.

use std::ops::Range;

use super::{Level, Part};
use crate::walk::fields;
use crate::{Layout, Signal, WireError};

/// Ranges for `slice`, in order and without gaps, each of at most `max_items` items (at least one) and, unless it is a
/// single item, at most `max_bytes` bytes. A request without items has none.
///
/// # Errors
/// As `count`.
pub fn split(
    signal: Signal,
    layout: Layout,
    plain: &[u8],
    max_items: u32,
    max_bytes: usize,
) -> Result<Vec<Range<u32>>, WireError> {
    let mut splitter = Splitter {
        max_items: max_items.max(1),
        max_bytes,
        ranges: Vec::new(),
        first: 0,
        next: 0,
        bytes: 0,
        open: Vec::new(),
    };
    let level = Level::request(signal, layout);
    // The request's own fields go with the first piece.
    splitter.bytes = own_bytes(level, plain)?;
    splitter.message(level, plain)?;
    if splitter.next > splitter.first {
        splitter.ranges.push(splitter.first..splitter.next);
    }
    Ok(splitter.ranges)
}

struct Splitter {
    max_items: u32,
    max_bytes: usize,
    ranges: Vec<Range<u32>>,
    /// The first item of the piece at hand.
    first: u32,
    next: u32,
    /// At least the bytes of the piece at hand.
    bytes: usize,
    /// The wrappers around the place at hand, outermost first.
    open: Vec<Wrapper>,
}

struct Wrapper {
    /// At least the bytes that the wrapper adds to a piece, its items apart.
    bytes: usize,
    /// Whether the piece at hand has it already.
    counted: bool,
}

impl Splitter {
    fn message(&mut self, level: Level, message: &[u8]) -> Result<(), WireError> {
        let level = level.settle(message)?;
        for field in fields(message) {
            let field = field?;
            match level.part(&field) {
                Part::Item(_) => {
                    field.bytes()?;
                    self.item(field.end - field.start);
                }
                Part::Below(below) => {
                    let content = field.bytes()?;
                    // The framing of the whole wrapper is never shorter than that of a piece of it.
                    let framing = field.end - field.start - content.len();
                    let bytes = framing + own_bytes(below, content)?;
                    self.open.push(Wrapper { bytes, counted: false });
                    self.message(below, content)?;
                    self.open.pop();
                }
                Part::Own | Part::Overridden => {}
            }
        }
        Ok(())
    }

    fn item(&mut self, bytes: usize) {
        let wrappers: usize =
            self.open.iter().filter(|wrapper| !wrapper.counted).map(|wrapper| wrapper.bytes).sum();
        let items = self.next - self.first;
        let beyond = self.bytes.saturating_add(wrappers).saturating_add(bytes) > self.max_bytes;
        if items > 0 && (items >= self.max_items || beyond) {
            self.ranges.push(self.first..self.next);
            self.first = self.next;
            self.bytes = 0;
            for wrapper in &mut self.open {
                wrapper.counted = false;
            }
        }
        for wrapper in &mut self.open {
            if !wrapper.counted {
                wrapper.counted = true;
                self.bytes += wrapper.bytes;
            }
        }
        self.bytes += bytes;
        self.next += 1;
    }
}

/// The bytes of a message that are no items nor wrappers of items: at least what a slice has of it beside those. Wrappers
/// without items are among them, because a message whose items are all wanted is copied whole.
fn own_bytes(level: Level, message: &[u8]) -> Result<usize, WireError> {
    let level = level.settle(message)?;
    let mut bytes = 0;
    for field in fields(message) {
        let field = field?;
        let own = match level.part(&field) {
            Part::Item(_) => false,
            Part::Below(below) => !has_item(below, field.bytes()?)?,
            Part::Own | Part::Overridden => true,
        };
        if own {
            bytes += field.end - field.start;
        }
    }
    Ok(bytes)
}

fn has_item(level: Level, message: &[u8]) -> Result<bool, WireError> {
    let level = level.settle(message)?;
    for field in fields(message) {
        let field = field?;
        match level.part(&field) {
            Part::Item(_) => return Ok(true),
            Part::Below(below) if has_item(below, field.bytes()?)? => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}
