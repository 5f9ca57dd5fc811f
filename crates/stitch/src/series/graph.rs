//! Which service asks which: a client's span and the spans of the servers that answered it, each from a journal frame of its own, wait
//! for each other here.
//!
//! A request is counted once for each server's span, when both halves are known, whichever comes first: so no order of arrival matters. A
//! client stays as long as its wait lasts, since a proxy that passes headers on leaves it with more than one server.

use std::collections::BTreeSet;

use ahash::HashMap;

use super::metric::Metric;
use super::options::{Spans, nanos};
use super::state;
use super::table::{Table, cut};
use super::value::{Exemplar, ONE, Sample};
use crate::fact::{Span, Trace};

/// What `connection_type` says, by number.
const CONNECTIONS: [&str; 4] = ["", "messaging_system", "database", "virtual_node"];
pub(super) const DIRECT: u8 = 0;
pub(super) const MESSAGING: u8 = 1;
pub(super) const DATABASE: u8 = 2;
const VIRTUAL: u8 = 3;

/// The client of what no span asked for.
const USER: &str = "user";

/// Meetings of the past that the store may keep beside four times those of the present.
const ROOM: usize = 1024;

/// Most servers of one client's span.
const MOST_CALLEES: usize = 64;

/// A client's span, by which both halves know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    pub trace: Trace,
    pub client: Span,
}

/// What is known of a client's span and its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meeting {
    pub since: u64,
    pub caller: Option<Caller>,
    pub callees: Vec<Callee>,
    pub is_touched: bool,
}

/// The client's half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub service: String,
    /// What it says that it asked, if nobody answers for it.
    pub peer: String,
    pub end: u64,
    pub nanos: u64,
    pub failed: bool,
    pub connection: u8,
    /// A server's span that may have asked within its process: nobody is missed if it did not.
    pub is_silent: bool,
    pub is_paired: bool,
    pub is_derived: bool,
}

/// A server's half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Callee {
    pub span: Span,
    pub service: String,
    pub end: u64,
    pub nanos: u64,
    pub failed: bool,
    pub connection: u8,
    /// It stands at the edge, or nothing asked for it as far as is known: if nobody turns up, it was a user.
    pub is_entry: bool,
    pub is_derived: bool,
    /// It was counted, and stays so that its copies are not.
    pub is_paired: bool,
}

impl Meeting {
    fn is_settled(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_paired)
            && self.callees.iter().all(|callee| callee.is_paired)
    }

    fn take(&mut self, span: Span) -> Option<Callee> {
        let at = self.callees.iter().position(|callee| callee.span == span)?;
        Some(self.callees.remove(at))
    }
}

#[derive(Debug)]
pub(super) struct Graph {
    meetings: HashMap<Pair, Meeting>,
    by_age: BTreeSet<(u64, Pair)>,
    /// Those of them in which nobody waits. They go first when there is no room: nothing is lost with them.
    settled: BTreeSet<(u64, Pair)>,
    /// Where spans wait that are made here and may still change their trace or parent: whether as a client, and their id.
    derived: HashMap<(bool, Span), Pair>,
    touched: Vec<Pair>,
    /// The numbers under which the store keeps meetings, and how many those are, copies and what is over included.
    kept: Vec<u64>,
    kept_meetings: usize,
    halves: usize,
    most: usize,
    wait: u64,
    label_bytes: usize,
}

impl Graph {
    pub(super) fn new(options: &Spans, label_bytes: usize) -> Self {
        Self {
            meetings: HashMap::default(),
            by_age: BTreeSet::new(),
            settled: BTreeSet::new(),
            derived: HashMap::default(),
            touched: Vec::new(),
            kept: Vec::new(),
            kept_meetings: 0,
            halves: 0,
            most: options.most_waiting,
            wait: nanos(options.wait),
            label_bytes,
        }
    }

    /// A client's span.
    pub(super) fn caller(&mut self, table: &mut Table, pair: Pair, mut caller: Caller, now: u64) {
        caller.service = cut(&caller.service, self.label_bytes).to_owned();
        caller.peer = cut(&caller.peer, self.label_bytes).to_owned();
        if caller.is_derived
            && let Some(before) = self.derived.insert((true, pair.client), pair)
            && before != pair
            && let Some(was) = self.leave(before, |meeting| meeting.caller.take())
        {
            caller.is_paired |= was.is_paired;
        }
        self.meet(pair, now);
        let Some(meeting) = self.meetings.get_mut(&pair) else { return };
        self.halves += usize::from(meeting.caller.is_none());
        caller.is_paired |= meeting.caller.as_ref().is_some_and(|before| before.is_paired);
        for callee in meeting.callees.iter_mut().filter(|callee| !callee.is_paired) {
            callee.is_paired = true;
            caller.is_paired = true;
            count(table, &pair.trace, &caller, callee, now);
        }
        meeting.caller = Some(caller);
        self.sort(pair);
        self.make_room(table, now);
    }

