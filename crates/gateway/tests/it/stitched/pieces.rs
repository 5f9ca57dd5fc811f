//! The samples taken apart into single records and spans, and sent in another order, in batches of other sizes, some of them more
//! than once, as senders that resend and batch by time do.

use std::io::Write as _;

use serde_json::{Value, json};

use super::begun;
use crate::gateway::Gateway;

const LOGPUSH: &str = "/ingest/cloudflare/logpush";
const KONG: &str = "/ingest/kong/http-log";
const TRACES: &str = "/v1/traces";

/// Most records of a batch.
const MOST: usize = 12;

/// One record or span, as it lies in its batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    path: &'static str,
    text: Vec<u8>,
}

impl Piece {
    /// The record that it is.
    pub(super) fn record(&self) -> Value {
        serde_json::from_slice(&self.text).unwrap()
    }
}

/// Everything in these bodies, record by record, each as it was written: numbers and escapes stay what they were.
pub(super) fn pieces(inputs: &[(&'static str, Vec<u8>)]) -> Vec<Piece> {
    inputs.iter().flat_map(|(path, body)| apart(path, body)).collect()
}

fn apart(path: &'static str, body: &[u8]) -> Vec<Piece> {
    let piece = |text: Vec<u8>| Piece { path, text };
    match path {
        TRACES => spans(body).into_iter().map(|one| piece(one.to_string().into_bytes())).collect(),
        _ => values(body).into_iter().map(|text| piece(text.to_vec())).collect(),
    }
}

/// The JSON values of a body: lines, the members of an array, or one.
fn values(body: &[u8]) -> Vec<&[u8]> {
    let mut rest = body.trim_ascii();
    rest = rest.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(rest);
    let mut values = Vec::new();
    while !rest.is_empty() {
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<serde::de::IgnoredAny>();
        stream.next().unwrap().unwrap();
        let (value, after) = rest.split_at(stream.byte_offset());
        values.push(value.trim_ascii());
        let after = after.trim_ascii();
        rest = after.strip_prefix(b",").unwrap_or(after).trim_ascii();
    }
    values
}

/// A request of each span's own.
fn spans(body: &[u8]) -> Vec<Value> {
    let request: Value = serde_json::from_slice(body).unwrap();
    let mut all = Vec::new();
    for resource in request["resourceSpans"].as_array().unwrap() {
        for scope in resource["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let scope = json!({ "scope": scope["scope"], "spans": [span] });
                let resource = json!({ "resource": resource["resource"], "scopeSpans": [scope] });
                all.push(json!({ "resourceSpans": [resource] }));
            }
        }
    }
    all
}

/// Sends all pieces by chance of `seed`: shuffled, about every eighth twice, in batches of one to twelve; and kills the gateway twice in between.
pub(super) fn send(gateway: &mut Gateway, mut pieces: Vec<Piece>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let again: Vec<Piece> = pieces.iter().filter(|_| random.u8(..8) == 0).cloned().collect();
    pieces.extend(again);
    random.shuffle(&mut pieces);
    let batches = batches(&pieces, &mut random);
    let kills = [random.usize(1..batches.len()), random.usize(1..batches.len())];
    for (number, batch) in batches.iter().enumerate() {
        if kills.contains(&number) {
            // At once, or when something was made of what came: both have to do.
            if random.bool() {
                begun(gateway);
            }
            gateway.process.kill();
            gateway.restart();
        }
        post(gateway, batch, &mut random);
    }
}

/// Neighbours of one path together.
fn batches(pieces: &[Piece], random: &mut fastrand::Rng) -> Vec<Vec<Piece>> {
    let mut batches: Vec<Vec<Piece>> = Vec::new();
    for path in [LOGPUSH, KONG, TRACES] {
        let mut rest: Vec<Piece> = pieces.iter().filter(|piece| piece.path == path).cloned().collect();
        while !rest.is_empty() {
            let left = rest.split_off(random.usize(1..=MOST).min(rest.len()));
            batches.push(std::mem::replace(&mut rest, left));
        }
    }
    random.shuffle(&mut batches);
    batches
}

fn post(gateway: &Gateway, batch: &[Piece], random: &mut fastrand::Rng) {
    let path = batch[0].path;
    let texts: Vec<&[u8]> = batch.iter().map(|piece| &piece.text[..]).collect();
    let (kind, body) = match path {
        // Logpush always compresses.
        LOGPUSH => ("application/json", gzip(&texts.join(&b'\n'))),
        // Kong sends one record bare, several as an array.
        KONG if texts.len() == 1 => ("application/json", texts[0].to_vec()),
        KONG => ("application/json", [&b"["[..], &texts.join(&b','), b"]"].concat()),
        _ => {
            let each = batch.iter().map(|piece| piece.record()["resourceSpans"][0].take());
            let text = json!({ "resourceSpans": each.collect::<Vec<_>>() }).to_string().into_bytes();
            match random.bool() {
                true => ("application/json", text),
                false => {
                    ("application/x-protobuf", wire::json::to_proto(wire::Signal::Traces, &text).unwrap())
                }
            }
        }
    };
    let coding = if path == LOGPUSH { "gzip" } else { "identity" };
    let answer = gateway.post(path, &[("content-type", kind), ("content-encoding", coding)], &body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
