//! Every notation of ids, by vectors: `ids.json` for what senders write, `derived_ids.json` for what the gateway makes.

#![allow(clippy::unwrap_used, reason = "a test may fail at any step")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;
use tidegate_model::id::{Context, IdError, Notation, Ray, candidates, derived, kong_trace_ids};
use tidegate_model::{SpanId, TraceId};

fn notation(name: &str) -> Option<Notation> {
    Some(match name {
        "w3c" => Notation::W3c,
        "w3c_strict" => Notation::W3cStrict,
        "b3" => Notation::B3Single,
        "b3_multi" => Notation::B3Multi,
        "jaeger" => Notation::Jaeger,
        "gcp" => Notation::Gcp,
        "aws" => Notation::Aws,
        "ot" => Notation::Ot,
        "skywalking" => Notation::SkyWalking,
        "sw8" => Notation::Sw8,
        "uuid" => Notation::Uuid,
        "base64" => Notation::Base64,
        "hex" => Notation::Hex,
        "otlp_json" => Notation::OtlpJson,
        "hashed" => Notation::Hashed,
        _ => return None,
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// What the vector's text is read as: trace id, span id, and the bits of the trace id.
fn read(vector: &Value) -> (Option<String>, Option<String>, Option<u8>) {
    let text = vector["text"].as_str().unwrap();
    let kind = vector["as"].as_str().unwrap();
    let trace = |id: Option<TraceId>| (id.map(|id| id.to_string()), None, None);
    let span = |id: Result<SpanId, IdError>| (None, id.ok().map(|id| id.to_string()), None);
    match kind {
        "datadog" => match vector["tid"].as_str() {
            tid @ Some(_) => trace(TraceId::datadog(text, tid).ok()),
            None => {
                let reading = TraceId::read(Notation::Datadog, text).ok();
                (reading.map(|r| r.id.to_string()), None, reading.map(|r| r.bits))
            }
        },
        "candidates" | "ray" => (None, None, None),
        "skywalking_span" => span(SpanId::skywalking(text, vector["number"].as_i64().unwrap() as i32)),
        "base64_span" => span(SpanId::parse(Notation::Base64, text)),
        "thrift" => {
            let half = |name: &str| vector[name].as_str().unwrap().parse().unwrap();
            trace(TraceId::from_halves(half("high"), half("low")))
        }
        "otlp_bytes" => trace(TraceId::from_otlp(&bytes(text))),
        "padded_bytes" => trace(TraceId::from_padded(&bytes(text))),
        "kong" => {
            let members = vector["members"].as_object().unwrap();
            let ids = kong_trace_ids(members.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())));
            if vector["lows_agree"] == true {
                assert!(ids.windows(2).all(|pair| pair[0].1.id.low() == pair[1].1.id.low()), "{vector}");
            }
            (ids.first().map(|(_, r)| r.id.to_string()), None, ids.first().map(|(_, r)| r.bits))
        }
        _ => {
            let notation = notation(kind).unwrap_or_else(|| panic!("no notation {kind}"));
            let context = Context::parse(notation, text).ok();
            let id = TraceId::read(notation, text).ok();
            assert_eq!(context.as_ref().and_then(|c| c.trace_id), id.map(|r| r.id), "{vector}");
            let span = context.and_then(|c| c.span_id);
            (id.map(|r| r.id.to_string()), span.map(|id| id.to_string()), id.map(|r| r.bits))
        }
    }
}

#[test]
fn every_vector_reads_as_written_down() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("ids.json")).unwrap();
    let numbers: BTreeSet<u64> = vectors.iter().map(|v| v["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=66).collect(), "the file holds every vector");
    for vector in &vectors {
        let (trace, span, bits) = read(vector);
        assert_eq!(trace.as_deref(), vector["trace"].as_str(), "trace of {vector}");
        assert_eq!(span.as_deref(), vector["span"].as_str(), "span of {vector}");
        if let Some(expected) = vector["bits"].as_u64()
            && vector["tid"].is_null()
        {
            assert_eq!(bits.map(u64::from), Some(expected), "bits of {vector}");
        }
        details(vector);
    }
}

fn details(vector: &Value) {
    let text = vector["text"].as_str().unwrap();
    if let Some(expected) = vector["candidates"].as_array() {
        let found: Vec<String> = candidates(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected.iter().map(|v| v.as_str().unwrap()).collect::<Vec<_>>(), "{vector}");
    }
    if let Some(expected) = vector["ray"].as_str() {
        assert_eq!(Ray::parse(text).unwrap().as_str(), expected);
    }
    let Some(notation) = vector["as"].as_str().and_then(notation) else { return };
    let context = Context::parse(notation, text);
    for field in ["sampled", "debug", "random", "parent", "original"] {
        if vector[field].is_null() {
            continue;
        }
        let context = context.as_ref().unwrap();
        let found = match field {
            "sampled" => context.sampled.map(Value::from),
            "debug" => Some(context.debug.into()),
            "random" => Some(context.random.into()),
            "parent" => context.parent.map(|id| id.to_string().into()),
            _ => Some(context.original.as_ref().into()),
        };
        assert_eq!(found.as_ref(), Some(&vector[field]), "{field} of {vector}");
    }
}

#[test]
fn derived_ids_equal_their_vectors() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("derived_ids.json")).unwrap();
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let kind = vector["kind"].as_str().unwrap();
        let parts: Vec<&str> =
            vector["parts"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        match vector["span_id"].as_str() {
            Some(expected) => assert_eq!(derived::id8(kind, &parts).to_string(), expected),
            None => assert_eq!(derived::id16(kind, &parts).to_string(), vector["trace_id"].as_str().unwrap()),
        }
    }
}

