//! For tests: a span that fulfils some searches, seen and decoded.

use std::borrow::Cow;
use std::collections::HashMap;

use rows::{Attributes, Encoded, Event, Keys, Link, Scope, Seen, Span, Subject};
use serde_json::{Value, json};

/// A span as a search sees it.
pub(crate) struct One {
    fields: HashMap<&'static str, &'static str>,
    own: HashMap<&'static str, &'static str>,
    resource: HashMap<&'static str, &'static str>,
}

impl Seen for One {
    fn time(&self) -> i64 {
        0
    }

    fn trace(&self) -> Option<[u8; 16]> {
        None
    }

    fn id(&self) -> Option<[u8; 8]> {
        None
    }

    fn parent(&self) -> Option<[u8; 8]> {
        None
    }

    fn duration(&self) -> i64 {
        15_000_000
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        let found = match subject {
            Subject::Attribute(key) => self.own.get(key.as_str()),
            Subject::Resource(key) => self.resource.get(key.as_str()),
            subject => self.fields.get(subject.column()),
        };
        found.map(|text| Cow::Borrowed(*text))
    }

    fn keys(&self, _: Keys, _: &mut dyn FnMut(&str)) {}
}

/// A failed payment of 15 ms.
pub(crate) fn checkout() -> One {
    One {
        fields: HashMap::from([
            ("service_name", "checkout"),
            ("name", "POST /pay"),
            ("kind", "server"),
            ("status", "error"),
            ("status_message", "card declined"),
        ]),
        own: HashMap::from([
            ("http.response.status_code", "502"),
            ("a b", "1"),
            ("flag", "true"),
            ("both", "own"),
            ("text", "9x"),
        ]),
        resource: HashMap::from([
            ("service.name", "checkout"),
            ("k8s.namespace.name", "shop"),
            ("both", "above"),
        ]),
    }
}

/// A span with all that a span can have.
pub(crate) fn rich() -> Span {
    let attributes = |value: Value| {
        let Value::Object(map) = value else { panic!("{value} is no object") };
        Attributes(map.into_iter().collect())
    };
    Span {
        trace_id: "000000000000000011112222333344f5".to_owned(),
        span_id: "00f067aa0ba902b7".to_owned(),
        parent_span_id: "00f067aa0ba902b6".to_owned(),
        service: "rich".to_owned(),
        name: "root op".to_owned(),
        kind: "server",
        start: 1_772_438_400_147_204_999,
        end: 1_772_438_400_283_515_000,
        status: "error",
        status_message: "bad thing".to_owned(),
        trace_state: "a=b".to_owned(),
        flags: 257,
        attributes: attributes(json!({
            "s": "t", "big": 9_007_199_254_740_993_u64, "low": i64::MIN, "d": 1.5, "whole": 8080.0, "b": true,
            "map": { "k": 1 }, "empty": null,
        })),
        resource: attributes(json!({ "service.name": "rich", "n": 5, "arr": ["a", 1, true] })),
        scope: Scope { name: "lib".to_owned(), version: "2".to_owned(), attributes: Attributes::default() },
        events: vec![
            Event {
                time: 1_772_438_400_150_000_999,
                name: "exception".to_owned(),
                attributes: attributes(json!({ "exception.type": "E" })),
            },
            Event { time: 1_772_438_400_150_001_999, name: String::new(), attributes: Attributes::default() },
        ],
        links: [
            ("d256002ba4ab731c6203a1b59639b7ea", "follows_from"),
            ("d256002ba4ab731c6203a1b59639b7eb", "child_of"),
        ]
        .map(|(trace, kind)| Link {
            trace_id: trace.to_owned(),
            span_id: "20d8bf0dc0383bb5".to_owned(),
            trace_state: String::new(),
            attributes: attributes(json!({ "opentracing.ref_type": kind })),
        })
        .into(),
        dropped: [0; 3],
        tenant: "default".to_owned(),
        source: "otlp".to_owned(),
        offset: 1,
        index: 0,
        bytes: Encoded::default(),
    }
}
