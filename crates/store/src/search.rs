//! Searching spans by what they are, on a thread of its own: a look-up by id never waits for a search.
//!
//! Work is bounded in rows: files are looked at from the newest to the oldest until the answer is complete or `MOST_ROWS` were
//! looked at; what an answer lacks then is said with it (`Extent`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, RangeInclusive};

use model::{TraceId, UnixNanos};
use rows::{Filter, Look, Seen, Subject};

use crate::index::Stored;
use crate::names::Room;
use crate::reader::{Reader, View};

/// Rows that one search looks at, after what footers and times rule out: what bounds how long the next one waits.
pub(crate) const MOST_ROWS: u64 = 8_000_000;
/// Spans that one answer about calls is made of: each is held in memory meanwhile.
pub(crate) const MOST_CALLING: u64 = 1_000_000;
/// Different texts in one answer, and the names of services in one about calls.
const MOST_TEXTS: Room = Room { texts: 10_000, bytes: 4 << 20 };

/// Which traces to look for.
#[derive(Debug, Clone)]
pub struct Search {
    /// A span of the trace passes this …
    pub filter: Filter,
    /// … and began not before this …
    pub from: UnixNanos,
    /// … and not after this.
    pub to: UnixNanos,
    /// At most so many traces or texts, at least one; of traces those with the newest such spans.
    pub limit: usize,
}

/// How much of the store an answer covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Rows that were looked at.
    pub rows: u64,
    /// Whether the search gave up at its ceiling, so that older data is not in the answer.
    pub partial: bool,
    /// Whether there is more than was asked for, or than an answer can hold.
    pub truncated: bool,
    /// Files that could not be read.
    pub unreadable: u64,
}

/// The traces that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hits {
    /// The one with the newest span that passes first.
    pub traces: Vec<TraceId>,
    /// What was looked at.
    pub extent: Extent,
}

/// Different texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    /// In the order of text.
    pub texts: BTreeSet<String>,
    /// What was looked at.
    pub extent: Extent,
}

/// How often services called each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calls {
    /// By caller and callee: spans whose parent is a span of the caller.
    pub calls: BTreeMap<(String, String), u64>,
    /// What was looked at.
    pub extent: Extent,
}

pub(crate) fn search(reader: &Reader, search: &Search, view: &View, most: u64) -> Hits {
    let times = times(search.from, search.to);
    let mut newest = Newest { limit: search.limit.max(1), ..Newest::default() };
    let mut extent = Extent::default();
    let mut budget = Budget::new(most);
    let columns = &[rows::TRACE];
    let _ = in_memory(view, &times, &search.filter, &mut |seen| newest.look(seen));
    for stored in newest_first(view, &times) {
        newest.settle();
        if newest.is_beyond(stored.key.times.1) {
            newest.left_out = true;
            break;
        }
        let asked = Asked { times: &times, filter: &search.filter, columns };
        let looked = in_file(reader, stored, &asked, &mut budget, &mut |seen| newest.look(seen));
        extent.note(looked);
        if extent.partial {
            break;
        }
    }
    newest.settle();
    extent.rows = budget.spent;
    extent.truncated = newest.left_out;
    let mut found: Vec<_> = newest.traces.into_iter().map(|(trace, time)| (Reverse(time), trace)).collect();
    found.sort_unstable();
    let traces = found.into_iter().filter_map(|(_, trace)| TraceId::from_bytes(trace)).collect();
    Hits { traces, extent }
}

/// What of spans is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) times: &'a RangeInclusive<i64>,
    pub(crate) filter: &'a Filter,
    pub(crate) columns: &'a [&'a str],
}

