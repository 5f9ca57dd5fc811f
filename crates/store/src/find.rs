//! The searches themselves, on a reader's thread.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::ops::ControlFlow;

use model::{Signal, Tenant, TraceId, UnixNanos};
use rows::{LogRow, MetricRow, Row, Span};
use serde::Serialize;

use crate::reader::{Each, Reader, View};

/// An answer holds at most so many items of a signal …
const MOST_ITEMS: usize = 20_000;
/// … and of about so many bytes.
const MOST_BYTES: usize = 64 << 20;

/// What is known of a trace.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Trace {
    /// Its spans by start time; of spans sent more than once the one received last.
    pub spans: Vec<Span>,
    /// Its log records by time; of records of Cloudflare's and Kong's that were sent more than once, one.
    pub logs: Vec<LogRow>,
    /// Copies of spans and log records that were left out.
    pub copies: u64,
    /// Whether there is more than an answer can hold.
    pub truncated: bool,
    /// Files that could not be read.
    pub unreadable: u64,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Of this signal.
    pub signal: Signal,
    /// Of this tenant only.
    pub tenant: Option<Tenant>,
    /// Not before.
    pub from: UnixNanos,
    /// Not after.
    pub to: UnixNanos,
    /// At most so many, the newest; never more than 20,000.
    pub limit: usize,
}

/// What was found, the newest first; only the scanned signal's list is filled.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scanned {
    /// Spans.
    pub spans: Vec<Span>,
    /// Log records.
    pub logs: Vec<LogRow>,
    /// Metric points.
    pub metrics: Vec<MetricRow>,
    /// Whether there is more than was asked for or than an answer can hold.
    pub truncated: bool,
    /// Files that could not be read.
    pub unreadable: u64,
}

/// Everything that is one request: spans and log records under any of its ids, and log records by their places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Of this tenant; `None` for all.
    pub tenant: Option<Tenant>,
    /// Its trace ids.
    pub ids: Vec<TraceId>,
    /// Log records: time (nanoseconds since 1970), offset in the journal, index in the frame.
    pub logs: Vec<(i64, u64, u32)>,
    /// Whether log records are left out.
    pub is_of_spans: bool,
}

impl Request {
    fn is_of(&self, tenant: &str) -> bool {
        self.tenant.as_ref().is_none_or(|mine| mine.as_str() == tenant)
    }
}

/// The spans of a request.
pub(crate) fn spans(reader: &Reader, request: &Request, spans: &View) -> Trace {
    let mut trace = Trace::default();
    let mut room = Room::default();
    let mut found: HashMap<Identity, (i64, Span)> = HashMap::new();
    (trace.truncated, trace.unreadable) = each_of(reader, &request.ids, &[], spans, &mut |row| {
        if !room.takes(row) {
            return ControlFlow::Break(());
        }
        let Ok(span) = Span::read(row) else { return ControlFlow::Continue(()) };
        if request.is_of(&span.tenant) {
            trace.copies += take(&mut found, span);
        }
        ControlFlow::Continue(())
    });
    let shown = found.into_values().map(|(_, span)| span).filter(|span| !is_withdrawn(span));
    trace.spans = shown.collect();
    trace.spans.sort_by_key(|span| (span.start, span.offset, span.index));
    trace
}

/// The log records of a request.
pub(crate) fn logs(reader: &Reader, request: &Request, logs: &View) -> Trace {
    let mut trace = Trace::default();
    let mut room = Room::default();
    let mut take_log = |row: &Row<'_>| {
        if !room.takes(row) {
            return ControlFlow::Break(());
        }
        trace.logs.extend(LogRow::read(row).ok().filter(|log| request.is_of(&log.tenant)));
        ControlFlow::Continue(())
    };
    (trace.truncated, trace.unreadable) = each_of(reader, &request.ids, &request.logs, logs, &mut take_log);
    trace.logs.sort_by_key(|log| (log.time, log.offset, log.index));
    // In a file without an index of traces a record is found by its place and by its id.
    trace.logs.dedup_by_key(|log| (log.offset, log.index));
    trace.copies += leave_copies_out(&mut trace.logs, &request.logs);
    trace
}

