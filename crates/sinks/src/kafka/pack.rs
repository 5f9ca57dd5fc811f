//! From a parcel to messages, one at a time: each of one request (or of translated remote-write, the whole parcel), one key, and
//! not larger than the broker takes. Nothing is laid down before it is asked for, since one request may make many messages.
//!
//! The same parcel always makes the same messages in the same order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{Failure, Layout, RefusedItem, Signal};
use pipeline::{Parcel, Part};
use wire::batch::Pieces;
use wire::otlp::View;
use wire::otlp::logs::LogRecord;
use wire::{otlp::AnyValue, translate};

use super::key::{self, Key};
use super::settings::{Encoding, Form, Keying};

/// What a message takes beside its payload: its framing, the batch's, the key, the headers.
pub(super) const BESIDE: usize = 512;

/// How much larger than the request itself all its messages may be, since each repeats what is around its items. A request that would
/// grow beyond is not split by key.
const GROWTH: usize = 16;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: Option<Bytes>,
    pub(super) payload: Bytes,
    pub(super) content_type: &'static str,
    pub(super) head: Head,
    /// Its items' indexes in the parcel; none when they were translated.
    pub(super) items: Vec<u32>,
}

/// Whence a message's items came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The receiver that took them.
    pub(super) source: model::Source,
    /// Where the request stands in the journal.
    pub(super) offset: u64,
    /// The number of its first item in the request as it was received; once translated, of the points.
    pub(super) item: u32,
    /// When it was received, milliseconds since 1970.
    pub(super) received: i64,
}

/// Makes messages of a parcel.
pub(super) struct Packer {
    parcel: Parcel,
    form: Arc<Form>,
    /// The part that comes next, and the index of its first item in the parcel.
    part: usize,
    index: u32,
    unit: Option<Unit>,
    back: Option<Message>,
    /// What is larger than a message may be, or cannot be written, alone.
    pub(super) refused: Vec<RefusedItem>,
    /// What translation lost.
    pub(super) losses: translate::Losses,
    /// Requests that grew too much and were not split by key.
    pub(super) unsplit: u32,
}

/// A request that is being written.
struct Unit {
    /// What it came in, the first of several once translated.
    part: Part,
    plain: Bytes,
    /// The indexes of its items in the parcel; `None` once translated.
    items: Option<Range<u32>>,
    stage: Stage,
}

enum Stage {
    /// Nothing was tried yet.
    Whole,
    Apart {
        pieces: Pieces,
        /// The items' numbers, those of one key together.
        order: Vec<u32>,
        /// Stretches of `order` to be written, the next one last.
        todo: Vec<(Range<usize>, Key)>,
    },
}

impl Packer {
    pub(super) fn new(parcel: Parcel, form: Arc<Form>) -> Self {
        Self {
            parcel,
            form,
            part: 0,
            index: 0,
            unit: None,
            back: None,
            refused: Vec::new(),
            losses: translate::Losses::default(),
            unsplit: 0,
        }
    }

    /// Puts a message back that found no room; it is the next again.
    pub(super) fn put_back(&mut self, message: Message) {
        self.back = Some(message);
    }

