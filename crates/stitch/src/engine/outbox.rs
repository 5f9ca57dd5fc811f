//! What the journal is to be given, until it has it: batches with their numbers.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Batch, ContentHash, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use wire::{Coding, coding};

use super::work::{Held, number, place};
use crate::book::{Book, BookError, Changes, log, tree};
use crate::emit::{Gathered, Told};

/// zstd's level: what is told is much alike, and the fastest makes a fifth of it.
pub(super) const LEVEL: i32 = 1;

/// Bytes of an entry besides the tenant's name and the body.
const HEAD: usize = 26;

/// A derived batch that the journal has to be given, under a number that its frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// For which log.
    pub signal: Signal,
    /// From 1 on, rising.
    pub number: u64,
    /// Whose.
    pub tenant: Tenant,
    /// Whether it revises what was told, so that what can only append has no use for it.
    pub is_revision: bool,
    /// How many items.
    pub items: u32,
    /// How many bytes it inflates to.
    pub plain_len: u32,
    /// Of the plain bytes.
    pub hash: ContentHash,
    /// An OTLP request, compressed by zstd.
    pub body: Bytes,
}

fn origin(tenant: &Tenant, signal: Signal, is_revision: bool) -> Origin {
    let source = match signal {
        Signal::Logs => Source::joined(),
        _ if is_revision => Source::revised(),
        _ => Source::stitch(),
    };
    Origin { tenant: tenant.clone(), source }
}

impl Outgoing {
    /// The batch as the journal has batches.
    pub fn batch(self, received: UnixNanos) -> Batch {
        Batch {
            origin: origin(&self.tenant, self.signal, self.is_revision),
            signal: self.signal,
            layout: Layout::Otlp,
            coding: Coding::Zstd,
            plain_len: self.plain_len,
            items: self.items,
            content_hash: self.hash,
            received,
            body: self.body,
        }
    }

    /// As it lies in the join store: whether it is a revision, items, plain length, hash, length of the tenant's name, the name, the body.
    fn entry(&self) -> (Vec<u8>, Vec<u8>) {
        let key = tree::below(tree::OUT, &[&[log(self.signal)], &self.number.to_be_bytes()]);
        let tenant = self.tenant.as_str().as_bytes();
        let mut value = Vec::with_capacity(HEAD + tenant.len() + self.body.len());
        value.push(u8::from(self.is_revision));
        value.extend_from_slice(&self.items.to_be_bytes());
        value.extend_from_slice(&self.plain_len.to_be_bytes());
        value.extend_from_slice(&self.hash.0.to_be_bytes());
        value.push(tenant.len() as u8);
        value.extend_from_slice(tenant);
        value.extend_from_slice(&self.body);
        (key, value)
    }

    fn read(signal: Signal, key: &[u8], value: &[u8]) -> Option<Self> {
        let (_, number) = key.split_last_chunk()?;
        let (is_revision, value) = value.split_first()?;
        let (items, value) = value.split_first_chunk()?;
        let (plain_len, value) = value.split_first_chunk()?;
        let (hash, value) = value.split_first_chunk()?;
        let (tenant_len, value) = value.split_first()?;
        let (tenant, body) = value.split_at_checked(usize::from(*tenant_len))?;
        Some(Self {
            signal,
            number: u64::from_be_bytes(*number),
            tenant: Tenant::new(std::str::from_utf8(tenant).ok()?)?,
            is_revision: *is_revision == 1,
            items: u32::from_be_bytes(*items),
            plain_len: u32::from_be_bytes(*plain_len),
            hash: ContentHash(u128::from_be_bytes(*hash)),
            body: Bytes::copy_from_slice(body),
        })
    }
}

/// The outbox.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// By signal: the last number given to a batch.
    numbers: [u64; 3],
    /// By signal: up to where the journal has everything.
    given: [Held<u64>; 3],
    /// Batches on disk, by log and number: their bytes.
    waiting: BTreeMap<(u8, u64), u64>,
    /// Bytes of all of them.
    bytes: u64,
    /// Spans to be told, by tenant, and whether they are revisions.
    gathered: BTreeMap<(u32, bool), Gathered>,
    /// Batches that are in no transaction yet.
    new: Vec<Outgoing>,
}

impl Outbox {
    pub(super) fn load(book: &Book) -> Result<Self, BookError> {
        let mut outbox = Self::default();
        for signal in Signal::ALL {
            if let Some(value) = book.state.get(tree::below(tree::NUMBER, &[&[log(signal)]]))? {
                outbox.numbers[place(signal)] = number(&value, "a number")?;
            }
        }
        for entry in book.state.prefix(tree::OUT) {
            let (key, value) = entry.into_inner()?;
            if key.len() == tree::OUT.len() + 9 {
                let log = key[tree::OUT.len()];
                let batch = number(&key[tree::OUT.len() + 1..], "a derived batch")?;
                outbox.wait(log, batch, value.len());
            }
        }
        Ok(outbox)
    }

