//! Looking up: from any id that somebody knows to everything that is one request.

use model::id::candidates;
use model::{Tenant, TraceId};

use super::tell::Noted;
use super::{BookError, Engine};
use crate::book::Name;
use crate::cluster::Row;
use crate::fact::{Span, Trace};

/// Traces that one look-up follows at most.
const MOST: usize = 32;
/// Requests of one trace that it shows at most.
const MOST_REQUESTS: usize = 1024;

/// An id that somebody knows, as everything that it may mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sought {
    names: Vec<Name>,
}

/// What belongs to a trace that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Whose; `None` where nothing is known of it here.
    pub tenant: Option<Tenant>,
    /// The id under which it is shown.
    pub canonical: Trace,
    /// Other ids under which spans and log records of it were received.
    pub aliases: Vec<Trace>,
    /// Log records by their places, each with the span that it belongs to; all zero where there is none.
    pub rows: Vec<(Row, Trace, Span)>,
    /// Parents of received roots: of the span of this trace, this span.
    pub parents: Vec<(Trace, Span, Span)>,
}

impl Sought {
    /// Reads what a person writes: a trace id in any notation, a ray, a request id of Kong's.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        let mut names: Vec<Name> = candidates(text).into_iter().map(|id| Name::Trace(*id.bytes())).collect();
        names.extend(crate::read::ray_key(text).map(Name::Ray));
        names.extend(crate::read::kong_key(text).map(Name::Kong));
        Self { names }
    }

    /// One trace id.
    pub fn trace(id: TraceId) -> Self {
        Self { names: vec![Name::Trace(*id.bytes())] }
    }
}

/// Whether two ids are one: equal, or equal in the low half where one of them has no upper half.
fn is_same(a: &Trace, b: &Trace) -> bool {
    let has_upper = |id: &Trace| id[..8] != [0; 8];
    a[8..] == b[8..] && (a[..8] == b[..8] || !has_upper(a) || !has_upper(b))
}

impl Engine {
    /// Everything that is known of what an id may mean. Trace ids of which nothing is known are no part of the answer.
    ///
    /// # Errors
    /// The join store cannot be read.
    pub fn look(&self, sought: &Sought) -> Result<Vec<Found>, BookError> {
        // Ids lead to ids: of what a request was called before more was known.
        let mut open: Vec<(Option<u32>, Name)> = sought.names.iter().map(|name| (None, *name)).collect();
        let mut asked = open.clone();
        let mut found: Vec<(u32, Found)> = Vec::new();
        while let Some((tenant, name)) = open.pop() {
            for (of, canonical) in self.named(name)? {
                let next = (Some(of), Name::Trace(canonical));
                if tenant.is_none_or(|tenant| tenant == of) && asked.len() < MOST && !asked.contains(&next) {
                    asked.push(next);
                    open.push(next);
                }
            }
            if let Name::Trace(id) = name {
                for (of, canonical, noted) in self.noted(&id)? {
                    if tenant.is_none_or(|tenant| tenant == of) {
                        self.include(&mut found, of, canonical, noted);
                    }
                }
            }
        }
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    fn include(&self, found: &mut Vec<(u32, Found)>, tenant: u32, canonical: Trace, noted: Noted) {
        let known = found.iter().position(|(of, found)| (*of, found.canonical) == (tenant, canonical));
        let at = known.unwrap_or_else(|| {
            let tenant_name = Some(self.work.name(tenant));
            found.push((tenant, Found { tenant: tenant_name, canonical, ..Found::default() }));
            found.len() - 1
        });
        let into = &mut found[at].1;
        for alias in noted.aliases {
            if !into.aliases.contains(&alias) {
                into.aliases.push(alias);
            }
        }
        for row in noted.rows {
            if !into.rows.contains(&row) {
                into.rows.push(row);
            }
        }
        for parent in noted.parents {
            if !into.parents.contains(&parent) {
                into.parents.push(parent);
            }
        }
    }

    /// The traces that a name leads to.
    fn named(&self, name: Name) -> Result<Vec<(u32, Trace)>, BookError> {
        let mut traces = Vec::new();
        for generation in self.book.cold() {
            for entry in generation.names.prefix(name.prefix()).take(MOST) {
                let key = entry.key()?;
                let Some(at) = key.len().checked_sub(20) else { continue };
                let (own, target) = key.split_at(at);
                if let Name::Trace(id) = name {
                    let mut stored = [0; 16];
                    let (Some(low), Some(high)) = (own.get(1..9), own.get(9..17)) else { continue };
                    stored[8..].copy_from_slice(low);
                    stored[..8].copy_from_slice(high);
                    if !is_same(&id, &stored) {
                        continue;
                    }
                }
                let (Ok(tenant), Ok(canonical)) = (target[..4].try_into(), target[4..].try_into()) else {
                    continue;
                };
                traces.push((u32::from_be_bytes(tenant), canonical));
            }
        }
        traces.sort_unstable();
        traces.dedup();
        Ok(traces)
    }

    /// What is noted under a trace id.
    fn noted(&self, canonical: &Trace) -> Result<Vec<(u32, Trace, Noted)>, BookError> {
        let mut found: Vec<(Vec<u8>, Noted)> = Vec::new();
        for generation in self.book.cold() {
            for entry in generation.requests.prefix(&canonical[8..]).take(MOST_REQUESTS) {
                let (key, value) = entry.into_inner()?;
                // The newest of several copies.
                if found.iter().any(|(known, _)| known[..] == key[..]) {
                    continue;
                }
                let noted = postcard::from_bytes(&value).map_err(|_| BookError::Damaged("a request"))?;
                found.push((key.to_vec(), noted));
            }
        }
        let read = |(key, noted): (Vec<u8>, Noted)| {
            let tenant = u32::from_be_bytes(key.get(16..20)?.try_into().ok()?);
            let mut stored = [0; 16];
            stored[8..].copy_from_slice(key.get(..8)?);
            stored[..8].copy_from_slice(key.get(8..16)?);
            is_same(canonical, &stored).then_some((tenant, stored, noted))
        };
        Ok(found.into_iter().filter_map(read).collect())
    }
}
