//! `tidegate demo`: synthetic traffic of all four kinds for a running gateway. Each request of the story crosses Cloudflare's
//! edge and a Worker, Kong, an OpenFaaS gateway and a function, and each hop reports it the way the real one does.

mod story;

use std::io::Write as _;

use crate::client::Client;

/// How much to send.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The gateway's front door.
    #[arg(long, default_value = crate::client::DEFAULT_URL)]
    url: String,
    /// Requests to tell of.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,
    /// Makes the same ids again; default: a random seed, which is printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// Sends the story and prints where to look.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let client = Client::new(&options.url)?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let now = model::Clock::now(&model::SystemClock).0;
    let story = story::tell(seed, options.requests, now);
    let json = [("content-type", "application/json")];
    let protobuf = [("content-type", "application/x-protobuf")];
    let snappy = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let gzip = [("content-encoding", "gzip")];
    for (what, path, headers, body) in [
        ("function spans (OTLP traces)", "/v1/traces", &protobuf[..], story.traces),
        ("function logs (OTLP logs)", "/v1/logs", &protobuf[..], story.logs),
        (
            "function metrics (remote-write)",
            "/api/v1/write",
            &snappy[..],
            wire::coding::compress(wire::Coding::Snappy, 0, &story.series),
        ),
        ("Kong records (http-log)", "/ingest/kong/http-log", &json[..], story.kong),
        (
            "edge rows (Logpush http_requests)",
            "/ingest/cloudflare/logpush/http_requests",
            &gzip[..],
            zipped(&story.edge)?,
        ),
        (
            "Worker events (Logpush)",
            "/ingest/cloudflare/logpush/workers_trace_events",
            &gzip[..],
            zipped(&story.workers)?,
        ),
    ] {
        let answer = client.post(path, headers, body).await?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("{what}: {path} answered {} {}", answer.status, answer.text()));
        }
        crate::say(&format!("sent {what}: {}", answer.status));
    }
    let example = &story.trace_ids[0];
    crate::say(&format!(
        "{} requests sent (seed {seed}); see one of them with: tidegate trace {example}\nthe books: tidegate ledger",
        options.requests
    ));
    Ok(())
}

fn zipped(plain: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).map_err(|error| error.to_string())
}
