//! What a sink is given of what the journal holds: filters, sampling, and what is made unreadable. Rules are applied by the
//! courier between the journal and the sink, so the journal keeps the original and no other sink is touched.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs`, `check.rs` | rules as the operator writes them, and checking them |
//! | `condition.rs`, `sample.rs` | which items are given |
//! | `names.rs` | which attributes are given |
//! | `redact.rs`, `detect.rs`, `json.rs` | what is redacted, in plain text and in JSON |
//! | `ink.rs` | what is written in its place |
//!
//! What comes of a frame is a pure function of the frame and the version of the rules. Frames that rules change nothing in go
//! out as they came, to the byte. An item keeps the number that it has in its frame, so that its identity, its place in
//! bookings and its dead letter are those it would have without rules.
//!
//! Where rules cannot be applied, because a frame cannot be read, the sink is given nothing of it: what should have been
//! redacted must not go out because something is broken.

mod check;
mod condition;
mod detect;
mod ink;
mod json;
mod names;
mod redact;
mod sample;
pub mod settings;

use std::sync::Arc;

use bytes::Bytes;
use journal::Offset;
use model::{Signal, Tenant};
use normalize::is_edge_log;
use sha2::{Digest, Sha256};
use wire::edit::{Editor, Fate, How, Item, Place, Treatment, Wants, edit};
use wire::otlp::View;
use wire::otlp::logs::LogRecord;
use wire::{Coding, WireError};

use self::condition::{Condition, Facts, Memo, any};
use self::names::Names;
use self::redact::Redactor;
use self::sample::Sample;
use crate::{Parcel, Part};

/// A sink's rules, checked.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    version: u64,
    /// Log records of Cloudflare and Kong are given as stitching joins them, not as they were received, from this place of the log on.
    joined: Option<Offset>,
    signals: Option<Vec<Signal>>,
    allow: Option<Vec<Tenant>>,
    deny: Vec<Tenant>,
    keep: Vec<Condition>,
    drop: Vec<Condition>,
    sample: Option<Sample>,
    attributes: Names,
    resource_attributes: Names,
    redactor: Redactor,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for Rules {}

/// What rules leave of a parcel.
#[derive(Debug)]
pub struct Ruled {
    /// What is to be delivered; without parts where nothing is.
    pub parcel: Parcel,
    /// Items that are not, by frame.
    pub gone: Vec<Gone>,
    /// Parts that no rule could be applied to, with the reason.
    pub unreadable: Vec<(Part, String)>,
}

/// How many items of a frame are not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Which frame.
    pub offset: Offset,
    /// Left out by `signals`, `tenants`, `keep` or `drop`.
    pub filtered: u32,
    /// Left out by `sample`.
    pub sampled: u32,
    /// Given as stitching joins them.
    pub joined: u32,
}

impl Gone {
    fn none(offset: Offset) -> Self {
        Self { offset, filtered: 0, sampled: 0, joined: 0 }
    }
}

/// What rules leave of a part.
enum Left {
    /// All of it, or this in its place.
    Part(Part, Option<Gone>),
    Nothing(Gone),
}

impl Rules {
    /// Names these rules: the same for the same rules, never 0.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// These rules, or none, for a sink that is given log records of Cloudflare and Kong as stitching joins them: those received from `since` on
    /// are left out, since they come again.
    #[must_use]
    pub fn joined(rules: Option<&Self>, since: Offset) -> Self {
        let rules = rules.cloned().unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(b"joined");
        hash.update(rules.version.to_le_bytes());
        hash.update(since.0.to_le_bytes());
        Self { version: check::version(hash), joined: Some(since), ..rules }
    }

    /// Whether it is given log records as stitching joins them.
    pub fn are_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Whether log records of a part may come again, joined.
    fn joins(&self, signal: Signal, part: &Part) -> bool {
        signal == Signal::Logs && part.derived == 0 && self.joined.is_some_and(|since| part.offset >= since)
    }

    fn change_nothing(&self) -> bool {
        let Self { version: _, signals, allow, deny, keep, drop, .. } = self;
        signals.is_none()
            && allow.is_none()
            && (deny.is_empty() && keep.is_empty() && drop.is_empty())
            && self.sample.is_none_or(Sample::is_all)
            && (self.attributes.is_all() && self.resource_attributes.is_all() && self.redactor.is_empty())
    }

    /// Whether anything of this signal and tenant is given at all.
    fn admit(&self, signal: Signal, tenant: &Tenant) -> bool {
        self.signals.as_ref().is_none_or(|signals| signals.contains(&signal))
            && self.allow.as_ref().is_none_or(|allowed| allowed.contains(tenant))
            && !self.deny.contains(tenant)
    }

    /// What is to be asked of a request of `signal`.
    fn wants(&self, signal: Signal) -> Wants {
        let samples = signal != Signal::Metrics && self.sample.is_some_and(|sample| !sample.is_all());
        let redacts = !self.redactor.is_empty();
        // The attributes of metrics are all given, but for those of exemplars.
        let resources = signal != Signal::Metrics && !self.resource_attributes.is_all();
        Wants {
            items: samples || !self.keep.is_empty() || !self.drop.is_empty(),
            attributes: redacts || resources || !self.attributes.is_all(),
            texts: redacts,
        }
    }

