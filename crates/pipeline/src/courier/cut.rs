//! Cutting parcels: frames of one tenant and layout are merged up to the sink's limits; one that is larger than a limit
//! is split at item borders later, by the courier.
//!
//! Where edges are free, each tenant and layout gathers for itself. Where edges are recorded, all that was gathered is cut
//! at once, so that a range of offsets names it. Where the sink settles, a parcel ends where the tenant or layout changes,
//! so that its sink sees offsets only rise.

use std::collections::VecDeque;
use std::sync::Arc;

use journal::Offset;
use model::{Layout, Signal, Tenant};
use tokio::time::Instant;

use crate::{Cut, Edges, Parcel, Part};

/// Everything gathered together may be so many times the size of one parcel.
const MOST_PARCELS: u64 = 4;

/// Parcels that start together.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) parcels: Vec<Parcel>,
    /// The last offset that was read when it was cut.
    pub(crate) last: Offset,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Size {
    items: u64,
    plain: u64,
    stored: u64,
}

#[derive(Debug)]
struct Pile {
    tenant: Tenant,
    layout: Layout,
    parts: Vec<Part>,
    size: Size,
    since: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gather {
    sink: Arc<str>,
    signal: Signal,
    cut: Cut,
    edges: Edges,
    /// The number of the replay that it cuts for; 0 when it cuts for the first time.
    pub(crate) replay: u64,
    /// A range begun before a restart: it is cut exactly at this offset, and where edges are recorded nowhere before.
    border: Option<Offset>,
    piles: Vec<Pile>,
    ready: VecDeque<Load>,
    last: Offset,
}

impl Size {
    fn of(part: &Part) -> Self {
        Self { items: u64::from(part.len()), plain: part.plain_share(), stored: part.stored_share() }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            items: self.items + other.items,
            plain: self.plain + other.plain,
            stored: self.stored + other.stored,
        }
    }

    fn fits(self, cut: Cut) -> bool {
        self.items <= u64::from(cut.max_items.max(1))
            && self.plain <= cut.max_bytes.max(1)
            && self.stored <= cut.max_stored_bytes.max(1)
    }
}

/// Into about how many pieces the limits cut a parcel; 1 when it fits.
pub(crate) fn pieces(parcel: &Parcel, cut: Cut) -> u32 {
    let size = parcel.parts.iter().fold(Size::default(), |sum, part| sum.plus(Size::of(part)));
    let times = [
        size.items.div_ceil(u64::from(cut.max_items.max(1))),
        size.plain.div_ceil(cut.max_bytes.max(1)),
        size.stored.div_ceil(cut.max_stored_bytes.max(1)),
    ];
    let most = times.into_iter().max().unwrap_or(1).min(size.items);
    u32::try_from(most).unwrap_or(u32::MAX).max(1)
}

impl Gather {
    pub(crate) fn new(
        sink: Arc<str>,
        signal: Signal,
        cut: Cut,
        edges: Edges,
        border: Option<Offset>,
    ) -> Self {
        Self {
            sink,
            signal,
            cut,
            edges,
            replay: 0,
            border,
            piles: Vec::new(),
            ready: VecDeque::new(),
            last: Offset(0),
        }
    }

    /// Adds one frame. Frames come in order.
    pub(crate) fn push(&mut self, part: Part, layout: Layout, now: Instant) {
        self.pass(part.offset);
        let size = Size::of(&part);
        let at =
            self.piles.iter().position(|pile| pile.tenant == part.origin.tenant && pile.layout == layout);
        match (self.edges, at) {
            (Edges::Recorded, _) if self.border.is_some() => {}
            (Edges::Recorded, Some(at)) if !self.piles[at].size.plus(size).fits(self.cut) => self.close_all(),
            // A frame that has to be split stands alone in its range, so that a replay splits it alike.
            (Edges::Recorded, None) if !size.fits(self.cut) => self.close_all(),
            (Edges::Settled, None) => self.close_all(),
            (_, Some(at)) if !self.piles[at].size.plus(size).fits(self.cut) => self.close(at),
            _ => {}
        }
        let offset = part.offset;
        let tenant = &part.origin.tenant;
        match self.piles.iter_mut().find(|pile| pile.tenant == *tenant && pile.layout == layout) {
            Some(pile) => {
                pile.parts.push(part);
                pile.size = pile.size.plus(size);
            }
            None => {
                let tenant = tenant.clone();
                self.piles.push(Pile { tenant, layout, parts: vec![part], size, since: now });
            }
        }
        self.last = offset;
        if self.border.is_none() || self.edges != Edges::Recorded {
            self.close_full();
        }
        self.meet(offset);
    }

    /// Notes that an offset was read that holds nothing to deliver.
    pub(crate) fn skip(&mut self, offset: Offset) {
        self.pass(offset);
        if !self.piles.is_empty() {
            self.last = offset;
        }
        self.meet(offset);
    }

    fn pass(&mut self, offset: Offset) {
        if self.border.is_some_and(|border| offset > border) {
            self.close_all();
            self.border = None;
        }
    }

    fn meet(&mut self, offset: Offset) {
        if self.border.is_some_and(|border| offset >= border) {
            self.close_all();
            self.border = None;
        }
    }

    fn close_full(&mut self) {
        let full = |pile: &Pile| {
            // Nothing more fits beside what already reaches a limit.
            !pile.size.plus(Size { items: 1, plain: 1, stored: 1 }).fits(self.cut)
        };
        if let Some(at) = self.piles.iter().position(full) {
            if self.edges == Edges::Recorded { self.close_all() } else { self.close(at) }
        }
        let gathered: u64 = self.piles.iter().map(|pile| pile.size.plain + pile.size.stored).sum();
        if gathered > MOST_PARCELS * self.cut.max_bytes.saturating_add(self.cut.max_stored_bytes) / 2 {
            if self.edges == Edges::Recorded { self.close_all() } else { self.close(0) }
        }
    }

    fn close(&mut self, at: usize) {
        let pile = self.piles.remove(at);
        let parcel = self.parcel(pile);
        self.ready.push_back(Load { parcels: vec![parcel], last: self.last });
    }

    /// Cuts everything gathered.
    pub(crate) fn close_all(&mut self) {
        if self.edges == Edges::Recorded && !self.piles.is_empty() {
            let piles = std::mem::take(&mut self.piles);
            let parcels = piles.into_iter().map(|pile| self.parcel(pile)).collect();
            self.ready.push_back(Load { parcels, last: self.last });
        }
        while !self.piles.is_empty() {
            self.close(0);
        }
    }

    fn parcel(&self, pile: Pile) -> Parcel {
        Parcel {
            sink: Arc::clone(&self.sink),
            tenant: pile.tenant,
            signal: self.signal,
            layout: pile.layout,
            parts: pile.parts,
            rules: 0,
            replay: self.replay,
            attempt: 0,
            begun: self.border.is_some(),
        }
    }

    /// Whether nothing is gathered.
    pub(crate) fn is_empty(&self) -> bool {
        self.piles.is_empty() && self.ready.is_empty()
    }

    /// Whether a full load waits, so that nothing more should be read.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the oldest that is not full has waited long enough; `None` when nothing is gathered.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.border.is_some() && self.edges == Edges::Recorded {
            return None;
        }
        self.piles.first().map(|pile| pile.since + self.cut.max_wait)
    }

    /// The next load: a full one, else one that has waited long enough.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Load> {
        if self.ready.is_empty() && self.due().is_some_and(|due| due <= now) {
            if self.edges == Edges::Recorded { self.close_all() } else { self.close(0) }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests;
