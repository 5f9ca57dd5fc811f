//! The items of one journal frame, found but not decoded: where each lies in the plain bytes, when it happened, to which
//! service and trace it belongs. It is what the store keeps in memory until a file is written, about 64 bytes an item
//! beside the plain bytes themselves, which are shared with whoever else reads the frame.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{Layout, Signal, Source, Tenant, UnixNanos};
use wire::WireError;

use crate::row::{Kind, Row};
use crate::{items, remote_write};

/// What the items of one journal frame share.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Which log it was read from.
    pub signal: Signal,
    /// How `plain` is laid out.
    pub layout: Layout,
    /// On whose behalf it was sent.
    pub tenant: Tenant,
    /// Which receiver took it.
    pub source: Source,
    /// Its position in the log.
    pub offset: u64,
    /// When the gateway had read it.
    pub received: UnixNanos,
    /// The whole frame's plain bytes.
    pub plain: Bytes,
    /// Where items of the frame were left out of `plain`: the number that each one left has in the frame. `None` where it has all.
    pub numbers: Option<Arc<[u32]>>,
}

/// The items of one frame, or of a range of it.
#[derive(Debug)]
pub struct Chunk {
    frame: Frame,
    /// Envelopes that are not contiguous in `plain`.
    arena: Vec<u8>,
    groups: Vec<Group>,
    entries: Vec<Entry>,
    services: Vec<Arc<str>>,
}

/// One item of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, nanoseconds since 1970; the receive time where the item has none.
    pub time: i64,
    /// The trace id, all zero for none.
    pub trace: [u8; 16],
    /// Its number in the frame as it was received, in the order of `wire::batch::count`.
    pub index: u32,
    kind: Kind,
    group: u32,
    start: u32,
    end: u32,
}

/// What the items below one `ScopeSpans`, `ScopeLogs`, `Metric` or `TimeSeries` share.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Group {
    pub(crate) resource: Piece,
    pub(crate) scope: Piece,
    pub(crate) metric: Piece,
    service: u32,
}

/// A slice of the plain bytes, or of the arena.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Piece {
    start: u32,
    end: u32,
    in_arena: bool,
}

/// Offsets have 32 bits, and envelopes may be kept once more for each of the three levels.
const MOST_BYTES: usize = 1 << 30;

impl Chunk {
    /// Finds the items numbered `items` of `frame`. Walks the structure only; an item whose own fields are damaged is
    /// kept with what could be read of it.
    ///
    /// # Errors
    /// The structure above the items is not protobuf, or the frame is larger than 1 GiB.
    pub fn read(frame: Frame, items: Range<u32>) -> Result<Self, WireError> {
        if frame.plain.len() > MOST_BYTES {
            return Err(WireError::TooMany(MOST_BYTES));
        }
        let plain = frame.plain.clone();
        let mut collector = Collector {
            chunk: Self {
                frame,
                arena: Vec::new(),
                groups: Vec::new(),
                entries: Vec::new(),
                services: Vec::new(),
            },
            items,
            next: 0,
        };
        match collector.chunk.frame.layout {
            Layout::Otlp => items::collect(&plain, &mut collector)?,
            Layout::RemoteWrite => remote_write::collect(&plain, &mut collector)?,
        }
        Ok(collector.chunk)
    }

    /// What its items share.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Its items, in frame order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes it keeps in memory, the plain bytes of the frame included.
    pub fn bytes(&self) -> usize {
        self.frame.plain.len()
            + self.arena.len()
            + self.entries.len() * size_of::<Entry>()
            + self.groups.len() * size_of::<Group>()
    }

    /// The service of an item; empty when its resource names none.
    pub fn service(&self, entry: &Entry) -> &Arc<str> {
        &self.services[self.groups[entry.group as usize].service as usize]
    }

    /// One item as a row.
    pub fn row(&self, entry: &Entry) -> Row<'_> {
        let group = &self.groups[entry.group as usize];
        Row {
            signal: self.frame.signal,
            kind: entry.kind,
            time: entry.time,
            received: self.frame.received,
            offset: self.frame.offset,
            index: entry.index,
            tenant: self.frame.tenant.as_str(),
            source: self.frame.source.as_str(),
            service: &self.services[group.service as usize],
            resource: self.piece(group.resource),
            scope: self.piece(group.scope),
            metric: self.piece(group.metric),
            raw: &self.frame.plain[entry.start as usize..entry.end as usize],
        }
    }

    fn piece(&self, piece: Piece) -> &[u8] {
        let bytes: &[u8] = if piece.in_arena { &self.arena } else { &self.frame.plain };
        &bytes[piece.start as usize..piece.end as usize]
    }
}