    /// The next message; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Failure> {
        if let Some(message) = self.back.take() {
            return Ok(Some(message));
        }
        loop {
            let Some(mut unit) = self.unit.take() else {
                match self.open()? {
                    Some(unit) => self.unit = Some(unit),
                    None => return Ok(None),
                }
                continue;
            };
            match self.step(&mut unit)? {
                Step::Message(message) => {
                    self.unit = Some(unit);
                    return Ok(Some(message));
                }
                Step::Again => self.unit = Some(unit),
                Step::Over => {}
            }
        }
    }

    fn open(&mut self) -> Result<Option<Unit>, Failure> {
        if self.part == 0 {
            // What nobody can read is found before anything is sent.
            self.parcel.parts.iter().try_for_each(|part| part.frame_plain().map(drop))?;
        }
        let Some(part) = self.parcel.parts.get(self.part) else { return Ok(None) };
        let part = part.clone();
        if self.parcel.layout == Layout::RemoteWrite {
            self.part = self.parcel.parts.len();
            let (plain, losses) = translate::rw_to_otlp(&self.parcel.plain()?)
                .map_err(|error| Failure::RefusedWhole { reason: error.to_string() })?;
            self.losses = losses;
            return Ok(Some(Unit { part, plain: plain.into(), items: None, stage: Stage::Whole }));
        }
        let plain = self.parcel.part_plain(&part)?;
        let items = self.index..self.index + part.len();
        (self.part, self.index) = (self.part + 1, items.end);
        Ok(Some(Unit { part, plain, items: Some(items), stage: Stage::Whole }))
    }

    fn step(&mut self, unit: &mut Unit) -> Result<Step, Failure> {
        let limit = self.form.max_message_bytes - BESIDE;
        let Stage::Apart { pieces, order, todo } = &mut unit.stage else {
            if unit.plain.is_empty() {
                return Ok(Step::Over);
            }
            if self.form.key == Keying::None
                && let Some((content_type, payload)) =
                    whole(self.form.encoding, self.form.signal, &unit.plain)
                && payload.len() <= limit
            {
                let items = unit.items.clone().map(Iterator::collect).unwrap_or_default();
                let head = head(&unit.part, unit.items.is_none(), 0);
                let message = Message { key: None, payload, content_type, head, items };
                (unit.plain, unit.items) = (Bytes::new(), None);
                return Ok(Step::Message(message));
            }
            unit.stage = self.take_apart(unit, limit)?;
            return Ok(Step::Again);
        };
        let Some((at, key)) = todo.pop() else { return Ok(Step::Over) };
        let items = &order[at.clone()];
        let written = write(self.form.encoding, self.form.signal, pieces, items);
        let problem = match written {
            Ok((content_type, payload)) if payload.len() <= limit => {
                let key = key.map(|key| key::bytes(self.form.key, key));
                let first = items.first().copied().unwrap_or_default();
                let head = head(&unit.part, unit.items.is_none(), first);
                let index = unit.items.as_ref().map(|range| range.start);
                let items = index.map(|index| items.iter().map(|item| index + item).collect());
                let items = items.unwrap_or_default();
                return Ok(Step::Message(Message { key, payload, content_type, head, items }));
            }
            Ok((_, payload)) => {
                let most = self.form.max_message_bytes;
                let size = payload.len() + BESIDE;
                Failure::TooLarge { reason: format!("message of {size} bytes exceeds the limit of {most}") }
            }
            Err(error) => Failure::RefusedWhole { reason: error.to_string() },
        };
        if at.len() > 1 {
            let middle = at.start + at.len() / 2;
            todo.push((middle..at.end, key));
            todo.push((at.start..middle, key));
            return Ok(Step::Again);
        }
        let (Some(range), Some(item)) = (&unit.items, items.first()) else { return Err(problem) };
        let (Failure::TooLarge { reason } | Failure::RefusedWhole { reason }) = problem else {
            return Err(problem);
        };
        self.refused.push(RefusedItem { index: range.start + item, reason });
        Ok(Step::Again)
    }

    /// Groups the items by key, and cuts the groups by size as far as it can be told before they are written.
    fn take_apart(&mut self, unit: &Unit, limit: usize) -> Result<Stage, Failure> {
        let unreadable = |error: wire::WireError| Failure::RefusedWhole { reason: error.to_string() };
        let signal = self.form.signal;
        let pieces = Pieces::read(signal, Layout::Otlp, unit.plain.clone()).map_err(unreadable)?;
        let keys = key::keys(signal, self.form.key, &unit.plain).map_err(unreadable)?;
        if self.form.encoding == Encoding::Raw {
            let order: Vec<u32> = (0..pieces.len()).collect();
            let key = |item: usize| keys.get(item).copied().flatten();
            let todo = (0..order.len()).rev().map(|item| (item..item + 1, key(item))).collect();
            return Ok(Stage::Apart { pieces, order, todo });
        }
        let (mut order, mut groups) = group(&keys, pieces.len());
        let weight: usize = groups.iter().map(|(at, _)| pieces.weight(&order[at.clone()])).sum();
        if weight > GROWTH.saturating_mul(unit.plain.len()).max(64 << 10) {
            self.unsplit += 1;
            (order, groups) = group(&[], pieces.len());
        }
        // Translated points have no index to refuse them by, so this is found out before anything is sent.
        if unit.items.is_none()
            && let Some(large) = order.iter().map(|item| pieces.weight(&[*item])).find(|bytes| *bytes > limit)
        {
            let reason = format!("message of {large} bytes exceeds the limit of {limit}");
            return Err(Failure::TooLarge { reason });
        }
        // JSON is about twice as long; what this gets wrong is halved later.
        let limit = if self.form.encoding == Encoding::Json { limit / 2 } else { limit };
        let mut todo = Vec::new();
        for (at, key) in groups {
            let mut from = at.start;
            while from < at.end {
                let to = from + pieces.fit(&order[from..at.end], limit);
                todo.push((from..to, key));
                from = to;
            }
        }
        todo.reverse();
        Ok(Stage::Apart { pieces, order, todo })
    }
}