    /// Applies the rules. May take milliseconds for a large parcel.
    pub fn apply(&self, parcel: &Parcel) -> Ruled {
        let mut parts = Vec::with_capacity(parcel.parts.len());
        let (mut gone, mut unreadable) = (Vec::new(), Vec::new());
        let admitted = self.admit(parcel.signal, &parcel.tenant);
        for part in &parcel.parts {
            let mut wants = self.wants(parcel.signal);
            wants.items |= self.joins(parcel.signal, part);
            let left = match admitted {
                false => Ok(Left::Nothing(Gone { filtered: part.len(), ..Gone::none(part.offset) })),
                true if wants == Wants::default() => Ok(Left::Part(part.clone(), None)),
                true => self.apply_to(parcel, part, wants),
            };
            match left {
                Ok(Left::Part(part, less)) => {
                    parts.push(part);
                    gone.extend(less);
                }
                Ok(Left::Nothing(all)) => gone.push(all),
                Err(reason) => unreadable.push((part.clone(), reason)),
            }
        }
        let parcel = Parcel {
            parts,
            rules: self.version,
            sink: Arc::clone(&parcel.sink),
            tenant: parcel.tenant.clone(),
            ..*parcel
        };
        Ruled { parcel, gone, unreadable }
    }

    fn apply_to(&self, parcel: &Parcel, part: &Part, wants: Wants) -> Result<Left, String> {
        let plain = parcel.part_plain(part).map_err(|error| error.reason)?;
        let mut reviser = Reviser {
            rules: self,
            signal: parcel.signal,
            source: part.origin.source.as_str(),
            joins: self.joins(parcel.signal, part),
            wants,
            memo: Memo::default(),
        };
        let edited =
            edit(parcel.signal, parcel.layout, &plain, &mut reviser).map_err(|error| error.to_string())?;
        if edited.items != part.len() {
            return Err(format!("{} items instead of {}", edited.items, part.len()));
        }
        let (filtered, sampled, joined) = (edited.filtered, edited.sampled, edited.other);
        let gone = Gone { offset: part.offset, filtered, sampled, joined };
        let kept = edited.kept;
        if kept.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Left::Nothing(gone));
        }
        let Some(plain) = edited.plain else { return Ok(Left::Part(part.clone(), None)) };
        let plain_len =
            u32::try_from(plain.len()).map_err(|_| format!("{} bytes are too many", plain.len()))?;
        let gone = kept.is_some().then_some(gone);
        // The numbers that the items had in the frame; where the part held all and all stay they need not be written down.
        let is_whole = part.kept.is_none() && part.is_whole();
        let numbers = match kept {
            None if is_whole => None,
            None => Some(part.items.clone().map(|item| part.number(item)).collect()),
            Some(kept) => {
                Some(kept.iter().map(|item| part.number(part.items.start + item)).collect::<Arc<[u32]>>())
            }
        };
        let items = numbers.as_ref().map_or(part.frame_items, |numbers| numbers.len() as u32);
        Ok(Left::Part(
            Part {
                items: 0..items,
                frame_items: items,
                kept: numbers,
                changed: true,
                coding: Coding::Plain,
                body: Bytes::from(plain),
                plain_len,
                inflated: Arc::default(),
                origin: part.origin.clone(),
                ..*part
            },
            gone,
        ))
    }
}

/// Applies rules to one request.
struct Reviser<'r> {
    rules: &'r Rules,
    signal: Signal,
    source: &'r str,
    /// Whether log records of Cloudflare and Kong come again, joined.
    joins: bool,
    wants: Wants,
    memo: Memo,
}

impl Editor for Reviser<'_> {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn judge(&mut self, item: &Item<'_>) -> Result<Fate, WireError> {
        let rules = self.rules;
        if self.joins && is_edge_log(LogRecord::read(item.raw)?.event_name) {
            return Ok(Fate::Other);
        }
        let facts = Facts::new(*item, self.signal, self.source, &self.memo);
        if !rules.keep.is_empty() && any(&rules.keep, &facts)? == Some(false) {
            return Ok(Fate::Filter);
        }
        if !rules.drop.is_empty() && any(&rules.drop, &facts)? == Some(true) {
            return Ok(Fate::Filter);
        }
        match rules.sample {
            Some(sample) if !sample.keeps(facts.trace_id()?) => {
                Ok(if sample.keep_errors && facts.is_error()? { Fate::Keep } else { Fate::Sample })
            }
            _ => Ok(Fate::Keep),
        }
    }

    fn attribute(&mut self, place: Place, key: &str) -> Treatment {
        let rules = self.rules;
        let is_series = self.signal == Signal::Metrics;
        let given = match place {
            // Without one of its attributes a series of metrics would become another one, or one of two that are the same.
            Place::Resource => is_series || rules.resource_attributes.gives(key),
            Place::Scope => is_series || rules.attributes.gives(key),
            Place::Item | Place::Exemplar => rules.attributes.gives(key),
            Place::Series | Place::Inside => true,
        };
        if !given {
            return Treatment::Remove;
        }
        match rules.redactor.seal_of(key) {
            Some(rule) => Treatment::Ask(How::Seal(rule)),
            None if rules.redactor.is_empty() => Treatment::Leave,
            None => Treatment::Ask(How::Search),
        }
    }

    fn text(&mut self, how: How, text: &str) -> Option<String> {
        match how {
            How::Search => self.rules.redactor.search(text),
            How::Seal(rule) => self.rules.redactor.seal(rule, text),
        }
    }
}

#[cfg(test)]
mod tests;
