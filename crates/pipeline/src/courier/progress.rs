//! What a courier knows of the frames that it has read and not yet left behind: how many of each frame's items are done,
//! and how. From it comes the state that is checkpointed: low-water mark, finished ranges and books, which always agree.
//!
//! A frame is booked when all its items are done and all frames before it are; until then it is held. One that is done above
//! the low-water mark is part of a finished range, with its own books, so that a restart does not send it again.

use std::collections::BTreeMap;

use journal::{Books, Census, Fate, Finished, MAX_FINISHED, Offset, State};
use model::Origin;

/// What became of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    PeerRefused { upper_bound: bool },
    DeadLetter,
    Dropped(&'static str),
}

#[derive(Debug)]
struct Slot {
    last: Offset,
    what: What,
    /// Items of which nothing is known yet.
    left: u64,
    /// Items that the sink has and has not settled.
    pending: u64,
}

#[derive(Debug)]
enum What {
    Frame(Origin, Fate),
    Lost(Box<Census>, &'static str),
    /// A finished range of the run before.
    Restored(Box<Books>),
}

impl Slot {
    fn done(&self) -> bool {
        self.left == 0 && self.pending == 0
    }
}

impl What {
    fn enter(&self, books: &mut Books) {
        match self {
            Self::Frame(origin, fate) => books.of(origin).add(fate),
            Self::Lost(census, reason) => {
                let lost = census.iter().filter(|(_, items)| **items > 0);
                lost.for_each(|(origin, items)| books.drop_items(origin, *reason, *items));
            }
            Self::Restored(restored) => books.add(restored),
        }
    }
}

impl Outcome {
    fn book(self, fate: &mut Fate, items: u64) {
        match self {
            Self::Delivered => fate.delivered += items,
            Self::PeerRefused { upper_bound } => {
                fate.peer_refused += items;
                fate.peer_refused_at_most += if upper_bound { items } else { 0 };
            }
            Self::DeadLetter => fate.dead_letters += items,
            Self::Dropped(reason) => *fate.dropped.entry(reason.into()).or_default() += items,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Progress {
    /// As it is checkpointed, but for the finished ranges, which are in the slots.
    state: State,
    /// Low-water mark and books as they were when the open range was begun: a checkpoint has these until the range is closed, so
    /// that a restart reads all of it again, and its parcels have the edges that they had.
    begun: Option<(Offset, Books)>,
    /// Whether finished ranges are remembered at all: not where edges must stay, since the whole range is sent again.
    keep_finished: bool,
    /// Every frame from `low` on that was read, and what was finished before a restart, by first offset.
    slots: BTreeMap<Offset, Slot>,
    /// The offset after the last one that was read.
    end: Offset,
    /// How many runs of done slots there are above `low`.
    runs: usize,
    /// Whether there is anything that the last checkpoint did not have.
    dirty: bool,
}

impl Progress {
    pub(crate) fn new(mut state: State, keep_finished: bool) -> Self {
        let finished = std::mem::take(&mut state.finished);
        let end = state.low;
        let begun = state.open.map(|_| (state.low, state.books.clone()));
        let slots = BTreeMap::new();
        let mut progress = Self { state, begun, keep_finished, slots, end, runs: 0, dirty: false };
        for Finished { first, last, books } in finished {
            let what = What::Restored(Box::new(books));
            progress.insert(first, Slot { last, what, left: 0, pending: 0 });
        }
        progress.dirty = false;
        progress
    }

    /// Takes note of a frame that was read. Says whether there is anything to deliver.
    pub(crate) fn read(&mut self, offset: Offset, origin: &Origin, items: u64) -> bool {
        let what = What::Frame(origin.clone(), Fate::default());
        self.end = offset.next();
        self.insert(offset, Slot { last: offset, what, left: items, pending: 0 });
        items > 0
    }

    /// Takes note of a range that cannot be read any more: its items are booked as dropped for `reason`.
    pub(crate) fn lost(&mut self, range: (Offset, Offset), items: &Census, reason: &'static str) {
        let what = What::Lost(Box::new(items.clone()), reason);
        self.end = range.1.next();
        self.insert(range.0, Slot { last: range.1, what, left: 0, pending: 0 });
    }

    fn insert(&mut self, first: Offset, slot: Slot) {
        let done = slot.done();
        self.slots.insert(first, slot);
        if done {
            self.became_done(first);
        }
    }

    /// Books `items` of the frame at `offset`.
    pub(crate) fn book(&mut self, offset: Offset, outcome: Outcome, items: u64) {
        let Some(slot) = self.slots.get_mut(&offset) else { return };
        let items = items.min(slot.left);
        if items == 0 {
            return;
        }
        slot.left -= items;
        if let What::Frame(_, fate) = &mut slot.what {
            outcome.book(fate, items);
        }
        if slot.done() {
            self.became_done(offset);
        }
    }

    /// Notes that the sink has `items` of the frame and settles later.
    pub(crate) fn pend(&mut self, offset: Offset, items: u64) {
        let Some(slot) = self.slots.get_mut(&offset) else { return };
        let items = items.min(slot.left);
        slot.left -= items;
        slot.pending += items;
    }

    /// Undoes `pend`, unless the sink has settled the items in the meantime.
    pub(crate) fn take_back(&mut self, offset: Offset, items: u64) {
        let Some(slot) = self.slots.get_mut(&offset) else { return };
        let items = items.min(slot.pending);
        slot.pending -= items;
        slot.left += items;
    }

    /// Books everything pending up to `last` as delivered; says what is in the way when not all of it is pending.
    pub(crate) fn settle(&mut self, last: Offset) -> Result<(), String> {
        if let Some((first, open)) = self.state.open
            && last < open
        {
            return Err(format!("offset {last} is inside the begun range {first} to {open}"));
        }
        self.all_given(last)?;
        let settled: Vec<Offset> =
            self.slots.range(..=last).filter(|(_, s)| !s.done()).map(|(at, _)| *at).collect();
        self.close();
        for offset in settled {
            let Some(slot) = self.slots.get_mut(&offset) else { continue };
            if let What::Frame(_, fate) = &mut slot.what {
                Outcome::Delivered.book(fate, slot.pending);
            }
            slot.pending = 0;
            self.became_done(offset);
        }
        Ok(())
    }

    /// Opens the range from the low-water mark to `last`, under this version of the sink's rules. The same range may be opened again.
    pub(crate) fn begin(&mut self, last: Offset, rules: u64) -> Result<(), String> {
        match self.state.open {
            Some((_, open)) if open == last => {
                self.dirty |= self.state.open_rules != Some(rules);
                self.state.open_rules = Some(rules);
                return Ok(());
            }
            Some((first, open)) => return Err(format!("range {first} to {open} is begun and not settled")),
            None => {}
        }
        if last < self.state.low {
            return Err(format!("offset {last} is settled already"));
        }
        self.state.open = Some((self.state.low, last));
        self.begun = Some((self.state.low, self.state.books.clone()));
        self.state.open_rules = Some(rules);
        self.dirty = true;
        Ok(())
    }

    /// Checks that the sink was given every item up to `last`.
    pub(crate) fn all_given(&self, last: Offset) -> Result<(), String> {
        if last >= self.end {
            return Err(format!("offset {last} was not read yet"));
        }
        match self.slots.range(..=last).find(|(_, slot)| slot.left > 0) {
            Some((offset, slot)) => {
                Err(format!("{} items of offset {offset} were not delivered yet", slot.left))
            }
            None => Ok(()),
        }
    }

    /// Closes the open range when everything in it is done.
    pub(crate) fn close_open(&mut self) {
        if self.state.open.is_some_and(|(_, last)| self.state.low > last) {
            self.close();
        }
    }

    fn close(&mut self) {
        (self.state.open, self.state.open_rules) = (None, None);
        self.begun = None;
        self.dirty = true;
    }

    fn became_done(&mut self, offset: Offset) {
        self.dirty = true;
        let Some(last) = self.slots.get(&offset).map(|slot| slot.last) else { return };
        let joins = |near: Option<(&Offset, &Slot)>, touches: &dyn Fn(Offset, Offset) -> bool| {
            near.is_some_and(|(first, slot)| slot.done() && touches(*first, slot.last))
        };
        let before = joins(self.slots.range(..offset).next_back(), &|_, end| end.next() == offset);
        let after = joins(self.slots.range(offset.next()..).next(), &|first, _| last.next() == first);
        self.runs = self.runs + 1 - usize::from(before) - usize::from(after);
        let mut moved = false;
        while let Some(entry) = self.slots.first_entry() {
            if !entry.get().done() || *entry.key() > self.state.low {
                break;
            }
            let slot = entry.remove();
            slot.what.enter(&mut self.state.books);
            self.state.low = slot.last.next();
            moved = true;
        }
        if moved {
            self.runs -= 1;
            self.end = self.end.max(self.state.low);
        }
    }

    /// Books what a replay brought; `number` is the one that ended with it, if any did.
    pub(crate) fn replayed(&mut self, number: Option<u64>, books: &Books) {
        self.state.replays.books.add(books);
        self.state.replays.last = number.unwrap_or(self.state.replays.last);
        self.dirty = true;
    }

    /// The number of the last replay whose books are in.
    pub(crate) fn last_replay(&self) -> u64 {
        self.state.replays.last
    }

    /// Everything booked so far, above the low-water mark too.
    pub(crate) fn booked(&self) -> Books {
        let mut books = self.state.books.clone();
        self.slots.values().for_each(|slot| slot.what.enter(&mut books));
        books
    }

    /// Whether all items of the frame at `offset` are done.
    pub(crate) fn is_done(&self, offset: Offset) -> bool {
        self.slots.get(&offset).is_none_or(Slot::done)
    }

    /// Whether more frames may be read: the finished ranges must stay within what a cursor keeps.
    pub(crate) fn may_read(&self) -> bool {
        self.runs < MAX_FINISHED
    }

    /// Frames read and not left behind.
    pub(crate) fn frames(&self) -> usize {
        self.slots.len()
    }

    /// The next offset that is not wholly done.
    pub(crate) fn low(&self) -> Offset {
        self.state.low
    }

    /// The range that was begun and not settled.
    pub(crate) fn open(&self) -> Option<(Offset, Offset)> {
        self.state.open
    }

    /// Whether that range was begun under another version of the rules than this one, as far as that is known.
    pub(crate) fn begun_under_others(&self, rules: u64) -> bool {
        self.state.open_rules.is_some_and(|begun| begun != rules)
    }

    /// Whether a checkpoint has something to write.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Marks the progress as not checkpointed, after a checkpoint that did not succeed.
    pub(crate) fn spoil(&mut self) {
        self.dirty = true;
    }

    /// What a checkpoint writes now.
    pub(crate) fn snapshot(&mut self) -> State {
        self.dirty = false;
        let mut state = State { finished: self.finished(), ..self.state.clone() };
        if let Some((low, books)) = &self.begun {
            (state.low, state.books) = (*low, books.clone());
        }
        state
    }

    fn finished(&self) -> Vec<Finished> {
        let mut ranges: Vec<Finished> = Vec::new();
        if !self.keep_finished {
            return ranges;
        }
        for (first, slot) in self.slots.iter().filter(|(_, slot)| slot.done()) {
            let touches = ranges.last().is_some_and(|range| range.last.next() == *first);
            if !touches {
                if ranges.len() == MAX_FINISHED {
                    break;
                }
                ranges.push(Finished { first: *first, last: slot.last, books: Books::default() });
            }
            if let Some(range) = ranges.last_mut() {
                range.last = slot.last;
                slot.what.enter(&mut range.books);
            }
        }
        ranges
    }

    /// Drops what is not done below `mark`, booked `skipped`; what a settling sink is writing at this moment is left to it.
    pub(crate) fn skip(&mut self, mark: Offset) {
        if self.state.open.is_some_and(|(_, last)| last < mark) {
            self.close();
        }
        let from = self.state.open.map_or(Offset(0), |(_, last)| last.next());
        let open: Vec<Offset> = self
            .slots
            .range(from..mark.max(from))
            .filter(|(_, slot)| !slot.done())
            .map(|(at, _)| *at)
            .collect();
        for offset in open {
            let Some(slot) = self.slots.get_mut(&offset) else { continue };
            slot.left += std::mem::take(&mut slot.pending);
            let left = slot.left;
            self.book(offset, Outcome::Dropped("skipped"), left);
        }
    }
}

#[cfg(test)]
mod tests;