enum Step {
    Message(Message),
    Again,
    Over,
}

/// Whence a message came whose first item is the `item`-th of a part, or of what the part and others were translated to.
fn head(part: &Part, translated: bool, item: u32) -> Head {
    let number = if translated { item } else { part.number(part.items.start.saturating_add(item)) };
    Head {
        source: part.origin.source.clone(),
        offset: part.offset.0,
        item: number,
        received: part.received.millis(),
    }
}

/// Orders the items of one key together, keys by their first item; items without keys are one group.
fn group(keys: &[Key], items: u32) -> (Vec<u32>, Vec<(Range<usize>, Key)>) {
    let mut numbers = HashMap::new();
    let mut groups: Vec<(Range<usize>, Key)> = Vec::new();
    let key = |item: u32| keys.get(item as usize).copied().flatten();
    let group_of: Vec<usize> = (0..items)
        .map(|item| {
            let number = *numbers.entry(key(item)).or_insert_with(|| {
                groups.push((0..0, key(item)));
                groups.len() - 1
            });
            groups[number].0.end += 1;
            number
        })
        .collect();
    let mut next = 0;
    for (at, _) in &mut groups {
        *at = next..next + at.end;
        next = at.end;
    }
    let mut order = vec![0; items as usize];
    let mut places: Vec<usize> = groups.iter().map(|(at, _)| at.start).collect();
    for (item, group) in (0..items).zip(group_of) {
        order[places[group]] = item;
        places[group] += 1;
    }
    (order, groups)
}

const PROTO: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A request that needs no taking apart; `None` when it does.
fn whole(encoding: Encoding, signal: Signal, plain: &Bytes) -> Option<(&'static str, Bytes)> {
    match encoding {
        Encoding::Proto => Some((PROTO, plain.clone())),
        Encoding::Json => Some((JSON, wire::json::to_json(signal, plain).ok()?.into())),
        Encoding::Raw => None,
    }
}

/// The content type and payload of a message of these items.
fn write(
    encoding: Encoding,
    signal: Signal,
    pieces: &Pieces,
    items: &[u32],
) -> Result<(&'static str, Bytes), wire::WireError> {
    let raw = match encoding {
        Encoding::Proto => return Ok((PROTO, pieces.request(items).into())),
        Encoding::Json => return Ok((JSON, wire::json::to_json(signal, &pieces.request(items))?.into())),
        Encoding::Raw => pieces.item(items.first().copied().unwrap_or_default()),
    };
    Ok(match LogRecord::read(raw)?.body {
        AnyValue::Str(text) => ("text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes())),
        AnyValue::Bytes(bytes) => ("application/octet-stream", Bytes::copy_from_slice(bytes)),
        AnyValue::Empty => ("text/plain; charset=utf-8", Bytes::new()),
        other => {
            let mut text = Vec::new();
            translate::append_text(&other, &mut text)?;
            (JSON, text.into())
        }
    })
}

#[cfg(test)]
mod tests;
