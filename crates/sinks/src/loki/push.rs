//! Log records → `logproto.PushRequest` (Loki, `pkg/push/push.proto`): streams of entries, sorted by time.

use std::collections::HashMap;
use std::ops::Range;

use model::{Failure, UnixNanos};
use pipeline::{Parcel, Part};
use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs, each_record};
use wire::otlp::{AnyValue, Attributes};
use wire::translate::append_text;
use wire::{Coding, WireError, put};

use super::guard::Guard;
use super::labels::{Labels, OVERFLOW, Recipe};
use super::name::sanitized;

/// The most entries of structured metadata of a line, and the most bytes of their names and values (Loki's defaults).
const METADATA: usize = 128;
const METADATA_BYTES: usize = 64 << 10;
/// The most plain bytes of a request made of several records. A request beyond Loki's burst (6 MB) could never be sent.
const REQUEST: usize = 4 << 20;

/// A request as it goes out, and what was left out of it.
#[derive(Debug)]
pub(super) struct Push {
    /// A snappy block.
    pub(super) body: Vec<u8>,
    pub(super) streams: usize,
    pub(super) dropped: Dropped,
}

/// Parts of records that Loki has no place for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Attributes beyond Loki's limits on structured metadata.
    pub(super) metadata: u64,
    /// Times after 2262, or before 1970: the observed or received time stands instead.
    pub(super) times: u64,
    /// Records whose labels were replaced, since there are too many streams.
    pub(super) overflowed: u64,
}

/// Makes the request.
///
/// # Errors
/// `TooLarge` when several records make more than 4 MiB; `RefusedWhole` for a line that Loki would not take, or a frame that cannot be read.
pub(super) fn make(parcel: &Parcel, recipe: &Recipe, guard: &Guard, now: UnixNanos) -> Result<Push, Failure> {
    let mut writer = Writer {
        recipe,
        guard,
        tenant: parcel.tenant.as_str(),
        now,
        by_labels: HashMap::new(),
        streams: Vec::new(),
        arena: Vec::new(),
        dropped: Dropped::default(),
    };
    let several = parcel.items() > 1;
    for part in &parcel.parts {
        let plain = part_plain(parcel, part)?;
        let mut index = part.items.start;
        let mut too_long = None;
        let mut labels = recipe.of_source(part.origin.source.as_str());
        let read = each_record(&plain, |resource, scope, record| {
            let place = part.received.0.saturating_add(part.number(index).into());
            index += 1;
            if too_long.is_none() {
                too_long = writer.record(&mut labels, resource, scope, &record, place, several)?;
            }
            Ok(())
        });
        read.map_err(|error| Failure::RefusedWhole { reason: error.to_string() })?;
        if let Some(failure) = too_long {
            return Err(failure);
        }
    }
    Ok(writer.finish())
}

fn part_plain(parcel: &Parcel, part: &Part) -> Result<bytes::Bytes, Failure> {
    parcel.part_plain(part).map_err(Failure::from)
}

struct Writer<'a> {
    recipe: &'a Recipe,
    guard: &'a Guard,
    tenant: &'a str,
    now: UnixNanos,
    by_labels: HashMap<String, usize>,
    streams: Vec<Stream>,
    /// The entries' messages, in order of arrival.
    arena: Vec<u8>,
    dropped: Dropped,
}

struct Stream {
    labels: String,
    overflowed: bool,
    entries: Vec<(u64, Range<usize>)>,
}

