//! Records and spans from anyone: nothing panics, and nothing grows beyond its bounds.

use std::time::Duration;

use normalize::Shape;
use pipeline::settings::Period;
use testkit::sample::sample;
use tidegate_stitch::series::options::{Histograms, KongNames};
use tidegate_stitch::series::{Options, Series};
use wire::put;

use super::feed::{Item, all, hinted, records, single};
use super::points::Points;
use crate::NOW;

fn options() -> Options {
    let mut options = super::options();
    options.kong.names = KongNames::Both;
    options.histograms = Histograms::Both;
    options.spans.internal = true;
    options.spans.most_waiting = 50;
    options.most_series = 20;
    options.oldest = Period(Duration::MAX);
    options.ahead = Period(Duration::MAX);
    options
}

/// Feeds what may be no request at all.
fn feed(series: &mut Series, plain: &[u8]) {
    _ = wire::otlp::logs::each_record(plain, |resource, _, record| {
        series.record(&resource.resource, &record, NOW)
    });
    _ = wire::otlp::traces::each_span(plain, |resource, scope, span| {
        series.span(resource, scope, &span, NOW)
    });
}

fn check(mut series: Series) {
    let counts = series.counts();
    assert!(counts.waiting <= 50, "{counts:?}");
    assert!(counts.series <= 21 * tidegate_stitch::series::metric::ROWS.len(), "{counts:?}");
    let bodies = series.encode(NOW);
    let limit = options().body.0;
    assert!(bodies.iter().all(|body| body.bytes.len() as u64 <= limit));
    drop(Points::of(&bodies));
    assert_eq!(series.counts().series, counts.series);
    let mut again = Series::new(options(), "");
    for change in series.take() {
        if let Some(value) = change.value {
            again.load(&change.key, &value).unwrap();
        }
    }
}

#[test]
fn hostile_samples_do_no_harm() {
    let mut series = Series::new(options(), "");
    let names = ["numbers.ndjson", "duplicate_keys.ndjson", "mixed_good_bad.ndjson", "invalid_utf8.ndjson"];
    for name in names {
        let items = records(sample(&format!("hostile/{name}")), Shape::Logpush);
        items.iter().for_each(|(_, item)| item.feed(&mut series, NOW));
    }
    for name in ["kong_array_one.json", "kong_raw_bytes.json", "kong_empty_array.json"] {
        let items = records(sample(&format!("hostile/{name}")), Shape::Kong);
        items.iter().for_each(|(_, item)| item.feed(&mut series, NOW));
    }
    check(series);
}

#[test]
fn bytes_changed_at_random_do_no_harm() {
    let plains: Vec<Vec<u8>> = all()
        .into_iter()
        .filter_map(|item| match item {
            Item::Log(plain) | Item::Span(plain) => Some(plain),
            Item::Made(..) => None,
        })
        .collect();
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut series = Series::new(options(), "");
        for _ in 0..500 {
            let mut plain = plains[random.usize(..plains.len())].clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..plain.len());
                plain[at] = random.u8(..);
            }
            feed(&mut series, &plain);
        }
        check(series);
    }
}

/// A span or record whose fields are anything.
fn anything(random: &mut fastrand::Rng) -> Vec<u8> {
    let text = |random: &mut fastrand::Rng| -> String {
        let len = if random.u8(..10) == 0 { 5_000 } else { random.usize(..8) };
        (0..len).map(|_| random.char('\0'..'\u{ffff}')).collect()
    };
    let number =
        |random: &mut fastrand::Rng| [0, 1, 200, u64::MAX, 1 << 63, random.u64(..)][random.usize(..6)];
    let keys = [
        "cloudflare.request_source",
        "cloudflare.zone",
        "cloudflare.edge.start_ns",
        "cloudflare.edge.end_ns",
        "cloudflare.wall_time_ms",
        "cloudflare.sample_rate",
        "http.response.status_code",
        "http.response.size",
        "kong.route.name",
        "kong.service.name",
        "kong.latency.request",
        "kong.latency.proxy",
        "kong.source",
        "peer.service",
        "url.path",
        "faas.invoked_name",
        "faas.coldstart",
        "db.system",
    ];
    let events = ["cloudflare.http_requests", "cloudflare.worker", "cloudflare.event", "kong.http_log"];
    let mut resource = Vec::new();
    let mut item = Vec::new();
    let is_span = random.bool();
    let attribute = |out: &mut Vec<u8>, field: u32, key: &str, random: &mut fastrand::Rng| {
        put::message(out, field, |out| {
            put::bytes(out, 1, key.as_bytes());
            put::message(out, 2, |out| match random.u8(..5) {
                0 => put::uint(out, 3, number(random)),
                1 => put::fixed64(
                    out,
                    4,
                    [f64::NAN, f64::INFINITY, -1.0, 1e300, 0.5][random.usize(..5)].to_bits(),
                ),
                2 => put::uint(out, 2, 1),
                _ => put::bytes(out, 1, text(random).as_bytes()),
            });
        });
    };
    attribute(&mut resource, 1, ["service.name", "kong.workspace.name"][random.usize(..2)], random);
    if is_span {
        put::bytes(&mut item, 1, &[random.u8(1..3); 16]);
        put::bytes(&mut item, 2, &[random.u8(1..); 8]);
        put::bytes(&mut item, 4, &[random.u8(..); 8]);
        put::bytes(&mut item, 5, text(random).as_bytes());
        put::uint(&mut item, 6, random.u64(..8));
        put::fixed64(&mut item, 7, number(random));
        put::fixed64(&mut item, 8, number(random));
    } else {
        put::fixed64(&mut item, 1, number(random));
        put::bytes(&mut item, 12, events[random.usize(..events.len())].as_bytes());
        put::bytes(&mut item, 9, &[random.u8(..); 16]);
    }
    for _ in 0..random.usize(..10) {
        attribute(&mut item, if is_span { 9 } else { 6 }, keys[random.usize(..keys.len())], random);
    }
    single(&resource, &[], &item)
}

#[test]
fn values_of_any_kind_do_no_harm() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut series = Series::new(options(), "");
        for _ in 0..500 {
            feed(&mut series, &anything(&mut random));
        }
        check(series);
    }
}

#[test]
fn methods_that_visitors_make_up_are_one_method() {
    let line = |at: usize| {
        format!(
            r#"{{"RayID":"{at:016x}","EdgeStartTimestamp":{time},"EdgeEndTimestamp":{time},"EdgeResponseStatus":200,"ClientRequestMethod":"X{at}","ZoneName":"z","ClientRequestSource":"eyeball"}}"#,
            time = NOW.0 - 1_000
        )
    };
    let text: String = (1..100).map(|at| line(at) + "\n").collect();
    let items = hinted(text.into_bytes(), normalize::Hint::default());
    let told = super::told(&Options::default(), &items);
    let methods = told.counts("cloudflare_http_requests_total", &["method"]);
    assert_eq!(methods, [(vec!["_OTHER".to_owned()], 99)].into());
}
