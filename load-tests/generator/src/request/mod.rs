//! Requests with ids of their own, what their senders send, and how people spell their ids. `template.rs` has the samples with gaps for ids
//! and times.

mod template;

use serde_json::{Value, json};
use testkit::sample;
use wire::Signal;

use template::{Gap, Template};

/// A request of the first story, under its own ids and at its own time.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) trace: u128,
    pub(crate) rays: [u64; 2],
    pub(crate) kong: u128,
    /// Milliseconds that it comes after the sample.
    pub(crate) later: u64,
}

/// When the sample was, milliseconds since 1970.
pub(crate) const SAMPLE: u64 = 1_772_438_400_000;
/// Every eighth client has trace ids of 64 bits.
const SHORT: u64 = 8;
/// What a request comes to.
pub(crate) const SPANS: u64 = 5 + 11;
pub(crate) const LOGS: u64 = 5;

/// Random to the eye, and no two alike.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Request {
    pub(crate) fn new(number: u64, later: u64) -> Self {
        let id = |part: u64| mixed(number * 32 + part);
        let wide = |part: u64| u128::from(id(part)) << 64 | u128::from(id(part + 1));
        let trace = if Self::is_short(number) { u128::from(id(1)) } else { wide(0) };
        Self { number, trace, rays: [id(2), id(3)], kong: wide(4), later }
    }

    /// Whether the request of this number has a trace id of 64 bits.
    pub(crate) fn is_short(number: u64) -> bool {
        number.is_multiple_of(SHORT)
    }

    pub(crate) fn span(&self, number: u64) -> u64 {
        mixed(self.number * 32 + 8 + number)
    }

    /// The canonical id.
    pub(crate) fn id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// How an id of a request is spelled.
pub(crate) type Spelling = fn(&Request) -> String;

/// All ways, with their names.
pub(crate) const SPELLINGS: [(&str, Spelling); 12] = [
    ("W3C", Request::id),
    ("traceparent", |one| format!("00-{}-{:016x}-01", one.id(), one.span(0))),
    ("upper case", |one| one.id().to_uppercase()),
    ("UUID", |one| {
        let id = one.id();
        format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
    }),
    ("B3, 64 bits", |one| format!("{:016x}", one.trace as u64)),
    ("Datadog", |one| (one.trace as u64).to_string()),
    ("X-Ray", |one| {
        let id = one.id();
        format!("1-{}-{}", &id[..8], &id[8..])
    }),
    ("short", |one| format!("{:x}", one.trace)),
    ("ray", |one| format!("{:016x}", one.rays[0])),
    ("ray with colo", |one| format!("{:016x}-HAN", one.rays[0])),
    ("ray of the fetch", |one| format!("{:016x}", one.rays[1])),
    ("Kong's id", |one| format!("{:032x}", one.kong)),
];

/// What the four senders send of any request.
pub(crate) struct Senders {
    edge: Template,
    worker: Template,
    kong: Template,
    services: Template,
}

/// A body, its path and the type of its content.
pub(crate) type Body = (&'static str, &'static str, Vec<u8>);

impl Senders {
    pub(crate) fn new() -> Result<Self, String> {
        let hex: Vec<(Vec<u8>, Gap)> = [
            ("d256002ba4ab731c6203a1b59639b7ea", Gap::Trace),
            ("6a63ddb61ec24c64", Gap::Ray(0)),
            ("d1c4b41bbbd002b0", Gap::Ray(1)),
            ("b7e24850823040e1c9a22f46ceba7f69", Gap::Kong),
            ("4fbc2229026e50de", Gap::Span(0)),
            ("e2d0e7dc47dda560", Gap::Span(1)),
        ]
        .map(|(text, gap)| (text.as_bytes().to_vec(), gap))
        .into();
        let lines = |name: &str, count: usize| {
            let all = sample(name);
            let lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').take(count).collect();
            let mut text = lines.join(&b'\n');
            text.push(b'\n');
            Template::new(&text, &hex)
        };
        Ok(Self {
            edge: lines("cloudflare/http_requests.ndjson", 2),
            worker: lines("cloudflare/workers_trace_events.ndjson", 1),
            kong: Template::new(sample("kong/http-log-3x-single.json").trim_ascii(), &hex),
            services: services(&hex)?,
        })
    }

