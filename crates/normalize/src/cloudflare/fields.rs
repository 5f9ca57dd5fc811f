//! The fields of Cloudflare's datasets that are understood, found by name in one step.

use std::sync::LazyLock;

use crate::json::{Kind, Member, Value};

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        /// A field by Cloudflare's own name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($name),* }

        const FIELDS: &[(Field, &str)] = &[$((Field::$name, stringify!($name))),*];
    };
}

fields! {
    RayID, ParentRayID, EdgeStartTimestamp, EdgeEndTimestamp, EdgeTimeToFirstByteMs, EdgeResponseStatus,
    EdgeResponseBytes, EdgeResponseBodyBytes, EdgeResponseContentType, EdgeColoCode, EdgeServerIP, OriginIP,
    OriginResponseStatus, OriginResponseDurationMs, OriginDNSResponseTimeMs, OriginTCPHandshakeDurationMs,
    OriginTLSHandshakeDurationMs, OriginRequestHeaderSendDurationMs, OriginResponseHeaderReceiveDurationMs,
    OriginResponseTime, ClientRequestMethod, ClientRequestHost, ClientRequestPath, ClientRequestURI,
    ClientRequestProtocol, ClientRequestScheme, ClientRequestReferer, ClientRequestUserAgent, ClientRequestBytes,
    ClientRequestSource, ClientIP, ClientASN, ClientCountry, ClientSrcPort, BotScore, CacheCacheStatus,
    SecurityAction, SecurityRuleID, WorkerSubrequest, WorkerSubrequestCount, WorkerCPUTime, WorkerWallTimeUs,
    WorkerStatus, WorkerScriptName, RequestHeaders, ResponseHeaders, ZoneName, Subrequests,
    EventTimestampMs, EventTimestamp, WallTimeMs, CPUTimeMs, EventType, Outcome, ScriptName, Entrypoint,
    DispatchNamespace, ScriptVersion, Event, Logs, Exceptions,
    Action, RuleID, Source, MatchIndex, Datetime, OriginatorRayID, Description, Kind,
    QueryName, ResponseCode, ColoCode, Timestamp, ActionType, ActorType, When, ID, SessionStartTime,
    SampleInterval, EdgeRequest, Info, Records,
}

const COUNT: usize = FIELDS.len();
const NONE: u8 = u8::MAX;
const SLOTS: usize = 512;

/// A table without chains, half empty: places of `FIELDS` by hash of the lower-cased name.
static TABLE: LazyLock<[u8; SLOTS]> = LazyLock::new(|| {
    let mut table = [NONE; SLOTS];
    for (at, (_, name)) in FIELDS.iter().enumerate() {
        let mut slot = hash(name.as_bytes());
        while table[slot] != NONE {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = at as u8;
    }
    table
});

/// Length, first and last bytes; upper and lower case hash alike.
fn hash(name: &[u8]) -> usize {
    let word = |part: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(bytes) | 0x2020_2020_2020_2020
    };
    let (first, last) = match name.len() {
        0..=8 => (word(name), 0),
        len => (word(&name[..8]), word(&name[len - 8..])),
    };
    let mixed = (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % SLOTS
}

/// The field of this name; true when the letter case fits too.
pub(crate) fn named(name: &[u8]) -> Option<(Field, bool)> {
    if name.len() > 40 {
        return None;
    }
    let mut slot = hash(name);
    loop {
        let (field, known) = FIELDS.get(usize::from(TABLE[slot]))?;
        if known.as_bytes() == name {
            return Some((*field, true));
        }
        if known.as_bytes().eq_ignore_ascii_case(name) {
            return Some((*field, false));
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// A record's members, and where the understood ones are among them.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// All of them, in order.
    pub(crate) members: Vec<Member<'a>>,
    /// Place in `members` plus one.
    places: [u16; COUNT],
    /// A name occurs twice; the last one counts.
    pub(crate) duplicate: bool,
}

impl<'a> Row<'a> {
    pub(crate) fn new() -> Self {
        Self { members: Vec::new(), places: [0; COUNT], duplicate: false }
    }

    /// Looks up the names of `members` anew.
    pub(crate) fn index(&mut self) {
        self.places = [0; COUNT];
        self.duplicate = false;
        for (at, member) in self.members.iter().enumerate() {
            let Some((field, exact)) = named(member.key) else { continue };
            let place = &mut self.places[field as usize];
            if *place != 0 {
                let before = &self.members[usize::from(*place) - 1];
                self.duplicate |= before.key == member.key;
                if !exact && before.key != member.key {
                    continue;
                }
            }
            *place = at as u16 + 1;
        }
    }

    /// Replaces the members by those of `inner`, an object.
    pub(crate) fn enter(&mut self, inner: Value<'a>) {
        self.members.clear();
        self.members.extend(inner.members());
        self.index();
    }

    pub(crate) fn get(&self, field: Field) -> Option<Value<'a>> {
        let place = self.places[field as usize];
        (place != 0).then(|| self.members[usize::from(place) - 1].value)
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.places[field as usize] != 0
    }

    /// The text of a string member without escapes, as it stands.
    pub(crate) fn plain(&self, field: Field) -> Option<&'a str> {
        let value = self.get(field)?;
        (value.kind == Kind::Plain && !value.raw.is_empty()).then(|| std::str::from_utf8(value.raw).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_in_any_letter_case_and_nothing_else_is() {
        for (field, name) in FIELDS {
            assert_eq!(named(name.as_bytes()), Some((*field, true)), "{name}");
            let lower = name.to_ascii_lowercase();
            assert_eq!(named(lower.as_bytes()), Some((*field, false)), "{lower}");
            assert_eq!(named(format!("{name}x").as_bytes()), None);
        }
        assert_eq!(named(b""), None);
    }
}