/// The different texts of `subject` in spans that pass.
pub(crate) fn texts(reader: &Reader, subject: &Subject, search: &Search, view: &View, rows: u64) -> Texts {
    let mut found = Texts::default();
    let times = times(search.from, search.to);
    let most = Room { texts: search.limit.clamp(1, MOST_TEXTS.texts), ..MOST_TEXTS };
    let mut taken = Room::default();
    let mut full = false;
    let mut look = |seen: &dyn Seen| {
        if let Some(text) = seen.text(subject)
            && !found.texts.contains(&*text)
        {
            if !taken.take(text.len(), most) {
                full = true;
                return ControlFlow::Break(());
            }
            found.texts.insert(text.into_owned());
        }
        ControlFlow::Continue(())
    };
    let asked = Asked { times: &times, filter: &search.filter, columns: &[subject.column()] };
    let extent = everywhere(reader, view, &asked, rows, &mut look);
    found.extent = Extent { truncated: full, ..extent };
    found
}

/// Who called whom.
pub(crate) fn calls(reader: &Reader, times: &RangeInclusive<i64>, view: &View, most: u64) -> Calls {
    let (mut taken, mut full) = (Room::default(), false);
    let mut names: Vec<String> = Vec::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut spans: HashMap<([u8; 16], [u8; 8]), u32> = HashMap::new();
    let mut children: Vec<([u8; 16], [u8; 8], u32)> = Vec::new();
    let mut look = |seen: &dyn Seen| {
        let (Some(trace), Some(service)) = (seen.trace(), seen.text(&Subject::Service)) else {
            return ControlFlow::Continue(());
        };
        let number = match numbers.get(&*service) {
            Some(number) => *number,
            None if !taken.take(service.len(), MOST_TEXTS) => {
                full = true;
                return ControlFlow::Break(());
            }
            None => {
                let number = names.len() as u32;
                names.push(service.to_string());
                numbers.insert(service.into_owned(), number);
                number
            }
        };
        if let Some(id) = seen.id() {
            spans.insert((trace, id), number);
        }
        if let Some(parent) = seen.parent() {
            children.push((trace, parent, number));
        }
        ControlFlow::Continue(())
    };
    let all = Filter::All(Vec::new());
    let columns = &[rows::TRACE, rows::SPAN, rows::PARENT, Subject::Service.column()];
    let asked = Asked { times, filter: &all, columns };
    let extent = everywhere(reader, view, &asked, most, &mut look);
    let mut calls = BTreeMap::new();
    for (trace, parent, child) in children {
        if let Some(parent) = spans.get(&(trace, parent)).filter(|parent| **parent != child) {
            let pair = (names[*parent as usize].clone(), names[child as usize].clone());
            *calls.entry(pair).or_default() += 1;
        }
    }
    Calls { calls, extent: Extent { truncated: full, ..extent } }
}

/// Calls `look` with every span that is asked for, those in memory first, then file by file from the newest on, until it
/// breaks or `most` rows were looked at.
fn everywhere(reader: &Reader, view: &View, asked: &Asked<'_>, most: u64, look: &mut Look<'_>) -> Extent {
    let mut extent = Extent::default();
    let mut budget = Budget::new(most);
    let mut broken = in_memory(view, asked.times, asked.filter, look).is_break();
    for stored in newest_first(view, asked.times) {
        if broken || extent.partial {
            break;
        }
        let mut watched = |seen: &dyn Seen| {
            let step = look(seen);
            broken |= step.is_break();
            step
        };
        extent.note(in_file(reader, stored, asked, &mut budget, &mut watched));
    }
    extent.rows = budget.spent;
    extent
}

/// Memory is bounded by what may be gathered before it is written, so that it is always looked at whole.
pub(crate) fn in_memory(
    view: &View,
    times: &RangeInclusive<i64>,
    filter: &Filter,
    look: &mut Look<'_>,
) -> ControlFlow<()> {
    for chunk in &view.chunks {
        for entry in chunk.entries() {
            rows::look(&chunk.row(entry), times, filter, look)?;
        }
    }
    ControlFlow::Continue(())
}

/// How many rows may still be looked at. A file is looked at whole, so that the last one may exceed it.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
    pub(crate) spent: u64,
}

impl Budget {
    pub(crate) fn new(most: u64) -> Self {
        Self { left: most, spent: 0 }
    }