impl Writer<'_> {
    /// Writes one record. Answers why the parcel cannot go out like this.
    fn record(
        &mut self,
        labels: &mut Labels<'_>,
        resource: &ResourceLogs<'_>,
        scope: &ScopeLogs<'_>,
        record: &LogRecord<'_>,
        received: u64,
        several: bool,
    ) -> Result<Option<Failure>, WireError> {
        labels.read(resource, record)?;
        let stream = self.stream(labels);
        let at = self.time(record, received);
        let start = self.arena.len();
        let out = &mut self.arena;
        put::message(out, 1, |time| {
            put::uint(time, 1, at / 1_000_000_000);
            put::uint(time, 2, at % 1_000_000_000);
        });
        let line = put::message(out, 2, |line| {
            let before = line.len();
            append_text(&record.body, line).map(|()| line.len() - before)
        })?;
        let most = self.recipe.max_line;
        if line > most {
            let reason = format!("line of {line} bytes exceeds the limit of {most}");
            return Ok(Some(Failure::RefusedWhole { reason }));
        }
        let overflowed = self.streams[stream].overflowed;
        let mut metadata = Metadata { out, names: Vec::new(), bytes: 0, dropped: 0 };
        metadata.all(labels, overflowed, resource, scope, record, at)?;
        self.dropped.metadata += metadata.dropped;
        self.dropped.overflowed += u64::from(overflowed);
        if several && self.arena.len() > REQUEST {
            let reason = format!("request exceeds the limit of {REQUEST} bytes");
            return Ok(Some(Failure::TooLarge { reason }));
        }
        self.streams[stream].entries.push((at, start..self.arena.len()));
        Ok(None)
    }

    /// The place of the stream that these labels name, or of the one that takes the overflow.
    fn stream(&mut self, labels: &Labels<'_>) -> usize {
        let own = labels.text(None);
        if let Some(&known) = self.by_labels.get(&own) {
            return known;
        }
        let overflowed = labels.can_overflow() && !self.guard.admits(self.tenant, &own, self.now);
        let name = if overflowed { labels.text(Some(OVERFLOW)) } else { own.clone() };
        let place = match self.by_labels.get(&name) {
            Some(&known) if self.streams[known].overflowed == overflowed => known,
            _ => {
                self.streams.push(Stream { labels: name.clone(), overflowed, entries: Vec::new() });
                self.by_labels.insert(name, self.streams.len() - 1);
                self.streams.len() - 1
            }
        };
        self.by_labels.insert(own, place);
        place
    }

    /// When it happened, as far as Loki can hold it: the record's own time, else when it was observed, else when the gateway received
    /// it, a nanosecond apart from its neighbours, so that equal lines stay two and in order.
    fn time(&mut self, record: &LogRecord<'_>, received: u64) -> u64 {
        let fits = |time: u64| time != 0 && i64::try_from(time).is_ok();
        if fits(record.time) {
            return record.time;
        }
        self.dropped.times += u64::from(record.time != 0);
        if fits(record.observed) { record.observed } else { received.min(i64::MAX as u64) }
    }

    fn finish(mut self) -> Push {
        let mut out = Vec::with_capacity(self.arena.len() + 4096);
        let arena = &self.arena;
        self.streams.retain(|stream| !stream.entries.is_empty());
        for stream in &mut self.streams {
            stream.entries.sort_by_key(|(at, _)| *at);
            put::message(&mut out, 1, |message| {
                put::bytes(message, 1, stream.labels.as_bytes());
                for (_, entry) in &stream.entries {
                    put::bytes(message, 2, &arena[entry.clone()]);
                }
            });
        }
        let body = wire::coding::compress(Coding::Snappy, 0, &out);
        Push { body, streams: self.streams.len(), dropped: self.dropped }
    }
}

/// The structured metadata of one line, written to the end of its entry.
struct Metadata<'a> {
    out: &'a mut Vec<u8>,
    names: Vec<String>,
    bytes: usize,
    dropped: u64,
}

impl Metadata<'_> {
    /// All of it, the most needed first: what exceeds the limits is left out.
    fn all(
        &mut self,
        labels: &Labels<'_>,
        overflowed: bool,
        resource: &ResourceLogs<'_>,
        scope: &ScopeLogs<'_>,
        record: &LogRecord<'_>,
        at: u64,
    ) -> Result<(), WireError> {
        self.put("trace_id", &AnyValue::Str(&hex(record.trace_id)))?;
        self.put("span_id", &AnyValue::Str(&hex(record.span_id)))?;
        self.put("severity_text", &AnyValue::Str(record.severity_text))?;
        for (name, number) in [
            ("severity_number", u64::from(record.severity.unsigned_abs())),
            ("flags", u64::from(record.flags)),
            ("observed_timestamp", if record.observed == at { 0 } else { record.observed }),
            ("dropped_attributes_count", u64::from(record.dropped_attributes)),
        ] {
            if number != 0 {
                self.put(name, &AnyValue::Str(&number.to_string()))?;
            }
        }
        self.put("event_name", &AnyValue::Str(record.event_name))?;
        for (name, value) in labels.changed(overflowed) {
            self.put(&format!("{name}_original"), &AnyValue::Str(value))?;
        }
        self.attributes(record.attributes(), |key| labels.is_of_record(key))?;
        self.put("scope_name", &AnyValue::Str(scope.scope.name))?;
        self.put("scope_version", &AnyValue::Str(scope.scope.version))?;
        self.attributes(scope.scope.attributes(), |_| false)?;
        self.attributes(resource.resource.attributes(), |key| labels.is_of_resource(key))
    }

    fn attributes(
        &mut self,
        attributes: Attributes<'_>,
        is_label: impl Fn(&str) -> bool,
    ) -> Result<(), WireError> {
        for pair in attributes {
            let pair = pair?;
            if !is_label(pair.key) {
                self.put(pair.key, &pair.value)?;
            }
        }
        Ok(())
    }

    /// Writes one entry. Loki knows no empty value; of two equal names the second gets a number.
    fn put(&mut self, key: &str, value: &AnyValue<'_>) -> Result<(), WireError> {
        let mut text = Vec::new();
        append_text(value, &mut text)?;
        if text.is_empty() {
            return Ok(());
        }
        let mut name = sanitized(key);
        if self.names.contains(&name) {
            let free = (2..).map(|number| format!("{}_{number}", name.trim_end_matches('_')));
            name = free.into_iter().find(|name| !self.names.contains(name)).unwrap_or_default();
        }
        let bytes = name.len() + text.len();
        if self.names.len() >= METADATA || self.bytes + bytes > METADATA_BYTES {
            self.dropped += 1;
            return Ok(());
        }
        put::message(self.out, 3, |pair| {
            put::bytes(pair, 1, name.as_bytes());
            put::bytes(pair, 2, &text);
        });
        self.bytes += bytes;
        self.names.push(name);
        Ok(())
    }
}

/// Lower-case hex digits; an id of zeros is none.
fn hex(id: &[u8]) -> String {
    if id.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    id.iter().fold(String::with_capacity(2 * id.len()), |mut out, byte| {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
        out
    })
}