/// The ids of traces that `id` may be short for, and how many files could not be read.
pub(crate) fn ids(reader: &Reader, id: TraceId, views: &[View; 2]) -> (Vec<TraceId>, u64) {
    let mut found = BTreeSet::new();
    let mut unreadable = 0;
    let mut take = |trace: [u8; 16]| {
        if is_of(id, &trace) {
            found.extend(TraceId::from_bytes(trace));
        }
    };
    for view in views {
        let entries = view.chunks.iter().flat_map(|chunk| chunk.entries());
        entries.for_each(|entry| take(entry.trace));
        for stored in &view.files {
            let read = reader.ids_in(stored, rows::low_half(id.bytes()), &mut take);
            unreadable += u64::from(!read);
        }
    }
    (found.into_iter().collect(), unreadable)
}

/// Leaves one of each record with a key of its own: the one at a place that was asked for, else the first. Answers how many go.
fn leave_copies_out(logs: &mut Vec<LogRow>, places: &[(i64, u64, u32)]) -> u64 {
    let rank = |log: &LogRow| {
        let is_asked = places.iter().any(|place| (place.1, place.2) == (log.offset, log.index));
        (!is_asked, log.offset, log.index)
    };
    let mut best: HashMap<[String; 3], (bool, u64, u32)> = HashMap::new();
    for log in &*logs {
        if let Some(key) = natural_key(log) {
            let (rank, known) = (rank(log), best.entry(key).or_insert((true, u64::MAX, u32::MAX)));
            *known = rank.min(*known);
        }
    }
    let before = logs.len();
    logs.retain(|log| natural_key(log).is_none_or(|key| best.get(&key) == Some(&rank(log))));
    (before - logs.len()) as u64
}

/// What tells a record from all others but its copies. Only what intake itself wrote is believed: others could call different records
/// by one name, and all but one would be hidden.
fn natural_key(log: &LogRow) -> Option<[String; 3]> {
    let key = log.attributes.get("tidegate.key").filter(|_| log.scope.name == "tidegate")?.as_str()?;
    Some([&*log.tenant, &log.source, key].map(str::to_owned))
}