#[test]
fn a_person_finds_an_id_by_any_spelling() {
    const T: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    for spelling in [
        format!("00-{T}-00f067aa0ba902b7-01"),
        format!("{T}-00f067aa0ba902b7-1"),
        format!("{T}:00f067aa0ba902b7:0:1"),
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736".into(),
        format!("{T}/67667974448284343;o=1"),
        format!("projects/shop/traces/{T}"),
        format!("  \"{}\" ", T.to_uppercase()),
        format!("0x{T}"),
        format!("TID:{T}"),
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736".into(),
        "{4bf92f35-77b3-4da6-a3ce-929d0e0e4736}".into(),
        "S/kvNXezTaajzpKdDg5HNg==".into(),
        "S_kvNXezTaajzpKdDg5HNg".into(),
    ] {
        let found = candidates(&spelling);
        assert_eq!(found.first().map(ToString::to_string).as_deref(), Some(T), "{spelling}");
    }
    let low = "0000000000000000a3ce929d0e0e4736";
    for spelling in ["11803532876627986230", "-6643211197081565386", "a3ce929d0e0e4736", "A3CE929D0E0E4736"] {
        assert!(candidates(spelling).iter().any(|id| id.to_string() == low), "{spelling}");
    }
    assert_eq!(candidates("order-12345"), [TraceId::parse(Notation::Hashed, "order-12345").unwrap()]);
    assert_eq!(candidates("7b").first().map(TraceId::low), Some(0x7b));
}

#[test]
fn words_for_no_trace_are_no_candidates() {
    for text in [
        "",
        " ",
        "-",
        "null",
        "N/A",
        "undefined",
        "NaN",
        "Ignored_Trace",
        "0",
        "00000000000000000000000000000000",
    ] {
        assert_eq!(candidates(text), [], "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_spelling_of_an_id_parses_to_that_id(value in 1u128.., span in 1u64.., upper: bool) {
        let id = TraceId::from_bytes(value.to_be_bytes()).unwrap();
        let mut hex = id.to_string();
        let mut span_hex = format!("{span:016x}");
        if upper {
            hex.make_ascii_uppercase();
            span_hex.make_ascii_uppercase();
        }
        let cases = [
            (Notation::W3c, format!("00-{hex}-{span_hex}-01")),
            (Notation::B3Single, format!("{hex}-{span_hex}-d")),
            (Notation::Jaeger, format!("{value:x}:{span:x}:0:1")),
            (Notation::Gcp, format!("{hex}/{span};o=1")),
            (Notation::Aws, format!("Root=1-{}-{};Parent={span_hex};Sampled=1", &hex[..8], &hex[8..])),
        ];
        for (notation, text) in cases {
            let context = Context::parse(notation, &text).unwrap();
            prop_assert_eq!(context.trace_id, Some(id));
            prop_assert_eq!(context.span_id, SpanId::from_bytes(span.to_be_bytes()));
            prop_assert_eq!(context.sampled, Some(true));
        }
        for notation in [Notation::B3Multi, Notation::Ot, Notation::Instana, Notation::Zipkin, Notation::OtlpJson,
            Notation::Hex, Notation::Uuid, Notation::Custom] {
            prop_assert_eq!(TraceId::parse(notation, &hex), Ok(id));
        }
        prop_assert!(candidates(&hex).contains(&id));
        let low = TraceId::datadog(&(value as u64).to_string(), Some(&format!("{:016x}", value >> 64)));
        prop_assert_eq!(low.ok(), (value as u64 != 0).then_some(id));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "[ -~]{0,80}|\\PC{0,80}|[0-9a-fA-F:%/;=.-]{0,120}", number: i32) {
        for notation in [Notation::W3c, Notation::W3cStrict, Notation::ElasticApm, Notation::B3Single, Notation::B3Multi,
            Notation::Jaeger, Notation::Gcp, Notation::Aws, Notation::Datadog, Notation::Ot, Notation::Instana,
            Notation::Zipkin, Notation::OtlpJson, Notation::Base64, Notation::SkyWalking, Notation::Sw8, Notation::Uuid,
            Notation::Hex, Notation::Custom, Notation::Hashed] {
            let _ = (Context::parse(notation, &text), SpanId::parse(notation, &text));
            if let Ok(reading) = TraceId::read(notation, &text) {
                prop_assert!(reading.bits == 0 || (reading.bits == 64) == (reading.id.high() == 0));
            }
        }
        let _ = (SpanId::skywalking(&text, number), Ray::parse(&text), candidates(&text));
        let _ = TraceId::datadog(&text, Some(&text));
        let _ = kong_trace_ids([("w3c", text.as_str()), ("datadog", &text), ("b3", &text), ("x", &text)]);
    }
}
