//! Log records of Cloudflare and Kong for sinks that want them joined: kept until it is decided which span they belong to, then told once,
//! under its trace.
//!
//! Only requests through Kong wait. What came in a turn and waits lies in the join store under one key, which goes when it is told.

use std::collections::BTreeSet;
use std::ptr;

use ahash::HashMap;
use model::{Signal, Tenant, TraceId};
use serde::{Deserialize, Serialize};
use wire::coding::{Ceiling, inflate};
use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};
use wire::walk::fields;
use wire::{Coding, WireError, coding, put};

use super::outbox::{LEVEL, Outbox};
use crate::book::{Book, BookError, Changes, Index, tree};
use crate::cluster::Row;
use crate::fact::{Fact, Span, Trace};

/// On a record that is told under another trace than it was received under: that trace.
const RECEIVED: &str = "tidegate.trace_id.received";
/// Bytes of records after which a batch is full.
const FULL: usize = 1 << 20;
/// What an entry of the join store may inflate to.
const MOST: usize = 1 << 30;

/// A log record as it was received.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Frame and number in it.
    at: (u64, u32),
    /// What leads to its cluster; nothing, where it belongs to no request.
    index: Option<Index>,
    /// When it is decided, nanoseconds since 1970.
    due: u64,
    #[serde(with = "crate::plain")]
    raw: Vec<u8>,
}

/// Records of one resource and scope.
#[derive(Debug, Serialize, Deserialize)]
struct Group {
    tenant: u32,
    /// What a `ResourceLogs` has besides scopes.
    #[serde(with = "crate::plain")]
    resource: Vec<u8>,
    /// What a `ScopeLogs` has besides records.
    #[serde(with = "crate::plain")]
    scope: Vec<u8>,
    records: Vec<Record>,
}

/// Records in the join store: when the last of them is decided, the entry's number, the first frame.
type Entry = (u64, u64, u64);

/// Where a walk over a frame is: records of one resource and scope follow each other.
#[derive(Debug, Default)]
pub(super) struct Walk<'a>(Option<(&'a [u8], &'a [u8])>);

/// When a record is decided, and by what.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wait {
    index: Option<Index>,
    due: u64,
}

impl Wait {
    pub(super) fn of(fact: &Fact) -> Self {
        let due = if let Fact::Kong(kong) = fact { kong.due } else { 0 };
        // The last is the surest.
        Self { index: Index::of(fact).pop(), due }
    }
}

#[derive(Debug, Default)]
pub(super) struct Joined {
    /// What came since the last turn.
    new: Vec<Group>,
    /// Bytes of what is new.
    bytes: usize,
    /// The last record that came: one that comes again, since the frame could not be read to its end, is there already.
    last: (u64, u32),
    /// What is told in this turn.
    open: Vec<Group>,
    /// What leads to the clusters of those that have waited, as far as these were not called yet.
    leads: Vec<(u32, Index)>,
    /// Where records belong, as far as it was looked at since something was told last.
    places: HashMap<(u64, u32), (Trace, Span)>,
    entries: BTreeSet<Entry>,
    /// Entries whose records are open.
    opened: Vec<Entry>,
    /// Entries that have to go.
    gone: Vec<Entry>,
    /// The number of the next entry.
    next: u64,
}

impl Joined {
    pub(super) fn load(book: &Book) -> Result<Self, BookError> {
        let mut joined = Self::default();
        for entry in book.state.prefix(tree::JOINED) {
            let (key, _) = entry.into_inner()?;
            let (parts, rest) = key[tree::JOINED.len()..].as_chunks::<8>();
            let ([due, number, first], []) = (parts, rest) else {
                return Err(BookError::Damaged("log records"));
            };
            let entry = [due, number, first].map(|part| u64::from_be_bytes(*part));
            joined.entries.insert((entry[0], entry[1], entry[2]));
            joined.next = joined.next.max(entry[1] + 1);
        }
        Ok(joined)
    }

