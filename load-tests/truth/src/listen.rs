//! What is told: of each span its highest revision.

use std::collections::HashMap;

use stitch::{REVISION, WITHDRAWN};
use wire::otlp::AnyValue;

use crate::case::Hop;
use crate::kong_log;
use crate::mark::Mark;

/// A span that was told, as its highest revision has it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Of what.
    pub mark: Mark,
    /// Its parent; 0 for a root.
    pub parent: u64,
    /// How sure that is said to be.
    pub join: &'static str,
    /// Other spans that it points at.
    pub links: Vec<(u128, u64)>,
}

#[derive(Debug)]
struct Told {
    revision: i64,
    shown: Option<Shown>,
    /// Whose span it hides.
    loser: Option<u32>,
}

/// Hears everything that is told.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    told: HashMap<(u8, u128, u64), Told>,
}

/// Spans by tenant, trace and id.
pub type Spans = HashMap<(u8, u128, u64), Shown>;

fn span_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn trace_of(bytes: &[u8]) -> u128 {
    bytes.try_into().map_or(0, u128::from_be_bytes)
}

impl Listener {
    /// Reads spans that are told.
    pub(crate) fn listen(&mut self, tenant: u8, plain: &[u8]) -> Result<(), String> {
        wire::otlp::traces::each_span(plain, |_, _, span| {
            let (mut revision, mut is_withdrawn, mut join) = (0, false, "");
            let (mut mark, mut address, mut port, mut number) = (None, [0; 4], 0, None);
            for pair in span.attributes() {
                let pair = pair?;
                match (pair.key, pair.value) {
                    (REVISION, AnyValue::Int(value)) => revision = value,
                    (WITHDRAWN, AnyValue::Bool(value)) => is_withdrawn = value,
                    ("tidegate.join", AnyValue::Str(value)) => {
                        join = ["exact", "by_id", "guessed", "root"]
                            .into_iter()
                            .find(|known| *known == value)
                            .unwrap_or("");
                    }
                    ("user_agent.original" | "faas.version", AnyValue::Str(value)) => {
                        mark = Mark::read(value);
                    }
                    ("server.address", AnyValue::Str(value)) => {
                        if let Ok(known) = value.parse::<std::net::Ipv4Addr>() {
                            address = known.octets();
                        }
                    }
                    ("server.port", AnyValue::Int(value)) => port = value,
                    ("kong.try", AnyValue::Int(value)) => number = u8::try_from(value).ok(),
                    _ => {}
                }
            }
            if let Some(number) = number {
                let [_, a, b, c] = address;
                let at = u8::try_from(port - i64::from(kong_log::PORT)).unwrap_or(u8::MAX);
                mark = Some(Mark { serial: u32::from_be_bytes([0, a, b, c]), hop: Hop::Try(at, number) });
            }
            // The edge's two spans are made of one record.
            if let Some(mark) = mark.as_mut().filter(|mark| mark.hop == Hop::Edge && span.kind == 3) {
                mark.hop = Hop::Origin;
            }
            let mut links = Vec::new();
            for link in span.links() {
                let link = link?;
                links.push((trace_of(link.trace_id), span_of(link.span_id)));
            }
            let parent = span_of(span.parent_span_id);
            let shown = mark.filter(|_| !is_withdrawn).map(|mark| Shown { mark, parent, join, links });
            let key = (tenant, trace_of(span.trace_id), span_of(span.span_id));
            let known = self.told.entry(key).or_insert(Told { revision: 0, shown: None, loser: None });
            // Of two that claim one id and one number only one is shown, until something says better.
            let loser = shown.as_ref().or(known.shown.as_ref()).map(|shown| shown.mark.serial);
            known.loser = if revision > known.revision { None } else { known.loser.or(loser) };
            if revision >= known.revision {
                (known.revision, known.shown) = (revision, shown);
            }
            Ok(())
        })
        .map_err(|error| error.to_string())
    }

    /// The spans that are left, and the requests of which one took the id and trace of another's.
    pub(crate) fn finish(self) -> (Spans, Vec<u32>) {
        let doubled = self.told.values().filter_map(|told| told.loser).collect();
        (self.told.into_iter().filter_map(|(key, told)| Some((key, told.shown?))).collect(), doubled)
    }
}
