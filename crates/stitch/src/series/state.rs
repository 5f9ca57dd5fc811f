//! Series and waiting spans as they lie in the store: a byte that names the kind of the key, a byte of version before each value.

use std::fmt;

use wire::{put, walk};

use super::graph::{Callee, Caller, Meeting, Pair};
use super::metric::{Kind, Metric};
use super::table::{self, Entry, Line};
use super::value::{Exemplar, Histogram, Native, Value};

const SERIES: u8 = b's';
const MEETINGS: u8 = b'm';
const CLOCK: u8 = b'c';
/// The form of the values. Whoever changes it writes a reader for the one before.
const VERSION: u8 = 1;

/// Why bytes of the store cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateError {
    /// The key is of a kind that this version does not know.
    Key,
    /// The value has a version that this one does not know.
    Version(u8),
    /// The value is not what its version says.
    Damaged,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key of derived metrics is of an unknown kind"),
            Self::Version(found) => {
                write!(f, "value of derived metrics has version {found}, known is {VERSION}")
            }
            Self::Damaged => f.write_str("value of derived metrics is damaged"),
        }
    }
}

impl std::error::Error for StateError {}

/// What was kept under a key.
#[derive(Debug)]
pub(super) enum Kept {
    Series(Metric, Line, Entry),
    /// Meetings as they were at one time, `None` for what was over, and the number under which they lie.
    Meetings(u64, Vec<(Pair, Option<Meeting>)>),
    /// The time that was last told.
    Clock(u64),
    /// A series of a metric that is no longer, or no longer like this.
    Retired,
}

pub(super) fn read(key: &[u8], value: &[u8]) -> Result<Kept, StateError> {
    let (kind, key) = key.split_first().ok_or(StateError::Key)?;
    let (version, value) = value.split_first().ok_or(StateError::Damaged)?;
    if *version != VERSION {
        return Err(StateError::Version(*version));
    }
    let mut reader = Reader(value);
    let kept = match *kind {
        SERIES => {
            let end = key.iter().position(|byte| *byte == 0).ok_or(StateError::Key)?;
            let line = &key[end + 1..];
            let labels = table::labels(line).ok_or(StateError::Key)?;
            let metric =
                Metric::named(&key[..end]).filter(|metric| metric.row().labels.len() == labels.len());
            let Some(metric) = metric else { return Ok(Kept::Retired) };
            match read_entry(&mut reader, metric)? {
                Some(entry) => Kept::Series(metric, line.into(), entry),
                None => return Ok(Kept::Retired),
            }
        }
        MEETINGS => {
            let number = u64::from_be_bytes(key.try_into().map_err(|_| StateError::Key)?);
            let count = reader.length()?;
            Kept::Meetings(number, (0..count).map(|_| read_pair(&mut reader)).collect::<Result<_, _>>()?)
        }
        CLOCK if key.is_empty() => Kept::Clock(reader.number()?),
        _ => return Err(StateError::Key),
    };
    if reader.0.is_empty() { Ok(kept) } else { Err(StateError::Damaged) }
}

pub(super) fn clock(time: u64) -> (Vec<u8>, Vec<u8>) {
    let mut value = vec![VERSION];
    put::varint(&mut value, time);
    (vec![CLOCK], value)
}

pub(super) fn series_key(metric: Metric, line: &[u8]) -> Vec<u8> {
    [&[SERIES], metric.row().name.as_bytes(), &[0], line].concat()
}

pub(super) fn meetings_key(number: u64) -> Vec<u8> {
    [&[MEETINGS], number.to_be_bytes().as_slice()].concat()
}

pub(super) fn series(entry: &Entry) -> Vec<u8> {
    let mut out = vec![VERSION, u8::from(entry.is_told) | u8::from(entry.is_new) << 1];
    put::varint(&mut out, entry.start);
    put::varint(&mut out, entry.changed);
    match &entry.value {
        Value::Counter(count) => put::varint(&mut out, *count),
        Value::Histogram(histogram) => write_histogram(&mut out, histogram),
    }
    out
}

fn write_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    put::varint(out, histogram.counts.len() as u64);
    for count in &histogram.counts {
        put::varint(out, *count);
    }
    write_wide(out, histogram.sum);
    for exemplar in &histogram.exemplars {
        out.push(u8::from(exemplar.is_some()));
        if let Some(Exemplar { time, trace, span, nanos }) = exemplar {
            put::varint(out, *time);
            out.extend_from_slice(trace);
            out.extend_from_slice(span);
            put::varint(out, *nanos);
        }
    }
    out.push(u8::from(histogram.native.is_some()));
    if let Some(native) = &histogram.native {
        put::varint(out, native.start);
        put::varint(out, native.zero);
        write_wide(out, native.sum);
        put::varint(out, native.buckets.len() as u64);
        for (index, count) in &native.buckets {
            out.extend_from_slice(&index.to_le_bytes());
            put::varint(out, *count);
        }
    }
}