/// Gathers a chunk while a layout's walker goes through the plain bytes.
pub(crate) struct Collector {
    chunk: Chunk,
    items: Range<u32>,
    next: u32,
}

/// What a walker found out about one item.
pub(crate) struct Found<'a> {
    pub(crate) kind: Kind,
    /// `None` where the item has no time of its own.
    pub(crate) time: Option<i64>,
    pub(crate) trace: [u8; 16],
    pub(crate) raw: &'a [u8],
}

impl Collector {
    /// The frame that is read.
    pub(crate) fn frame(&self) -> &Frame {
        &self.chunk.frame
    }

    /// Opens a group for the items that follow.
    pub(crate) fn group(&mut self, resource: Piece, scope: Piece, metric: Piece, service: u32) {
        self.chunk.groups.push(Group { resource, scope, metric, service });
    }

    /// Whether the next item is outside the wanted range; then it is counted and need not be read.
    pub(crate) fn passes_over(&mut self) -> bool {
        let outside = !self.items.contains(&self.next);
        self.next += u32::from(outside);
        outside
    }

    /// Takes the next item into the newest group.
    pub(crate) fn item(&mut self, found: &Found<'_>) {
        let start = self.offset_of(found.raw);
        let received = i64::try_from(self.chunk.frame.received.0).unwrap_or(i64::MAX);
        let number = |numbers: &Arc<[u32]>| numbers.get(self.next as usize).copied().unwrap_or(u32::MAX);
        let index = self.chunk.frame.numbers.as_ref().map_or(self.next, number);
        self.chunk.entries.push(Entry {
            time: found.time.unwrap_or(received),
            trace: found.trace,
            index,
            kind: found.kind,
            group: self.chunk.groups.len() as u32 - 1,
            start,
            end: start + found.raw.len() as u32,
        });
        self.next += 1;
    }

    /// Numbers a service name.
    pub(crate) fn service(&mut self, name: &str) -> u32 {
        // Neighbours mostly share one; looking only a few back keeps a frame of many services from costing their square.
        let services = &mut self.chunk.services;
        let recent = services.len().saturating_sub(8);
        if let Some(at) = services[recent..].iter().rposition(|known| **known == *name) {
            return (recent + at) as u32;
        }
        services.push(name.into());
        services.len() as u32 - 1
    }

    /// `message` without the fields that `omit` names: a slice of the plain bytes where what remains is contiguous.
    pub(crate) fn envelope(&mut self, message: &[u8], omit: fn(u32) -> bool) -> Result<Piece, WireError> {
        let base = self.offset_of(message);
        let mut kept: Option<Range<usize>> = None;
        let mut arena: Option<u32> = None;
        for field in wire::walk::fields(message) {
            let field = field?;
            if omit(field.number) {
                continue;
            }
            match &mut kept {
                None => kept = Some(field.start..field.end),
                Some(run) if arena.is_none() && run.end == field.start => run.end = field.end,
                Some(run) => {
                    if arena.is_none() {
                        arena = Some(self.chunk.arena.len() as u32);
                        self.chunk.arena.extend_from_slice(&message[run.clone()]);
                    }
                    self.chunk.arena.extend_from_slice(&message[field.start..field.end]);
                }
            }
        }
        Ok(match (arena, kept) {
            (Some(start), _) => Piece { start, end: self.chunk.arena.len() as u32, in_arena: true },
            (None, Some(run)) => {
                Piece { start: base + run.start as u32, end: base + run.end as u32, in_arena: false }
            }
            (None, None) => Piece::default(),
        })
    }

    /// Keeps bytes of the walker's own making.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Piece {
        let start = self.chunk.arena.len() as u32;
        self.chunk.arena.extend_from_slice(bytes);
        Piece { start, end: self.chunk.arena.len() as u32, in_arena: true }
    }

    fn offset_of(&self, part: &[u8]) -> u32 {
        // `part` was cut from `plain`, which is at most `MOST_BYTES` long.
        (part.as_ptr() as usize - self.chunk.frame.plain.as_ptr() as usize) as u32
    }
}
