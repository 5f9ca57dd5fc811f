//! The metrics of every tenant, in the engine's transactions.

use ahash::HashMap;
use model::UnixNanos;
use wire::otlp::AnyValue;
use xxhash_rust::xxh3::xxh3_128;

use crate::attribute::{Attribute, Pair};
use crate::book::{Book, BookError, Changes, tree};
use crate::series::{Body, Loaded, Options, Series};

/// How often metrics are told, in nanoseconds.
const EVERY: u64 = 10_000_000_000;

/// Metrics by tenant.
#[derive(Debug)]
pub(super) struct Tally {
    options: Options,
    instance: String,
    tenants: HashMap<u32, Series>,
    /// What changed and is in no transaction yet: the whole key, and what is there from now on.
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// When metrics were told last.
    told: u64,
}

/// The number under which a record is known that must not count twice; `None` for what has no key.
pub(super) fn identity(attributes: &[Pair<'_>]) -> Option<u128> {
    let key = attributes.iter().find(|pair| pair.name == Attribute::TidegateKey)?;
    match key.value {
        AnyValue::Str(key) => Some(xxh3_128(key.as_bytes())),
        _ => None,
    }
}

impl Tally {
    /// Reads back what was counted.
    pub(super) fn load(book: &Book, options: Options, instance: &str) -> Result<Self, BookError> {
        let mut tally = Self {
            options,
            instance: instance.to_owned(),
            tenants: HashMap::default(),
            changes: Vec::new(),
            told: 0,
        };
        for entry in book.state.prefix(tree::SERIES) {
            let (key, value) = entry.into_inner()?;
            let damaged = BookError::Damaged("a series");
            let Some((tenant, own)) = key[tree::SERIES.len()..].split_at_checked(4) else {
                return Err(damaged);
            };
            let Ok(tenant) = tenant.try_into().map(u32::from_be_bytes) else { return Err(damaged) };
            match tally.of(tenant).load(own, &value) {
                Ok(Loaded::Kept) => {}
                Ok(Loaded::Retired) => tally.changes.push((key.to_vec(), None)),
                Err(error) => {
                    tracing::error!(%error, "a series cannot be read and begins anew");
                    tally.changes.push((key.to_vec(), None));
                }
            }
        }
        Ok(tally)
    }

    /// The metrics of a tenant.
    pub(super) fn of(&mut self, tenant: u32) -> &mut Series {
        let (options, instance) = (&self.options, &self.instance);
        self.tenants.entry(tenant).or_insert_with(|| Series::new(options.clone(), instance))
    }

    /// What is to be told now, by tenant.
    pub(super) fn tell(&mut self, now: UnixNanos) -> Vec<(u32, Body)> {
        // A clock that went back waits no longer than it would have.
        if now.0.abs_diff(self.told) < EVERY {
            return Vec::new();
        }
        self.told = now.0;
        let mut bodies = Vec::new();
        let mut tenants: Vec<_> = self.tenants.iter_mut().collect();
        tenants.sort_by_key(|(tenant, _)| **tenant);
        for (tenant, series) in tenants {
            bodies.extend(series.encode(now).into_iter().map(|body| (*tenant, body)));
        }
        bodies
    }

    /// Puts what changed into a transaction. It stays here until that is true.
    pub(super) fn write(&mut self, book: &Book, changes: &mut Changes) {
        for (tenant, series) in &mut self.tenants {
            let key = |own: &[u8]| tree::below(tree::SERIES, &[&tenant.to_be_bytes(), own]);
            let changed = series.take().into_iter();
            self.changes.extend(changed.map(|change| (key(&change.key), change.value)));
        }
        for (key, value) in &self.changes {
            match value {
                Some(value) => changes.put(&book.state, key.clone(), value.clone()),
                None => changes.remove(&book.state, key.clone()),
            }
        }
    }

    /// What was put into a transaction is true.
    pub(super) fn written(&mut self) {
        self.changes.clear();
    }

    /// What metrics hold and have done, of all tenants together: series, observations that went to the series of all others, records too old or too
    /// far ahead.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        self.tenants.values().map(Series::counts).fold((0, 0, 0), |sum, counts| {
            let overflowed: u64 = counts.overflowed.iter().map(|(_, count)| count).sum();
            (sum.0 + counts.series as u64, sum.1 + overflowed, sum.2 + counts.untimely)
        })
    }
}
