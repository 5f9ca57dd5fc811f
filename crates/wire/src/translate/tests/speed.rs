//! What the hot path costs. Run by hand: `cargo test --release -p tidegate-wire hot_path -- --ignored --nocapture`.

use std::time::Instant;

use super::super::{v1_check, v1_to_v2, v2_to_v1};
use super::*;

#[test]
#[ignore = "a measurement, not a check"]
fn hot_path_of_remote_write_1_0() {
    let count = 2000;
    let all: Vec<Series1> = (0..count)
        .map(|i| {
            let (id, path) = (format!("10.0.0.{i}:9100"), format!("/api/v1/thing/{i}"));
            let pairs = [
                "__name__",
                "http_server_requests_total",
                "code",
                "200",
                "container",
                "shop",
                "handler",
                &path,
                "instance",
                &id,
                "job",
                "kubernetes-pods",
                "method",
                "GET",
                "namespace",
                "production",
                "pod",
                "shop-6c9f7d4b5-x2x7q",
                "zone",
                "eu-west-1a",
            ];
            series(&pairs, &[sample(f64::from(i), 1_732_181_462_123)])
        })
        .collect();
    let plain = request(all).encode_to_vec();
    let two = v1_to_v2(&plain).expect("valid");
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(v1_check(&plain).expect("valid").rejected.len(), 0);
    }
    println!("v1_check: {:.0} ns a series", start.elapsed().as_secs_f64() * 1e9 / 100.0 / f64::from(count));
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(v2_to_v1(&two).expect("valid").rejected.len(), 0);
    }
    println!("v2_to_v1: {:.0} ns a series", start.elapsed().as_secs_f64() * 1e9 / 100.0 / f64::from(count));
}
