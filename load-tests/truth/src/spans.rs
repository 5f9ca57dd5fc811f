//! Received spans: OTLP as protobuf, written by hand.

use crate::case::{Call, Case, Exported, Kong, Native, Run, Times};
use crate::draw::MILLI;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn attribute(out: &mut Vec<u8>, field: u8, key: &str, value: &str, is_list: bool) {
    let mut text = Vec::new();
    bytes(&mut text, 1, value.as_bytes());
    if is_list {
        let mut list = Vec::new();
        bytes(&mut list, 1, &text);
        text = Vec::new();
        bytes(&mut text, 5, &list);
    }
    let mut pair = Vec::new();
    bytes(&mut pair, 1, key.as_bytes());
    bytes(&mut pair, 2, &text);
    bytes(out, field, &pair);
}

struct Span<'a> {
    trace: u128,
    span: u64,
    parent: u64,
    kind: u8,
    name: &'a str,
    times: Times,
    attributes: Vec<(&'a str, String, bool)>,
}

/// `ResourceSpans` of one service, as a field of the request.
fn resource(out: &mut Vec<u8>, service: &str, scope: &str, spans: &[Span<'_>]) {
    let mut resource = Vec::new();
    attribute(&mut resource, 1, "service.name", service, false);
    let mut name = Vec::new();
    bytes(&mut name, 1, scope.as_bytes());
    let mut of_scope = Vec::new();
    bytes(&mut of_scope, 1, &name);
    for span in spans {
        let mut own = Vec::new();
        bytes(&mut own, 1, &span.trace.to_be_bytes());
        bytes(&mut own, 2, &span.span.to_be_bytes());
        if span.parent != 0 {
            bytes(&mut own, 4, &span.parent.to_be_bytes());
        }
        bytes(&mut own, 5, span.name.as_bytes());
        own.push(6 << 3);
        own.push(span.kind);
        for (field, time) in [(7, span.times.start), (8, span.times.start + span.times.took)] {
            own.push(field << 3 | 1);
            own.extend_from_slice(&time.to_le_bytes());
        }
        for (key, value, is_list) in &span.attributes {
            attribute(&mut own, 9, key, value, *is_list);
        }
        bytes(&mut of_scope, 2, &own);
    }
    let mut whole = Vec::new();
    bytes(&mut whole, 1, &resource);
    bytes(&mut whole, 2, &of_scope);
    bytes(out, 1, &whole);
}

/// The spans of a request to services, one `ResourceSpans` each as their own exporters send them.
pub(crate) fn call(call: &Call) -> Vec<Vec<u8>> {
    let [gateway, client, function] = call.spans;
    let mut out = Vec::new();
    let within =
        |by: u64| Times { start: call.times.start + by * 100_000, took: call.times.took - by * 200_000 };
    if gateway != 0 {
        let mut attributes = vec![("http.request.method", "POST".to_owned(), false)];
        if let Some(id) = call.kong {
            attributes.push(("http.request.header.x-kong-request-id", format!("{id:032x}"), true));
        }
        if let Some(ray) = call.ray {
            attributes.push(("http.request.header.cf-ray", format!("{ray:016x}-HAN"), true));
        }
        let span = |span, parent, kind, by, attributes| Span {
            trace: call.trace,
            span,
            parent,
            kind,
            name: "POST /function/{name}",
            times: within(by),
            attributes,
        };
        let spans = [span(gateway, call.parent, 2, 0, attributes), span(client, gateway, 3, 1, Vec::new())];
        let mut one = Vec::new();
        resource(&mut one, "openfaas-gateway", "proxy", &spans);
        out.push(one);
    }
    if function != 0 {
        let (trace, times) = (call.trace, within(2));
        let span = Span {
            trace,
            span: function,
            parent: client,
            kind: 2,
            name: "fn",
            times,
            attributes: Vec::new(),
        };
        let mut one = Vec::new();
        resource(&mut one, "function", "sdk", &[span]);
        out.push(one);
    }
    out
}

/// Kong's own spans: the OpenTelemetry plugin's, which name the request, or the Zipkin plugin's as a collector passes them on.
pub(crate) fn kong(kong: &Kong, own: &Exported) -> Vec<u8> {
    let mut attributes = vec![("http.method", "POST".to_owned(), false)];
    if let Some(id) = kong.id.filter(|_| !own.is_zipkin) {
        attributes.push(("kong.request.id", format!("{id:032x}"), false));
    }
    let (trace, times) = (own.trace, kong.times);
    let root = Span { trace, span: own.root, parent: own.parent, kind: 2, name: "kong", times, attributes };
    let mut spans = vec![root];
    if kong.tries > 0 {
        let name = if own.is_zipkin { "post (proxy)" } else { "kong.balancer" };
        let (span, parent, attributes) = (own.balancer, own.root, Vec::new());
        spans.push(Span { trace, span, parent, kind: 3, name, times, attributes });
    }
    let mut out = Vec::new();
    resource(&mut out, "kong", if own.is_zipkin { "" } else { "kong-internal" }, &spans);
    out
}

/// What Cloudflare exports of a Worker's run.
pub(crate) fn native(case: &Case, run: &Run, own: &Native) -> Vec<u8> {
    let text = |key: &'static str, value: &str| (key, value.to_owned(), false);
    let of_all = [text("telemetry.sdk.name", "cloudflare"), text("cloud.provider", "cloudflare")];
    let span = |span, parent, kind, times, own_attributes: Vec<(&'static str, String, bool)>| {
        let attributes = of_all.iter().cloned().chain(own_attributes).collect();
        Span { trace: own.trace, span, parent, kind, name: "fetch", times, attributes }
    };
    let named = vec![("cloudflare.ray_id", format!("{:016x}", run.ray), false)];
    let mut spans = vec![span(own.root, 0, 2, run.times, named)];
    for (at, id) in &own.clients {
        let fetch = &case.fetches[usize::from(*at)];
        // A little more than what the edge sees of it.
        let Times { start, took } = fetch.times;
        let times = Times { start: start - MILLI / 2, took: took + MILLI };
        spans.push(span(*id, own.root, 3, times, vec![text("server.address", fetch.host)]));
    }
    let mut out = Vec::new();
    resource(&mut out, run.script, "cloudflare", &spans);
    out
}
