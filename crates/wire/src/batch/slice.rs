//! A request that holds only some of a request's items.

use std::ops::Range;

use super::{Counter, Level, Part, count};
use crate::walk::fields;
use crate::{Layout, Signal, WireError, put};

/// The request with the items `items` of `plain` alone, in order, each in the wrappers that it came in.
///
/// The range of everything answers `plain` to the byte. Any other leaves out wrappers without an item of it, and what
/// stands beside the wrappers in the request itself, unless it begins at 0. Numbers beyond the last item choose nothing.
///
/// # Errors
/// As `count`.
pub fn slice(signal: Signal, layout: Layout, plain: &[u8], items: Range<u32>) -> Result<Vec<u8>, WireError> {
    let total = count(signal, layout, plain)?.total();
    if items.start == 0 && items.end >= total {
        return Ok(plain.to_vec());
    }
    let share = u64::from(items.end.min(total).saturating_sub(items.start));
    let room = plain.len() as u64 * share / u64::from(total.max(1));
    let mut out = Vec::with_capacity(room as usize + plain.len() / 16);
    let mut cutter = Cutter { own: items.start == 0, items, next: 0 };
    cutter.message(Level::request(signal, layout), plain, &mut out)?;
    Ok(out)
}

struct Cutter {
    items: Range<u32>,
    /// The number of the next item met.
    next: u32,
    /// Whether fields of the message at hand that are no items are wanted.
    own: bool,
}

impl Cutter {
    /// Copies the wanted parts of a message that holds wanted items and others.
    fn message(&mut self, level: Level, message: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        let level = level.settle(message)?;
        let own = self.own;
        for field in fields(message) {
            let field = field?;
            let whole = &message[field.start..field.end];
            match level.part(&field) {
                Part::Item(_) => {
                    if self.items.contains(&self.next) {
                        out.extend_from_slice(whole);
                    }
                    self.next += 1;
                }
                Part::Below(_) if self.next >= self.items.end => {}
                Part::Below(below) => self.wrapper(below, field.number, field.bytes()?, whole, out)?,
                Part::Own if own => out.extend_from_slice(whole),
                Part::Own | Part::Overridden => {}
            }
        }
        Ok(())
    }

    /// Copies a wrapper: as it is when all of its items are wanted, without the others when some are.
    fn wrapper(
        &mut self,
        level: Level,
        number: u32,
        content: &[u8],
        whole: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let mut counter = Counter::new(u32::MAX);
        counter.message(level, content)?;
        let here = self.next..self.next + counter.counts.total();
        let wanted = here.start.max(self.items.start)..here.end.min(self.items.end);
        if wanted.is_empty() {
            self.next = here.end;
        } else if wanted == here {
            out.extend_from_slice(whole);
            self.next = here.end;
        } else {
            let outer = std::mem::replace(&mut self.own, true);
            put::message(out, number, |out| self.message(level, content, out))?;
            self.own = outer;
        }
        Ok(())
    }
}
