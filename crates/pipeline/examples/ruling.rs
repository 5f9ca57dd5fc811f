//! What rules cost in CPU time: `cargo run --release -p tidegate-pipeline --example ruling`. Frames of 1,000 spans with ten attributes
//! and one event each, in plain bytes as the journal's hot tail has them. The time is the process's own, so that a busy machine
//! does not blur it; Linux only.

#![allow(clippy::print_stdout, reason = "an example says what it measured")]

// The workspace calls the crate by its short name.
extern crate tidegate_pipeline as pipeline;

use std::sync::Arc;

use journal::Offset;
use model::{ContentHash, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use pipeline::rules::settings::RuleSettings;
use pipeline::{Parcel, Part};
use serde_json::{Value, json};
use wire::{Coding, put};

const SPANS: u32 = 1000;
const FRAMES: u64 = 32;
const ROUNDS: u64 = 40;

fn main() {
    let parcel = parcel();
    let bytes: u64 = parcel.parts.iter().map(|part| u64::from(part.plain_len)).sum();
    println!("{} bytes a span", bytes / u64::from(parcel.items()));
    println!("{:<58} {:>16} {:>8}", "rules", "CPU-s/million", "kept");
    for (name, rules) in cases() {
        let settings: RuleSettings = serde_json::from_value(rules).expect("the cases are settings");
        let rules = settings.check().expect("the cases are good");
        let begun = cpu_seconds();
        let mut kept = 0;
        for _ in 0..ROUNDS {
            kept = match &rules {
                None => parcel.items(),
                Some(rules) => rules.apply(&parcel).parcel.items(),
            };
        }
        let million = (ROUNDS * u64::from(parcel.items())) as f64 / 1e6;
        let share = f64::from(kept) / f64::from(parcel.items());
        println!("{name:<58} {:>16.3} {:>7.1}%", (cpu_seconds() - begun) / million, share * 100.0);
    }
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells the time of a process");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.expect("the first of three numbers") / 1e9
}

fn cases() -> Vec<(&'static str, Value)> {
    let presets =
        ["authorization", "cookies", "emails", "card_numbers"].map(|preset| json!({ "preset": preset }));
    let sealed: Vec<Value> = presets.iter().cloned().chain([json!({ "attribute": "user.id" })]).collect();
    vec![
        ("none", json!({})),
        ("a tenant denied, not this one", json!({ "tenants": { "deny": ["other"] } })),
        (
            "drop by attribute, keeps all",
            json!({ "drop": [{ "attribute": "http.route", "equals": "/healthz" }] }),
        ),
        (
            "keep by resource, keeps all",
            json!({ "keep": [{ "resource": "service.name", "equals": "checkout" }] }),
        ),
        ("sample a tenth", json!({ "sample": { "ratio": 0.1 } })),
        ("remove one attribute of each span", json!({ "attributes": { "remove": ["thread.*"] } })),
        (
            "redact, all presets, nothing found",
            json!({ "redact": presets, "drop": [{ "field": "signal", "equals": "logs" }] }),
        ),
        ("redact, one sealed value in each span", json!({ "redact": sealed })),
        (
            "redact, one hashed value in each span",
            json!({ "redact": [{ "attribute": "user.id", "with": "hash", "key": "0123456789abcdef" }] }),
        ),
    ]
}

fn parcel() -> Parcel {
    let parts = (1..=FRAMES)
        .map(|offset| {
            let plain = frame(offset);
            Part {
                offset: Offset(offset),
                items: 0..SPANS,
                frame_items: SPANS,
                kept: None,
                changed: false,
                origin: Origin {
                    tenant: Tenant::default(),
                    source: Source::new("otlp").expect("a good name"),
                },
                content_hash: ContentHash(0),
                received: UnixNanos(0),
                derived: 0,
                coding: Coding::Plain,
                plain_len: plain.len() as u32,
                body: plain.into(),
                inflated: Arc::default(),
            }
        })
        .collect();
    let (signal, layout) = (Signal::Traces, Layout::Otlp);
    Parcel {
        sink: "sink".into(),
        tenant: Tenant::default(),
        signal,
        layout,
        parts,
        rules: 0,
        replay: 0,
        attempt: 0,
        begun: false,
    }
}

fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    put::message(out, field, |out| {
        put::bytes(out, 1, key.as_bytes());
        put::message(out, 2, |out| put::bytes(out, 1, value.as_bytes()));
    });
}

fn frame(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put::message(&mut out, 1, |resource| {
        put::message(resource, 1, |out| attribute(out, 1, "service.name", "checkout"));
        put::message(resource, 2, |scope| {
            for span in 0..SPANS {
                put::message(scope, 2, |out| write_span(out, number << 32 | u64::from(span)));
            }
        });
    });
    out
}

fn write_span(out: &mut Vec<u8>, number: u64) {
    // Spread like a random id.
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    put::bytes(out, 1, &(u128::from(number) << 64 | u128::from(id)).to_be_bytes());
    put::bytes(out, 2, &id.to_be_bytes());
    put::bytes(out, 5, b"POST /cart/{id}/checkout");
    put::uint(out, 6, 2);
    put::fixed64(out, 7, 1_772_438_400_000_000_000 + number);
    put::fixed64(out, 8, 1_772_438_400_100_000_000 + number);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/cart/{id}/checkout"),
        ("url.full", "https://shop.example/cart/1234567/checkout?step=2"),
        ("server.address", "shop.example"),
        ("client.address", "198.51.100.7"),
        ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("network.protocol.version", "1.1"),
        ("user.id", "u-4711"),
        ("thread.name", "worker-17"),
        ("http.response.status_code", "200"),
    ] {
        attribute(out, 9, key, value);
    }
    put::message(out, 11, |out| {
        put::fixed64(out, 1, 1_772_438_400_050_000_000);
        put::bytes(out, 2, b"cache.miss");
        attribute(out, 3, "cache.key", "cart:1234567");
    });
}