    /// Takes in a record.
    pub(super) fn take<'a>(
        &mut self,
        walk: &mut Walk<'a>,
        tenant: u32,
        (resource, scope): (&ResourceLogs<'a>, &ScopeLogs<'a>),
        record: &LogRecord<'a>,
        at: (u64, u32),
        Wait { index, due }: Wait,
    ) -> Result<(), WireError> {
        if at <= self.last {
            return Ok(());
        }
        let is_next =
            walk.0.is_some_and(|(above, beside)| ptr::eq(above, resource.raw) && ptr::eq(beside, scope.raw));
        if !is_next || self.new.is_empty() {
            let (resource_head, scope_head) = (head(resource.raw)?, head(scope.raw)?);
            let is_same = |group: &Group| {
                (group.tenant, &group.resource, &group.scope) == (tenant, &resource_head, &scope_head)
            };
            if !self.new.last().is_some_and(is_same) {
                self.new.push(Group {
                    tenant,
                    resource: resource_head,
                    scope: scope_head,
                    records: Vec::new(),
                });
            }
            walk.0 = Some((resource.raw, scope.raw));
        }
        if let Some(group) = self.new.last_mut() {
            group.records.push(Record { at, index, due, raw: record.raw.to_vec() });
            self.last = at;
            self.bytes += record.raw.len();
        }
        Ok(())
    }

    /// Opens what is decided at `now`: what came and need not wait, and what has waited. The clusters of the latter have to be looked at: see
    /// `lead`.
    pub(super) fn open(&mut self, book: &Book, now: u64) -> Result<(), BookError> {
        while let Some(&entry) = self.entries.first()
            && entry.0 <= now
        {
            let value = book.state.get(key(entry))?.ok_or(BookError::Damaged("log records"))?;
            let groups = read(&value).ok_or(BookError::Damaged("log records"))?;
            for group in &groups {
                self.leads
                    .extend(group.records.iter().filter_map(|record| Some((group.tenant, record.index?))));
            }
            self.open.extend(groups);
            self.entries.pop_first();
            self.opened.push(entry);
        }
        for group in &mut self.new {
            let ready: Vec<Record> = group.records.extract_if(.., |record| record.due <= now).collect();
            if !ready.is_empty() {
                let (resource, scope) = (group.resource.clone(), group.scope.clone());
                self.open.push(Group { tenant: group.tenant, resource, scope, records: ready });
            }
        }
        self.new.retain(|group| !group.records.is_empty());
        Ok(())
    }

    /// What leads to the next cluster that has to be looked at: tenant and index.
    pub(super) fn lead(&self) -> Option<(u32, Index)> {
        self.leads.last().copied()
    }

    /// That cluster will be looked at.
    pub(super) fn led(&mut self) {
        self.leads.pop();
    }

    /// Bytes that came since the last turn.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether anything is to be told in this turn.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// A log record belongs to a span; no span where its id is zero.
    pub(super) fn place(&mut self, row: &Row, trace: Trace, span: Span) {
        self.places.insert((row.offset, row.index), (trace, span));
    }

    /// Tells what is open. What belongs nowhere is told as it was received.
    pub(super) fn tell(&mut self, outbox: &mut Outbox, name: impl Fn(u32) -> Tenant) {
        let places = std::mem::take(&mut self.places);
        let mut groups = std::mem::take(&mut self.open);
        // Stable: records of a tenant stay in the order in which they came.
        groups.sort_by_key(|group| group.tenant);
        for of_tenant in groups.chunk_by(|one, other| one.tenant == other.tenant) {
            let tenant = of_tenant.first().map_or(0, |group| group.tenant);
            let (mut plain, mut items) = (Vec::new(), 0);
            let mut close = |plain: &mut Vec<u8>, items: &mut u32| {
                if *items > 0 {
                    outbox.push(Signal::Logs, name(tenant), false, *items, plain);
                    plain.clear();
                    *items = 0;
                }
            };
            for group in of_tenant {
                let mut records = Vec::new();
                for record in &group.records {
                    put::message(&mut records, 2, |out| write(record, places.get(&record.at), out));
                    items += 1;
                    if plain.len() + records.len() >= FULL {
                        group.write(&mut plain, &std::mem::take(&mut records));
                        close(&mut plain, &mut items);
                    }
                }
                if !records.is_empty() {
                    group.write(&mut plain, &records);
                }
            }
            close(&mut plain, &mut items);
        }
        self.gone.append(&mut self.opened);
    }

    pub(super) fn write(&self, book: &Book, changes: &mut Changes) -> Result<(), BookError> {
        self.gone.iter().for_each(|entry| changes.remove(&book.state, key(*entry)));
        if let Some(entry) = self.entry() {
            let plain = postcard::to_allocvec(&self.new).map_err(|_| BookError::Damaged("log records"))?;
            changes.put(&book.state, key(entry), coding::compress(Coding::Zstd, LEVEL, &plain));
        }
        Ok(())
    }

    /// What was written is on disk.
    pub(super) fn written(&mut self) {
        self.gone.clear();
        if let Some(entry) = self.entry() {
            self.entries.insert(entry);
            self.next += 1;
        }
        self.new.clear();
        self.bytes = 0;
    }

    /// The entry that what is new makes.
    fn entry(&self) -> Option<Entry> {
        let records = || self.new.iter().flat_map(|group| &group.records);
        let due = records().map(|record| record.due).max()?;
        Some((due, self.next, records().map(|record| record.at.0).min()?))
    }

    /// The first frame with a record that is not told yet.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.iter().chain(&self.opened).map(|entry| entry.2).min()
    }
}

fn key((due, number, first): Entry) -> Vec<u8> {
    tree::below(tree::JOINED, &[&due.to_be_bytes(), &number.to_be_bytes(), &first.to_be_bytes()])
}

fn read(value: &[u8]) -> Option<Vec<Group>> {
    postcard::from_bytes(&inflate(Coding::Zstd, value, Ceiling::bytes(MOST)).ok()?).ok()
}

/// A message without its second field, which holds what is below it.
fn head(raw: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut head = Vec::new();
    for field in fields(raw) {
        let field = field?;
        if field.number != 2 {
            head.extend_from_slice(&raw[field.start..field.end]);
        }
    }
    Ok(head)
}

impl Group {
    fn write(&self, out: &mut Vec<u8>, records: &[u8]) {
        put::message(out, 1, |out| {
            out.extend_from_slice(&self.resource);
            put::message(out, 2, |out| {
                out.extend_from_slice(&self.scope);
                out.extend_from_slice(records);
            });
        });
    }
}

/// A record under the trace and the span that it belongs to.
fn write(record: &Record, place: Option<&(Trace, Span)>, out: &mut Vec<u8>) {
    let Some((trace, span)) = place else { return out.extend_from_slice(&record.raw) };
    let has_span = *span != [0; 8];
    let mut received: &[u8] = &[];
    for field in fields(&record.raw).flatten() {
        match field.number {
            9 => received = field.bytes().unwrap_or_default(),
            10 if has_span => {}
            _ => out.extend_from_slice(&record.raw[field.start..field.end]),
        }
    }
    put::bytes(out, 9, trace);
    if has_span {
        put::bytes(out, 10, span);
    }
    if let Some(received) = TraceId::from_otlp(received).filter(|id| id.bytes() != trace) {
        put::message(out, 6, |out| {
            put::bytes(out, 1, RECEIVED.as_bytes());
            put::message(out, 2, |out| put::bytes(out, 1, received.to_string().as_bytes()));
        });
    }
}