    /// A server's span below `pair`.
    pub(super) fn callee(&mut self, table: &mut Table, pair: Pair, mut callee: Callee, now: u64) {
        callee.service = cut(&callee.service, self.label_bytes).to_owned();
        if callee.is_derived && !self.knows(false, callee.span) && self.meets(table, pair, &callee, now) {
            return;
        }
        if callee.is_derived
            && let Some(before) = self.derived.insert((false, callee.span), pair)
            && before != pair
            && let Some(was) = self.leave(before, |meeting| meeting.take(callee.span))
        {
            callee.is_paired = was.is_paired;
        }
        self.meet(pair, now);
        let Some(meeting) = self.meetings.get_mut(&pair) else { return };
        if meeting.callees.iter().any(|other| other.span == callee.span) {
            return;
        }
        if meeting.callees.len() >= MOST_CALLEES {
            self.derived.remove(&(false, callee.span));
            table.add(Metric::GraphDropped, &["", &callee.service], ONE, now);
            return;
        }
        if let Some(caller) = meeting.caller.as_mut().filter(|_| !callee.is_paired) {
            callee.is_paired = true;
            caller.is_paired = true;
            count(table, &pair.trace, caller, &callee, now);
        }
        meeting.callees.push(callee);
        self.halves += 1;
        self.sort(pair);
        self.make_room(table, now);
    }

    /// Counts a server's span that was made here at once, if its client is there: it is told of first only once, so that no copy of it has to be known,
    /// and whatever becomes of it later, it was counted.
    fn meets(&mut self, table: &mut Table, pair: Pair, callee: &Callee, now: u64) -> bool {
        let Some(meeting) = self.meetings.get_mut(&pair) else { return false };
        let Some(caller) = &mut meeting.caller else { return false };
        let is_first = !std::mem::replace(&mut caller.is_paired, true);
        count(table, &pair.trace, caller, callee, now);
        if is_first {
            self.meet(pair, now);
            self.sort(pair);
        }
        true
    }

    /// A server's span that nothing asked for.
    pub(super) fn root(table: &mut Table, trace: &Trace, callee: &Callee, now: u64) {
        count(table, trace, &user(callee), callee, now);
    }

    /// Whether a derived span waits here, or has met its other half not long ago.
    pub(super) fn knows(&self, is_client: bool, span: Span) -> bool {
        self.derived.contains_key(&(is_client, span))
    }

    /// A derived span that is not so after all: it waits no more.
    pub(super) fn withdraw(&mut self, span: Span) {
        if let Some(pair) = self.derived.remove(&(true, span)) {
            self.leave(pair, |meeting| meeting.caller.take());
        }
        if let Some(pair) = self.derived.remove(&(false, span)) {
            self.leave(pair, |meeting| meeting.take(span));
        }
    }

    /// Gives up what has waited long enough.
    pub(super) fn give_up(&mut self, table: &mut Table, now: u64) {
        while let Some(&(since, pair)) = self.by_age.first()
            && now.saturating_sub(since) >= self.wait
        {
            self.end(table, pair, now, false);
        }
    }

    /// Gives up the oldest beyond the bound.
    fn make_room(&mut self, table: &mut Table, now: u64) {
        while self.halves > self.most
            && let Some(&(_, pair)) = self.settled.first().or(self.by_age.first())
        {
            self.end(table, pair, now, true);
        }
    }

    /// Ends a meeting; who waits in it waits in vain.
    fn end(&mut self, table: &mut Table, pair: Pair, now: u64, is_dropped: bool) {
        let Some(meeting) = self.forget(pair) else { return };
        let lost = if is_dropped { Metric::GraphDropped } else { Metric::GraphUnpaired };
        if let Some(caller) = meeting.caller.filter(|caller| !caller.is_paired && !caller.is_silent) {
            if caller.peer.is_empty() || is_dropped {
                table.add(lost, &[&caller.service, ""], ONE, now);
            } else {
                let connection = if caller.connection == DIRECT { VIRTUAL } else { caller.connection };
                let callee = Callee {
                    span: pair.client,
                    service: caller.peer.clone(),
                    end: caller.end,
                    nanos: caller.nanos,
                    failed: caller.failed,
                    connection,
                    is_entry: false,
                    is_derived: false,
                    is_paired: false,
                };
                count(table, &pair.trace, &caller, &callee, now);
            }
        }
        for callee in meeting.callees.iter().filter(|callee| !callee.is_paired) {
            if callee.is_entry && !is_dropped {
                count(table, &pair.trace, &user(callee), callee, now);
            } else {
                table.add(lost, &["", &callee.service], ONE, now);
            }
        }
    }

    /// The meeting of a pair, made where there is none.
    fn meet(&mut self, pair: Pair, now: u64) {
        let meeting = self.meetings.entry(pair).or_insert_with(|| {
            self.by_age.insert((now, pair));
            Meeting { since: now, caller: None, callees: Vec::new(), is_touched: false }
        });
        if !meeting.is_touched {
            meeting.is_touched = true;
            self.touched.push(pair);
        }
    }

