//! What a person may have meant by a text pasted into a search box. Never used on ingest.

use super::{Notation, TraceId, text};

/// Every trace id that `text` may stand for, best first, each once; empty when it says that there is none.
pub fn candidates(text: &str) -> Vec<TraceId> {
    let Some(text) = stripped(text) else { return Vec::new() };
    let mut found = Vec::new();
    for notation in plausible(text) {
        if let Ok(id) = TraceId::parse(notation, text)
            && !found.contains(&id)
        {
            found.push(id);
        }
    }
    // What X-Ray's own page shows is its header's value without the key.
    if text.len() == 35 && text.starts_with("1-") {
        found.extend(TraceId::parse(Notation::Aws, &format!("Root={text}")).ok());
    }
    if found.is_empty() {
        // Jaeger's own page strips leading zeros, digits alone are more likely decimal; or the text was hashed.
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        for notation in [if digits { Notation::Datadog } else { Notation::Zipkin }, Notation::Hashed] {
            found.extend(TraceId::parse(notation, text).ok());
        }
    }
    found
}

/// The notations that the look of the text allows, best first.
fn plausible(text: &str) -> Vec<Notation> {
    let mut notations = vec![
        Notation::W3c,
        Notation::B3Single,
        Notation::Jaeger,
        Notation::Aws,
        Notation::Gcp,
        Notation::Sw8,
    ];
    if text.contains('.') && text.len() > 36 {
        notations.push(Notation::SkyWalking);
    }
    notations.push(Notation::Uuid);
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.len() {
        16 if digits => notations.extend([Notation::B3Multi, Notation::Datadog]),
        16 => notations.push(Notation::B3Multi),
        17..=20 if digits => notations.push(Notation::Datadog),
        2..=20 if text.starts_with('-') => notations.push(Notation::Datadog),
        11 | 12 | 22 | 24 => notations.push(Notation::Base64),
        _ => {}
    }
    notations
}

fn stripped(text: &str) -> Option<&str> {
    let mut text = text.trim().trim_matches(['"', '\'', '`']).trim();
    if let Some(rest) = text.strip_prefix("TID:") {
        text = rest.trim();
    }
    if let Some((_, id)) = text.strip_prefix("projects/").and_then(|rest| rest.split_once("/traces/")) {
        text = id;
    }
    let text = text.strip_prefix("0x").unwrap_or(text);
    let text = text::trimmed(text).ok()?;
    (!text.bytes().all(|b| b == b'0')).then_some(text)
}