    fn take(&mut self, rows: u64) -> bool {
        let allowed = rows == 0 || self.left > 0;
        if allowed {
            self.left = self.left.saturating_sub(rows);
            self.spent += rows;
        }
        allowed
    }
}

/// How a file was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Whole,
    Unreadable,
    /// The budget was spent; none of its rows was looked at.
    TooMuch,
}

/// Looks at the spans of one file, if the budget allows it.
pub(crate) fn in_file(
    reader: &Reader,
    stored: &Stored,
    asked: &Asked<'_>,
    budget: &mut Budget,
    look: &mut Look<'_>,
) -> Looked {
    let mut too_much = false;
    let read = reader.file(stored, |file| {
        let plan = file.plan(asked.times, asked.filter);
        too_much = !budget.take(plan.rows);
        if too_much {
            return Ok(());
        }
        file.walk(&plan, asked.times, asked.filter, asked.columns, look)
    });
    match (read, too_much) {
        (_, true) => Looked::TooMuch,
        (true, _) => Looked::Whole,
        (false, _) => Looked::Unreadable,
    }
}

/// The files that may hold spans of these times, those with the newest first.
pub(crate) fn newest_first<'a>(view: &'a View, times: &RangeInclusive<i64>) -> Vec<&'a Stored> {
    let within = |stored: &&Stored| {
        let (first, last) = stored.key.times;
        first <= *times.end() && last >= *times.start()
    };
    let mut files: Vec<_> = view.files.iter().filter(within).collect();
    files.sort_by_key(|stored| Reverse(stored.key.times.1));
    files
}

/// A range of time as rows have it.
pub(crate) fn times(from: UnixNanos, to: UnixNanos) -> RangeInclusive<i64> {
    let nanos = |time: UnixNanos| i64::try_from(time.0).unwrap_or(i64::MAX);
    // A span of an unknown time was received at some time; one from before 1970 has a negative one, and counts as that.
    let from = if from.0 == 0 { i64::MIN } else { nanos(from) };
    from..=nanos(to)
}

impl Extent {
    pub(crate) fn note(&mut self, looked: Looked) {
        match looked {
            Looked::Whole => {}
            Looked::Unreadable => self.unreadable += 1,
            Looked::TooMuch => self.partial = true,
        }
    }
}

/// The traces with the newest spans so far.
#[derive(Debug, Default)]
struct Newest {
    limit: usize,
    /// With the time of the newest span.
    traces: HashMap<[u8; 16], i64>,
    /// A trace that is not known has to be newer than this to get in.
    floor: Option<i64>,
    left_out: bool,
}

impl Newest {
    fn look(&mut self, seen: &dyn Seen) -> ControlFlow<()> {
        if let Some(trace) = seen.trace() {
            self.offer(trace, seen.time());
        }
        ControlFlow::Continue(())
    }

    fn offer(&mut self, trace: [u8; 16], time: i64) {
        match self.traces.get_mut(&trace) {
            Some(known) => *known = time.max(*known),
            None if self.floor.is_some_and(|floor| time < floor) => self.left_out = true,
            None => {
                self.traces.insert(trace, time);
                if self.traces.len() > 2 * self.limit + 1024 {
                    self.settle();
                }
            }
        }
    }

    /// Keeps the newest and forgets the rest.
    fn settle(&mut self) {
        if self.traces.len() < self.limit {
            return;
        }
        let mut all: Vec<_> = self.traces.drain().map(|(trace, time)| (Reverse(time), trace)).collect();
        all.sort_unstable();
        self.left_out |= all.len() > self.limit;
        all.truncate(self.limit);
        self.floor = all.last().map(|(Reverse(time), _)| *time);
        self.traces.extend(all.into_iter().map(|(Reverse(time), trace)| (trace, time)));
    }

    /// Whether nothing at or before `time` can get in any more.
    fn is_beyond(&self, time: i64) -> bool {
        self.traces.len() >= self.limit && self.floor.is_some_and(|floor| time < floor)
    }
}