    /// Takes a half out of a meeting.
    fn leave<R>(&mut self, pair: Pair, take: impl FnOnce(&mut Meeting) -> Option<R>) -> Option<R> {
        let meeting = self.meetings.get_mut(&pair)?;
        let half = take(meeting)?;
        self.halves -= 1;
        if !meeting.is_touched {
            meeting.is_touched = true;
            self.touched.push(pair);
        }
        if meeting.caller.is_none() && meeting.callees.is_empty() {
            self.forget(pair);
        } else {
            self.sort(pair);
        }
        Some(half)
    }

    /// Notes whether anybody still waits in a meeting.
    fn sort(&mut self, pair: Pair) {
        let Some(meeting) = self.meetings.get(&pair) else { return };
        let place = (meeting.since, pair);
        if meeting.is_settled() {
            self.settled.insert(place)
        } else {
            self.settled.remove(&place)
        };
    }

    fn forget(&mut self, pair: Pair) -> Option<Meeting> {
        let meeting = self.meetings.remove(&pair)?;
        self.by_age.remove(&(meeting.since, pair));
        self.settled.remove(&(meeting.since, pair));
        self.touched.push(pair);
        self.halves -= usize::from(meeting.caller.is_some()) + meeting.callees.len();
        let clients = meeting.caller.iter().filter(|caller| caller.is_derived).map(|_| (true, pair.client));
        let servers =
            meeting.callees.iter().filter(|callee| callee.is_derived).map(|callee| (false, callee.span));
        for span in clients.chain(servers) {
            if self.derived.get(&span) == Some(&pair) {
                self.derived.remove(&span);
            }
        }
        Some(meeting)
    }

    /// Puts meetings in as they were kept under a number; those of higher numbers come after.
    pub(super) fn restore(&mut self, number: u64, meetings: Vec<(Pair, Option<Meeting>)>) {
        self.kept.push(number);
        self.kept_meetings += meetings.len();
        for (pair, meeting) in meetings {
            self.forget(pair);
            if let Some(meeting) = meeting {
                self.put_in(pair, meeting);
            }
        }
        self.touched.clear();
    }

    fn put_in(&mut self, pair: Pair, meeting: Meeting) {
        self.by_age.insert((meeting.since, pair));
        self.halves += usize::from(meeting.caller.is_some()) + meeting.callees.len();
        if meeting.caller.as_ref().is_some_and(|caller| caller.is_derived) {
            self.derived.insert((true, pair.client), pair);
        }
        for callee in meeting.callees.iter().filter(|callee| callee.is_derived) {
            self.derived.insert((false, callee.span), pair);
        }
        self.meetings.insert(pair, meeting);
        self.sort(pair);
    }

    /// Calls `each` with what the store has to change, by number. It keeps the meetings that changed since the last call together, the last of
    /// each pair to be believed, until too many of them are of the past: then it gets all that there are anew, in place of what it has.
    pub(super) fn take(&mut self, mut each: impl FnMut(u64, Option<Vec<u8>>)) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let number = self.kept.last().map_or(0, |last| last + 1);
        let is_anew = self.kept_meetings + touched.len() > ROOM + 4 * self.meetings.len();
        if is_anew || self.kept.is_empty() {
            touched = self.by_age.iter().map(|(_, pair)| *pair).collect();
            self.kept_meetings = 0;
            self.kept.drain(..).for_each(|number| each(number, None));
        }
        if !touched.is_empty() {
            let all = touched.iter().map(|pair| (pair, self.meetings.get(pair)));
            each(number, Some(state::meetings(all)));
            self.kept.push(number);
            self.kept_meetings += touched.len();
        }
        for pair in touched {
            if let Some(meeting) = self.meetings.get_mut(&pair) {
                meeting.is_touched = false;
            }
        }
    }

    /// Spans that wait, or have met their other half not long ago.
    pub(super) fn halves(&self) -> usize {
        self.halves
    }
}

fn user(callee: &Callee) -> Caller {
    Caller {
        service: USER.into(),
        peer: String::new(),
        end: callee.end,
        nanos: callee.nanos,
        failed: callee.failed,
        connection: VIRTUAL,
        is_silent: false,
        is_paired: false,
        is_derived: false,
    }
}

fn count(table: &mut Table, trace: &Trace, caller: &Caller, callee: &Callee, now: u64) {
    let connection = CONNECTIONS[usize::from(caller.connection.max(callee.connection)).min(3)];
    let labels = [caller.service.as_str(), &callee.service, connection];
    table.add(Metric::GraphRequests, &labels, ONE, now);
    if caller.failed || callee.failed {
        table.add(Metric::GraphFailed, &labels, ONE, now);
    }
    for (metric, nanos) in [(Metric::GraphServer, callee.nanos), (Metric::GraphClient, caller.nanos)] {
        let exemplar = Exemplar { time: callee.end, trace: *trace, span: callee.span, nanos };
        table.observe(metric, &labels, Sample { nanos, weight: ONE, exemplar: Some(exemplar) }, now);
    }
}
