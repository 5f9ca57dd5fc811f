//! Times where records tell little, and clocks that differ.

use super::Making;
use crate::attribute::int;
use crate::fact::{Edge, Kong, Span};
use crate::read::is_coarse;

/// How far a child may stand out of its parent before their clocks are said to differ, in nanoseconds.
const TOLERANCE: u64 = 5_000_000;
/// A second in nanoseconds.
const SECOND: u64 = 1_000_000_000;

impl Making<'_> {
    /// When the visitor's request began and ended, and whether that is inferred. Records without times lie around what they led to, as
    /// do those in whole seconds, within their second.
    pub(super) fn edge_times(&self, edge: &Edge) -> (u64, u64, bool) {
        let look = &edge.look;
        if edge.is_legacy {
            let Some(inner) = self.request.kongs.first() else { return (look.start, look.end, true) };
            let start = around(inner, edge.took);
            return (start, start + edge.took, true);
        }
        if !is_coarse(look) || edge.took == 0 {
            return (look.start, look.end, false);
        }
        let start = match self.request.kongs.first() {
            Some(inner) => around(inner, edge.took).clamp(look.start, look.start + SECOND - 1),
            None => look.start,
        };
        (start, start + edge.took, true)
    }

    /// Marks spans whose clock differs from that of their parents; where that is wanted, moves them into the middle of these.
    pub(super) fn skew(&mut self) {
        for at in 0..self.spans.len() {
            let child = &self.spans[at];
            let parent = self.spans.iter().find(|span| Some(span.span) == child.parent.span);
            let Some(parent) = parent.filter(|parent| parent.service != child.service) else { continue };
            // Times in whole seconds say nothing of a clock.
            if [child, parent].iter().any(|span| is_whole(span.start) && is_whole(span.end)) {
                continue;
            }
            let early = parent.start.saturating_sub(child.start);
            let late = child.end.saturating_sub(parent.end);
            if early > TOLERANCE || late > TOLERANCE {
                let middle = |start: u64, end: u64| i128::from(start) + i128::from(end - start) / 2;
                let skew = middle(child.start, child.end) - middle(parent.start, parent.end);
                let skew = i64::try_from(skew).unwrap_or(i64::MAX);
                int(&mut self.spans[at].attributes, "tidegate.clock_skew_ns", skew);
                if self.ways.shifts {
                    self.shift(at, skew);
                }
            }
        }
    }

    /// Moves a span, and what hangs below it and has its clock, by so many nanoseconds to an earlier time.
    fn shift(&mut self, at: usize, by: i64) {
        let mut moved: Vec<Span> = Vec::new();
        let service = self.spans[at].service;
        for span in &mut self.spans[at..] {
            let is_below = || span.parent.span.is_some_and(|parent| moved.contains(&parent));
            if moved.is_empty() || span.service == service && is_below() {
                span.start = span.start.saturating_add_signed(by.saturating_neg());
                span.end = span.end.saturating_add_signed(by.saturating_neg());
                moved.push(span.span);
            }
        }
    }
}

fn is_whole(time: u64) -> bool {
    time.is_multiple_of(SECOND)
}

/// The start of what took `took` and lies around a request through Kong.
fn around(inner: &Kong, took: u64) -> u64 {
    let inner_took = inner.look.end - inner.look.start;
    let before = (i128::from(took) - i128::from(inner_took)) / 2;
    u64::try_from(i128::from(inner.look.start) - before).unwrap_or(0)
}
