//! The correlation report over the samples, by API and command: what is told of each hop, of each cause, and the same after a restart.

use std::process::Command;

use serde_json::{Value, json};

use crate::gateway::{Gateway, binary};
use crate::stitched::{SECTIONS, inputs, post};

fn report(gateway: &Gateway) -> Value {
    let mut report = gateway.get("/api/v1/correlation").json();
    for hop in report["hops"].as_array_mut().unwrap() {
        // Time goes on.
        hop.as_object_mut().unwrap().remove("last_came_seconds");
    }
    report
}

fn hop<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == name).unwrap()
}

/// Exact, by id, guessed and not at all, of a route at a hop.
fn joined(report: &Value, name: &str, route: &str) -> Option<[u64; 4]> {
    let routes = hop(report, name)["routes"].as_array().unwrap();
    let found = routes.iter().find(|found| found["route"] == route)?;
    Some(parts(found))
}

fn parts(counted: &Value) -> [u64; 4] {
    ["exact", "by_id", "guessed", "alone"].map(|key| counted[key].as_u64().unwrap())
}

#[test]
fn the_samples_are_reported_by_hop_and_route_with_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), SECTIONS);
    let drawn = gateway.command(&["correlate"]);
    for silent in
        ["edge: nothing has ever come of Logpush's", "kong: nothing has ever come of Kong's http-log"]
    {
        assert!(drawn.contains(silent), "{drawn}");
    }

    inputs().iter().for_each(|input| post(&gateway, input));
    // What the samples come to: the stories, and requests beside them that join nothing.
    let hops = [
        ("edge", [9, 3, 0, 22]),
        ("worker", [8, 3, 0, 2]),
        ("kong", [9, 2, 0, 7]),
        ("service", [8, 2, 0, 5]),
    ];
    let routes = [
        ("fn-checkout", [3, 1, 0, 3]),
        ("fn-catalog", [2, 0, 0, 0]),
        ("fn-payment", [2, 0, 0, 0]),
        ("fn-inventory", [1, 0, 0, 0]),
        ("fn-recommend", [1, 0, 0, 0]),
        ("fn-my-function", [0, 1, 0, 2]),
    ];
    let mut last = Value::Null;
    let is_reported = testkit::process::happens(|| {
        last = report(&gateway);
        hops.iter().all(|(name, wanted)| parts(hop(&last, name)) == *wanted)
            && routes.iter().all(|(route, wanted)| joined(&last, "kong", route) == Some(*wanted))
    });
    assert!(is_reported, "{last:#}\n{}", gateway.process.log());
    assert_eq!(last["seconds"], 3600);
    let cause = |hop_name: &str, name: &str| {
        let causes = hop(&last, hop_name)["causes"].as_array().unwrap();
        causes.iter().find(|cause| cause["cause"] == name).cloned().unwrap_or_default()
    };
    let clock = cause("kong", "clock_off");
    assert_eq!(clock["examples"], json!(["7f91b388b574cb9735b1c85101ea7449"]));
    assert_eq!(clock["routes"], json!(["fn-inventory"]));
    let evidence = clock["evidence"].as_str().unwrap();
    assert!(evidence.ends_with("s ahead of Cloudflare's."), "{evidence}");
    let mixed = cause("kong", "kong_header_type_mixed");
    assert_eq!((&mixed["requests"], &mixed["routes"]), (&json!(1), &json!(["fn-recommend"])));
    assert!(mixed["remedy"].as_str().unwrap().contains("header_type"), "{mixed}");
    for name in ["edge", "worker", "kong", "service"] {
        let hop = hop(&last, name);
        assert_eq!(hop["requests"], parts(hop).iter().sum::<u64>(), "{hop:#}");
        let shares = hop["shares"].as_object().unwrap().values();
        let shares: f64 = shares.map(|share| share.as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-9 && hop["silence"].is_null(), "{hop:#}");
    }

    let drawn = gateway.command(&["correlate"]);
    for shown in
        ["not joined", "fn-inventory", "kong: clock off, 1 of ", "look at 7f91b388b574cb9735b1c85101ea7449"]
    {
        assert!(drawn.contains(shown), "{shown}: {drawn}");
    }
    let answered: Value = serde_json::from_str(&gateway.command(&["correlate", "--json"])).unwrap();
    assert_eq!(hop(&answered, "kong")["routes"], hop(&last, "kong")["routes"]);

    // What came again, and a restart, count nothing twice.
    inputs().iter().for_each(|input| post(&gateway, input));
    crate::crash::settled(&gateway);
    assert_eq!(report(&gateway), last);
    assert!(gateway.process.terminate().success(), "{}", gateway.process.log());
    gateway.restart();
    assert_eq!(report(&gateway), last);
}

#[test]
fn without_stitching_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gateway =
        Gateway::start(folder.path(), "stitch: { enabled: false }\nsinks: { store: { type: store } }\n");
    assert_eq!(gateway.get("/api/v1/correlation").status, 501);
    let output = Command::new(binary()).args(["correlate", "--url", &gateway.url()]).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("stitching is switched off"), "{told}");
}