    fn wait(&mut self, log: u8, number: u64, bytes: usize) {
        self.waiting.insert((log, number), bytes as u64);
        self.bytes += bytes as u64;
    }

    /// Where spans of a tenant are gathered.
    pub(super) fn gather(&mut self, tenant: u32, is_revision: bool) -> &mut Gathered {
        self.gathered.entry((tenant, is_revision)).or_default()
    }

    /// Gives numbers to the spans that were gathered.
    pub(super) fn number(&mut self, name: impl Fn(u32) -> Tenant) {
        for ((tenant, is_revision), mut spans) in std::mem::take(&mut self.gathered) {
            let tenant = name(tenant);
            for Told { plain, items } in spans.take() {
                self.push(Signal::Traces, tenant.clone(), is_revision, items, &plain);
            }
        }
    }

    /// Puts a batch in, under the next number.
    pub(super) fn push(
        &mut self,
        signal: Signal,
        tenant: Tenant,
        is_revision: bool,
        items: u32,
        plain: &[u8],
    ) {
        let last = &mut self.numbers[place(signal)];
        *last += 1;
        self.new.push(Outgoing {
            signal,
            number: *last,
            is_revision,
            items,
            plain_len: plain.len() as u32,
            hash: ContentHash::of(&origin(&tenant, signal, is_revision), plain),
            tenant,
            body: coding::compress(Coding::Zstd, LEVEL, plain).into(),
        });
    }

    /// The journal has everything of a log up to this number.
    pub(super) fn given(&mut self, signal: Signal, number: u64) {
        self.given[place(signal)] = Held::new(number);
        // The journal may have more than this store remembers, when the store was begun anew.
        let last = &mut self.numbers[place(signal)];
        *last = number.max(*last);
    }

    /// Batches on disk that the journal may not have, the first ones of a log.
    pub(super) fn outgoing(
        &self,
        book: &Book,
        signal: Signal,
        limit: usize,
    ) -> Result<Vec<Outgoing>, BookError> {
        let key = |number: u64| tree::below(tree::OUT, &[&[log(signal)], &number.to_be_bytes()]);
        let (log, given) = (log(signal), self.given[place(signal)].value);
        let mut waiting = self.waiting.range((log, given.saturating_add(1))..=(log, u64::MAX));
        let Some(((_, first), _)) = waiting.next() else { return Ok(Vec::new()) };
        let entries = book.state.range(key(*first)..=key(u64::MAX)).take(limit);
        let read = entries.map(|entry| {
            let (key, value) = entry.into_inner()?;
            Outgoing::read(signal, &key, &value).ok_or(BookError::Damaged("a derived batch"))
        });
        read.collect()
    }

    /// Bytes that wait for the journal.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn write(&self, book: &Book, changes: &mut Changes) {
        for signal in Signal::ALL {
            let (at, log) = (place(signal), [log(signal)]);
            let is_given = self.given[at].is_changed;
            if is_given {
                for (_, number) in self.gone(signal) {
                    changes.remove(&book.state, tree::below(tree::OUT, &[&log, &number.to_be_bytes()]));
                }
            }
            if is_given || self.new.iter().any(|batch| batch.signal == signal) {
                changes.put(&book.state, tree::below(tree::NUMBER, &[&log]), self.numbers[at].to_be_bytes());
            }
        }
        for batch in &self.new {
            let (key, value) = batch.entry();
            changes.put(&book.state, key, value);
        }
    }

    /// What was written is on disk.
    pub(super) fn written(&mut self) {
        for signal in Signal::ALL {
            let at = place(signal);
            if self.given[at].is_changed {
                let gone: Vec<_> = self.gone(signal).copied().collect();
                for batch in gone {
                    self.bytes -= self.waiting.remove(&batch).unwrap_or(0);
                }
            }
            self.given[at].is_changed = false;
        }
        for batch in std::mem::take(&mut self.new) {
            self.wait(log(batch.signal), batch.number, HEAD + batch.tenant.as_str().len() + batch.body.len());
        }
    }

    /// Batches that wait no longer.
    fn gone(&self, signal: Signal) -> impl Iterator<Item = &(u8, u64)> {
        let (log, given) = (log(signal), self.given[place(signal)].value);
        self.waiting.range((log, 0)..=(log, given)).map(|(batch, _)| batch)
    }
}
