//! The body of a record that was mapped before, read once more for what its attributes leave out.

use std::borrow::Cow;

use model::SpanId;

use super::{Key, Parts, pick, scaled, shortest, whole};
use crate::json::{self, Kind, Value};
use crate::trace::Headers;

/// What spans are made of and the log record has no attribute for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reread {
    /// What makes the record this one and no other, the same for every copy of it.
    pub key: Vec<String>,
    /// Upstreams that were tried, in order.
    pub tries: Vec<Try>,
    /// The caller's own parent, where the notation of its header tells: Kong has put a span of its own in the caller's place.
    pub grand_parent: Option<SpanId>,
}

/// One try of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Try {
    /// The upstream's address.
    pub ip: String,
    /// The upstream's port; 0 when the record does not tell.
    pub port: u16,
    /// When it began, nanoseconds since 1970; `None` when the record does not tell.
    pub start: Option<u64>,
    /// Whether Kong says that it failed.
    pub failed: bool,
}

/// Most tries of a record: Kong's own limit of `retries` is far lower in practice.
const MOST_TRIES: usize = 64;

/// Reads the body of a record that was mapped before; `None` when it is none.
pub fn reread(body: &[u8]) -> Option<Reread> {
    let mut members = Vec::new();
    json::object(body, json::space(body, 0), &mut members).ok()?;
    let parts = Parts::of(&members);
    let tries = parts.tries.into_iter().flat_map(Value::elements).take(MOST_TRIES).map(tried).collect();
    let mut headers = Headers::default();
    if let Some(found) = parts.request.headers {
        headers.add(found, &mut false);
    }
    let key = Key::of(&parts).parts.into_iter().map(Cow::into_owned).collect();
    Some(Reread { key, tries, grand_parent: headers.grand_parent() })
}

fn tried(one: Value<'_>) -> Try {
    let [ip, port, start, state, code] = pick(one, ["ip", "port", "balancer_start", "state", "code"]);
    let start = start.and_then(|value| scaled(value, 6)).and_then(|nanos| u64::try_from(nanos).ok());
    Try {
        ip: shortest(ip).into_owned(),
        port: port.and_then(whole).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        start: start.filter(|nanos| *nanos > 0),
        failed: [state, code].into_iter().flatten().any(|value| value.kind != Kind::Null),
    }
}