    /// Bodies with everything of these requests.
    pub(crate) fn bodies(&self, requests: &[Request]) -> [Body; 4] {
        let all = |template: &Template| {
            let mut out = Vec::new();
            requests.iter().for_each(|request| template.write(request, &mut out));
            out
        };
        let mut records = vec![b'['];
        for (at, request) in requests.iter().enumerate() {
            if at > 0 {
                records.push(b',');
            }
            self.kong.write(request, &mut records);
        }
        records.push(b']');
        let json = "application/json";
        [
            ("/ingest/cloudflare/logpush", json, all(&self.edge)),
            ("/ingest/cloudflare/logpush", json, all(&self.worker)),
            ("/ingest/kong/http-log", json, records),
            ("/v1/traces", "application/x-protobuf", all(&self.services)),
        ]
    }
}

/// A span of a service: service, parent by number, name, kind, begin and length in milliseconds.
const CALLS: [(&str, u64, &str, u8, u64, u64); 11] = [
    ("openfaas-gateway", 1, "POST /function/{name}", 2, 24, 136),
    ("openfaas-gateway", 2, "POST checkout", 3, 25, 134),
    ("checkout", 3, "handle checkout", 2, 26, 132),
    ("checkout", 4, "SELECT shop.carts", 3, 28, 6),
    ("checkout", 4, "GET inventory", 3, 36, 30),
    ("inventory", 6, "handle inventory", 2, 38, 26),
    ("inventory", 7, "SELECT shop.stock", 3, 40, 20),
    ("checkout", 4, "POST payment", 3, 70, 80),
    ("payment", 9, "handle payment", 2, 72, 76),
    ("payment", 10, "INSERT shop.payments", 3, 74, 12),
    ("checkout", 4, "publish shop.orders", 4, 152, 4),
];

/// When the sample's story begins.
const BEGIN: u64 = 1_772_438_400_123;

/// Everything that services send of one request, as protobuf; requests one behind the other are one request.
fn services(hex: &[(Vec<u8>, Gap)]) -> Result<Template, String> {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let list = |key: &str, value: &str| json!({ "key": key, "value": { "arrayValue": { "values": [{ "stringValue": value }] } } });
    // A span's number is its place behind the two that came in headers.
    let own = |number: u64| format!("{:016x}", 0xabcd_ef01_2345_6700_u64 + number);
    let mut gaps = hex.to_vec();
    gaps.push((0xd256_002b_a4ab_731c_6203_a1b5_9639_b7ea_u128.to_be_bytes().to_vec(), Gap::TraceBytes));
    gaps.push((0xe2d0_e7dc_47dd_a560_u64.to_be_bytes().to_vec(), Gap::SpanBytes(1)));
    let mut resources: Vec<Value> = Vec::new();
    for (number, (service, parent, name, kind, begin, length)) in (2..).zip(CALLS) {
        let (start, end) =
            ((BEGIN + begin) * 1_000_000 + 204_000, (BEGIN + begin + length) * 1_000_000 + 515_000);
        gaps.push(((0xabcd_ef01_2345_6700_u64 + number).to_be_bytes().to_vec(), Gap::SpanBytes(number)));
        gaps.extend([start, end].map(|time| (time.to_le_bytes().to_vec(), Gap::NanosBytes(time))));
        let parent = if parent == 1 { "e2d0e7dc47dda560".to_owned() } else { own(parent) };
        let mut attributes = vec![
            text("http.request.method", "POST"),
            text("server.address", &format!("{service}.openfaas-fn.svc.cluster.local")),
            text("url.path", "/function/checkout"),
            json!({ "key": "http.response.status_code", "value": { "intValue": "200" } }),
        ];
        if number == 2 {
            attributes.push(list("http.request.header.cf-ray", "d1c4b41bbbd002b0-HAN"));
            attributes
                .push(list("http.request.header.x-kong-request-id", "b7e24850823040e1c9a22f46ceba7f69"));
        }
        let span = json!({
            "traceId": "d256002ba4ab731c6203a1b59639b7ea", "spanId": own(number), "parentSpanId": parent, "flags": 257,
            "name": name, "kind": kind, "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
            "attributes": attributes, "status": {},
        });
        let resource = json!({ "attributes": [
            text("service.name", service), text("service.namespace", "openfaas-fn"),
            text("k8s.pod.name", &format!("{service}-5d9c7b6f4-x2x7k")),
        ] });
        resources.push(json!({
            "resource": resource, "scopeSpans": [{ "scope": { "name": "sample", "version": "1.0.0" }, "spans": [span] }],
        }));
    }
    let request = json!({ "resourceSpans": resources }).to_string();
    let plain =
        wire::json::to_proto(Signal::Traces, request.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Template::new(&plain, &gaps))
}