fn write_wide(out: &mut Vec<u8>, number: u128) {
    put::varint(out, (number >> 64) as u64);
    put::varint(out, number as u64);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    put::varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// `None` for a series whose buckets are others today.
fn read_entry(reader: &mut Reader<'_>, metric: Metric) -> Result<Option<Entry>, StateError> {
    let flags = reader.byte()?;
    let (start, changed) = (reader.number()?, reader.number()?);
    let value = match metric.row().kind {
        Kind::Counter => Value::Counter(reader.number()?),
        Kind::Histogram { bounds, .. } => {
            let histogram = read_histogram(reader)?;
            if histogram.counts.len() != bounds.len() + 1 {
                return Ok(None);
            }
            Value::Histogram(histogram)
        }
    };
    let (is_told, is_new) = (flags & 1 != 0, flags & 2 != 0);
    Ok(Some(Entry { start, changed, is_told, is_new, value, told: 0, is_touched: false }))
}

fn read_histogram(reader: &mut Reader<'_>) -> Result<Histogram, StateError> {
    let buckets = reader.length()?;
    let counts = (0..buckets).map(|_| reader.number()).collect::<Result<_, _>>()?;
    let sum = reader.wide()?;
    let mut exemplars = Vec::new();
    for _ in 0..buckets {
        exemplars.push(match reader.byte()? {
            0 => None,
            _ => Some(Exemplar {
                time: reader.number()?,
                trace: reader.array()?,
                span: reader.array()?,
                nanos: reader.number()?,
            }),
        });
    }
    let native = match reader.byte()? {
        0 => None,
        _ => {
            let (start, zero, sum) = (reader.number()?, reader.number()?, reader.wide()?);
            let buckets = (0..reader.length()?)
                .map(|_| Ok((i32::from_le_bytes(reader.array()?), reader.number()?)))
                .collect::<Result<_, _>>()?;
            Some(Native { start, zero, sum, buckets })
        }
    };
    Ok(Histogram { counts, sum, exemplars, native })
}

/// Each of them behind its pair, `None` for one that is over.
pub(super) fn meetings<'a>(all: impl ExactSizeIterator<Item = (&'a Pair, Option<&'a Meeting>)>) -> Vec<u8> {
    let mut out = vec![VERSION];
    put::varint(&mut out, all.len() as u64);
    for (pair, meeting) in all {
        out.extend_from_slice(&pair.trace);
        out.extend_from_slice(&pair.client);
        out.push(u8::from(meeting.is_some()));
        if let Some(meeting) = meeting {
            write_meeting(&mut out, meeting);
        }
    }
    out
}

fn write_meeting(out: &mut Vec<u8>, meeting: &Meeting) {
    put::varint(out, meeting.since);
    out.push(u8::from(meeting.caller.is_some()));
    if let Some(caller) = &meeting.caller {
        let Caller { service, peer, end, nanos, failed, connection, is_silent, is_paired, is_derived } =
            caller;
        write_text(out, service);
        write_text(out, peer);
        put::varint(out, *end);
        put::varint(out, *nanos);
        out.push(*connection);
        out.push(bits([*failed, *is_silent, *is_paired, *is_derived]));
    }
    put::varint(out, meeting.callees.len() as u64);
    for Callee { span, service, end, nanos, failed, connection, is_entry, is_derived, is_paired } in
        &meeting.callees
    {
        out.extend_from_slice(span);
        write_text(out, service);
        put::varint(out, *end);
        put::varint(out, *nanos);
        out.push(*connection);
        out.push(bits([*failed, *is_entry, *is_derived, *is_paired]));
    }
}

fn bits(truths: [bool; 4]) -> u8 {
    truths.iter().rev().fold(0, |bits, truth| bits << 1 | u8::from(*truth))
}

fn truths(bits: u8) -> [bool; 4] {
    [1, 2, 4, 8].map(|bit| bits & bit != 0)
}

fn read_pair(reader: &mut Reader<'_>) -> Result<(Pair, Option<Meeting>), StateError> {
    let pair = Pair { trace: reader.array()?, client: reader.array()? };
    Ok((pair, if reader.byte()? == 0 { None } else { Some(read_meeting(reader)?) }))
}

fn read_meeting(reader: &mut Reader<'_>) -> Result<Meeting, StateError> {
    let since = reader.number()?;
    let caller = match reader.byte()? {
        0 => None,
        _ => {
            let (service, peer) = (reader.text()?, reader.text()?);
            let (end, nanos) = (reader.number()?, reader.number()?);
            let connection = reader.byte()?;
            let [failed, is_silent, is_paired, is_derived] = truths(reader.byte()?);
            Some(Caller { service, peer, end, nanos, failed, connection, is_silent, is_paired, is_derived })
        }
    };
    let mut callees = Vec::new();
    for _ in 0..reader.length()? {
        let (span, service) = (reader.array()?, reader.text()?);
        let (end, nanos) = (reader.number()?, reader.number()?);
        let connection = reader.byte()?;
        let [failed, is_entry, is_derived, is_paired] = truths(reader.byte()?);
        callees.push(Callee {
            span,
            service,
            end,
            nanos,
            failed,
            connection,
            is_entry,
            is_derived,
            is_paired,
        });
    }
    Ok(Meeting { since, caller, callees, is_touched: false })
}

/// What is left of a value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Result<u64, StateError> {
        let (number, end) = walk::varint(self.0, 0).map_err(|_| StateError::Damaged)?;
        self.0 = &self.0[end..];
        Ok(number)
    }

    fn wide(&mut self) -> Result<u128, StateError> {
        Ok(u128::from(self.number()?) << 64 | u128::from(self.number()?))
    }

    /// A number of things that follow, each of at least a byte.
    fn length(&mut self) -> Result<usize, StateError> {
        let length = usize::try_from(self.number()?).map_err(|_| StateError::Damaged)?;
        if length <= self.0.len() { Ok(length) } else { Err(StateError::Damaged) }
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(StateError::Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, StateError> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        self.bytes(N)?.try_into().map_err(|_| StateError::Damaged)
    }

    fn text(&mut self) -> Result<String, StateError> {
        let length = self.length()?;
        String::from_utf8(self.bytes(length)?.to_vec()).map_err(|_| StateError::Damaged)
    }
}
