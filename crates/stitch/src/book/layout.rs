//! How keys are spelled. Numbers are big-endian, so that their order is that of the bytes.

use serde::{Deserialize, Serialize};

use crate::fact::{Fact, Key, Trace};

/// The names in the tree of its own.
pub(crate) mod tree {
    /// The version of everything.
    pub(crate) const FORMAT: &str = "format";
    /// The number of the next cluster.
    pub(crate) const NEXT: &str = "next";
    /// How far a log was read: `cursor/` and the log.
    pub(crate) const CURSOR: &[u8] = b"cursor/";
    /// The last number given to a derived batch of a log.
    pub(crate) const NUMBER: &[u8] = b"number/";
    /// A tenant's number, by name.
    pub(crate) const TENANT: &[u8] = b"tenant/";
    /// When a cluster has to be looked at: time, cluster.
    pub(crate) const DUE: &[u8] = b"due/";
    /// What metrics hold: tenant, and keys of their own.
    pub(crate) const SERIES: &[u8] = b"series/";
    /// How requests are joined: minute, tenant, hop, route.
    pub(crate) const HOPS: &[u8] = b"hops/";
    /// Derived batches that the journal may not have yet: log, number.
    pub(crate) const OUT: &[u8] = b"out/";
    /// Log records that wait to be told joined: when, number, first frame.
    pub(crate) const JOINED: &[u8] = b"joined/";

    /// A key below one of these.
    pub(crate) fn below(name: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut key = name.to_vec();
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// What leads to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Index {
    /// What records have in common.
    Key(Key),
    /// The record itself, where it has nothing in common with others, so that copies of it are known.
    Own(u128),
    /// No cluster: that a record was counted.
    Counted(u128),
}

impl Index {
    /// Everything that leads to a fact.
    pub(crate) fn of(fact: &Fact) -> Vec<Self> {
        let keys = fact.keys();
        if keys.is_empty() {
            return vec![Self::own(fact)];
        }
        keys.into_iter().map(Self::Key).collect()
    }

    /// What leads to this fact alone.
    pub(crate) fn own(fact: &Fact) -> Self {
        let (kind, time, id, more) = fact.order();
        Self::Own(id ^ (u128::from(time) << 64) ^ u128::from(more) ^ (u128::from(kind) << 120))
    }
}

pub(super) fn index(tenant: u32, index: Index) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.extend_from_slice(&tenant.to_be_bytes());
    match index {
        Index::Key(Key::Ray(ray)) => {
            key.push(0);
            key.extend_from_slice(&ray.to_be_bytes());
        }
        Index::Key(Key::Kong(id)) => {
            key.push(1);
            key.extend_from_slice(&id.to_be_bytes());
        }
        Index::Key(Key::Run(span)) => {
            key.push(4);
            key.extend_from_slice(&span.to_be_bytes());
        }
        Index::Own(hash) => {
            key.push(2);
            key.extend_from_slice(&hash.to_be_bytes());
        }
        Index::Counted(hash) => {
            key.push(3);
            key.extend_from_slice(&hash.to_be_bytes());
        }
    }
    key
}

pub(super) fn trace(tenant: u32, trace: &Trace) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&tenant.to_be_bytes());
    key[4..].copy_from_slice(trace);
    key
}

/// What people look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    /// A trace id.
    Trace(Trace),
    /// A ray.
    Ray(u64),
    /// A request id of Kong's.
    Kong(u128),
}

impl Name {
    /// The beginning of every key of this name. Trace ids begin with their low half, which is all that some notations have.
    pub(crate) fn prefix(self) -> Vec<u8> {
        match self {
            Self::Trace(id) => [&[0][..], &id[8..]].concat(),
            Self::Ray(ray) => [&[1][..], &ray.to_be_bytes()].concat(),
            Self::Kong(id) => [&[2][..], &id.to_be_bytes()].concat(),
        }
    }

    /// The key that leads from this name to a trace of a tenant.
    pub(crate) fn key(self, tenant: u32, canonical: &Trace) -> Vec<u8> {
        let mut key = self.prefix();
        if let Self::Trace(id) = self {
            key.extend_from_slice(&id[..8]);
        }
        key.extend_from_slice(&tenant.to_be_bytes());
        key.extend_from_slice(canonical);
        key
    }
}