type Identity = (String, String, String, String, &'static str, u64);

fn identity(span: &Span) -> Identity {
    let text = |text: &str| text.to_owned();
    let (tenant, trace, id) = (text(&span.tenant), text(&span.trace_id), text(&span.span_id));
    // What is made here is one span whatever a later revision says of it.
    match revision(span) {
        Some(_) => (tenant, String::new(), trace, id, "", 0),
        None => (tenant, text(&span.service), trace, id, span.kind, span.start),
    }
}

/// The revision of a span that stitching has made; `None` for all others.
fn revision(span: &Span) -> Option<i64> {
    let is_ours = matches!(span.source.as_str(), "stitch" | "stitch-revised");
    span.attributes.get("tidegate.revision").filter(|_| is_ours).and_then(serde_json::Value::as_i64)
}

fn is_withdrawn(span: &Span) -> bool {
    revision(span).is_some() && span.attributes.get("tidegate.withdrawn").is_some()
}

/// Takes a span in, unless what is there is better: a higher revision, else what was received later. Says whether it met another.
fn take(found: &mut HashMap<Identity, (i64, Span)>, span: Span) -> u64 {
    use std::collections::hash_map::Entry;
    let rank = revision(&span).unwrap_or(0);
    match found.entry(identity(&span)) {
        Entry::Vacant(entry) => {
            entry.insert((rank, span));
            0
        }
        Entry::Occupied(mut entry) => {
            let (known, other) = entry.get();
            let is_same = (other.offset, other.index) == (span.offset, span.index);
            if (*known, other.offset, other.index) < (rank, span.offset, span.index) {
                entry.insert((rank, span));
            }
            u64::from(!is_same)
        }
    }
}

/// Calls `each` with every row of `view` that belongs to one of these traces, or lies at one of these places: time, offset, index. Answers whether
/// it broke off, and how many files could not be read.
fn each_of(
    reader: &Reader,
    ids: &[TraceId],
    places: &[(i64, u64, u32)],
    view: &View,
    each: &mut Each<'_>,
) -> (bool, u64) {
    let mut lows: Vec<u64> = ids.iter().map(|id| rows::low_half(id.bytes())).collect();
    lows.sort_unstable();
    lows.dedup();
    let belongs = |trace: &[u8; 16]| ids.iter().any(|id| is_of(*id, trace));
    let is_there = |offset: u64, index: u32| places.iter().any(|place| (place.1, place.2) == (offset, index));
    for chunk in &view.chunks {
        let offset = chunk.frame().offset;
        let has_places = places.iter().any(|place| place.1 == offset);
        for entry in chunk.entries() {
            let is_wanted = belongs(&entry.trace) || has_places && is_there(offset, entry.index);
            if is_wanted && each(&chunk.row(entry)).is_break() {
                return (true, 0);
            }
        }
    }
    let (mut broken, mut unreadable) = (false, 0);
    for stored in &view.files {
        let ((first, last), span) = (stored.key.times, &stored.key.span);
        let is_in = |place: &&(i64, u64, u32)| {
            (span.first..=span.last).contains(&place.1) && (first..=last).contains(&place.0)
        };
        let mine: Vec<_> = places.iter().filter(is_in).copied().collect();
        let read = reader.rows(stored, &lows, &mine, &mut |row| {
            let is_wanted =
                || row.trace().is_some_and(|trace| belongs(&trace)) || is_there(row.offset, row.index);
            broken = broken || is_wanted() && each(row).is_break();
            if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        unreadable += u64::from(!read);
        if broken {
            break;
        }
    }
    (broken, unreadable)
}

/// Whether an item with the id `stored` belongs to what `asked` names: equal, or equal in the low half where one of them has
/// no upper half.
fn is_of(asked: TraceId, stored: &[u8; 16]) -> bool {
    let halves = |id: &[u8; 16]| (u128::from_be_bytes(*id) >> 64, rows::low_half(id));
    let ((high, low), (stored_high, stored_low)) = (halves(asked.bytes()), halves(stored));
    low == stored_low && *stored != [0; 16] && (high == stored_high || high == 0 || stored_high == 0)
}

/// How much an answer may still take.
#[derive(Debug, Default)]
struct Room {
    items: usize,
    bytes: usize,
}

impl Room {
    fn takes(&mut self, row: &Row<'_>) -> bool {
        self.items += 1;
        self.bytes += row.raw.len() + row.resource.len() + row.scope.len() + row.metric.len();
        self.items <= MOST_ITEMS && self.bytes <= MOST_BYTES
    }
}

pub(crate) fn scan(reader: &Reader, scan: &Scan, view: &View) -> Scanned {
    let mut newest = Newest { limit: scan.limit.min(MOST_ITEMS), ..Newest::default() };
    let nanos = |time: UnixNanos| i64::try_from(time.0).unwrap_or(i64::MAX);
    let times = nanos(scan.from)..=nanos(scan.to);
    let tenant = scan.tenant.as_ref();
    for chunk in
        view.chunks.iter().filter(|chunk| tenant.is_none_or(|tenant| chunk.frame().tenant == *tenant))
    {
        for entry in chunk.entries() {
            if times.contains(&entry.time) {
                newest.offer(&chunk.row(entry));
            }
        }
    }
    // The files with the newest rows first: then older ones can be passed over.
    let mut files: Vec<_> = view.files.iter().collect();
    files.sort_by_key(|stored| Reverse(stored.key.times.1));
    let mut unreadable = 0;
    for stored in files {
        let (first, last) = stored.key.times;
        let other = tenant.is_some_and(|tenant| stored.key.partition.tenant != *tenant);
        if other || last < *times.start() || first > *times.end() {
            continue;
        }
        if newest.is_beyond(last) {
            newest.left_out = true;
            break;
        }
        let read = reader.file(stored, |file| {
            file.between(times.clone(), &mut |row| {
                newest.offer(row);
                ControlFlow::Continue(())
            })
        });
        unreadable += u64::from(!read);
    }
    let mut scanned = Scanned { truncated: newest.left_out, unreadable, ..Scanned::default() };
    for (_, item) in newest.items.into_iter().rev() {
        match item {
            Item::Span(span) => scanned.spans.push(*span),
            Item::Log(log) => scanned.logs.push(*log),
            Item::Metric(metric) => scanned.metrics.push(*metric),
        }
    }
    scanned
}

/// Where an item stands in time; the last two make it unique within a signal and tenant's journal.
type Place = (i64, u64, u32);

#[derive(Debug)]
enum Item {
    Span(Box<Span>),
    Log(Box<LogRow>),
    Metric(Box<MetricRow>),
}

/// The newest items offered so far.
#[derive(Debug, Default)]
struct Newest {
    items: BTreeMap<Place, Item>,
    sizes: BinaryHeap<Reverse<(Place, usize)>>,
    bytes: usize,
    limit: usize,
    left_out: bool,
}

impl Newest {
    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.bytes >= MOST_BYTES
    }

    /// Whether nothing at or before `time` can get in any more.
    fn is_beyond(&self, time: i64) -> bool {
        self.is_full() && self.items.first_key_value().is_none_or(|((oldest, ..), _)| time < *oldest)
    }

    fn offer(&mut self, row: &Row<'_>) {
        let place = (row.time, row.offset, row.index);
        if self.is_full() && self.items.first_key_value().is_none_or(|(oldest, _)| place < *oldest) {
            self.left_out = true;
            return;
        }
        let item = match row.signal {
            Signal::Traces => Span::read(row).map(|span| Item::Span(Box::new(span))),
            Signal::Logs => LogRow::read(row).map(|log| Item::Log(Box::new(log))),
            Signal::Metrics => MetricRow::read(row).map(|metric| Item::Metric(Box::new(metric))),
        };
        // What was taken in once was readable; an item that is not has no form to show it in.
        let Ok(item) = item else { return };
        let size = row.raw.len() + row.resource.len() + row.scope.len() + row.metric.len();
        self.bytes += size;
        self.sizes.push(Reverse((place, size)));
        self.items.insert(place, item);
        while self.items.len() > self.limit || (self.bytes > MOST_BYTES && self.items.len() > 1) {
            let Some(Reverse((oldest, size))) = self.sizes.pop() else { break };
            self.items.remove(&oldest);
            self.bytes -= size;
            self.left_out = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use rows::{Attributes, Scope};

    use super::*;

    fn log(offset: u64, scope: &str, key: &str) -> LogRow {
        LogRow {
            time: 1,
            observed: 1,
            trace_id: String::new(),
            span_id: String::new(),
            service: String::new(),
            severity: 0,
            severity_text: String::new(),
            event_name: String::new(),
            body: serde_json::Value::Null,
            flags: 0,
            attributes: Attributes([("tidegate.key".to_owned(), key.into())].into_iter().collect()),
            resource: Attributes::default(),
            scope: Scope { name: scope.to_owned(), ..Scope::default() },
            dropped: 0,
            tenant: "a".to_owned(),
            source: "kong".to_owned(),
            offset,
            index: 0,
        }
    }

    #[test]
    fn of_a_record_that_was_sent_again_one_is_shown() {
        let other = |log: LogRow| LogRow { tenant: "b".to_owned(), ..log };
        let mut logs = vec![
            log(1, "tidegate", "x"),
            log(2, "tidegate", "x"),
            log(3, "tidegate", "y"),
            log(4, "tidegate", "y"),
            other(log(5, "tidegate", "x")),
            log(6, "theirs", "z"),
            log(7, "theirs", "z"),
        ];
        assert_eq!(leave_copies_out(&mut logs, &[(1, 4, 0)]), 2);
        let left: Vec<u64> = logs.iter().map(|log| log.offset).collect();
        assert_eq!(left, [1, 4, 5, 6, 7], "the first, the one that was asked for, and what is no copy");
    }
}
