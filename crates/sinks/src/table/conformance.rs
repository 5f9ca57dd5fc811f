//! What must hold for every sink, tried on every row of the table: each row has a stand here, in the table's order, or this does not build.

use std::path::Path as Folder;
use std::sync::Arc;
use std::time::Duration;

use model::{Failure, Layout, Signal};
use pipeline::{BoxFuture, Parcel, Receipt, Sink};
use serde_json::{Value, json};
use testkit::peer::{Peer, Reply, Seen};
use testkit::process::free_port;
use wire::Coding;

use super::*;
use crate::fixture::{SetClock, context, metrics, open, parcel, part, spans, traces};

/// How a row is tried.
struct Stand {
    row: &'static str,
    /// The settings for a peer at this address (`host:port`), with state in this folder. Credentials, if any, are `SECRET`.
    settings: fn(&str, &Folder) -> Value,
    /// What the peer answers when all is well.
    answer: Answer,
    /// The real servers that tests of the sink's own run against, beside this suite. Empty where there is no peer.
    #[allow(dead_code, reason = "read by whoever asks what a row is proven against")]
    proven: &'static [&'static str],
}

/// What stands behind a sink.
enum Answer {
    /// Nobody.
    None,
    /// An HTTP peer.
    Http(fn(&Seen) -> Reply),
    /// A peer that speaks a protocol of its own: only what holds without it is tried here, the rest against the real server.
    Own,
}

const SECRET: &str = "s3cret-t0ken";

const STANDS: [Stand; ROWS.len()] = [
    Stand { row: "blackhole", settings: |_, _| json!({}), answer: Answer::None, proven: &[] },
    Stand {
        row: "clickhouse",
        settings: |at, _| json!({"url": format!("http://{at}"), "user": "gw", "password": SECRET}),
        answer: Answer::Http(crate::clickhouse::tests::answer),
        proven: &["ClickHouse 18.16", "ClickHouse 26.9 (chDB)"],
    },
    Stand {
        row: "elasticsearch",
        settings: |at, _| json!({"nodes": [format!("http://{at}")], "auth": {"bearer": SECRET}}),
        answer: Answer::Http(|_| Reply::body(200, r#"{"errors":false,"items":[]}"#)),
        proven: &["OpenSearch 2.19.1", "Elasticsearch 7.10.2"],
    },
    Stand {
        row: "file",
        settings: |_, folder| json!({"folder": folder.join("files")}),
        answer: Answer::None,
        proven: &[],
    },
    Stand {
        row: "http",
        settings: |at, _| json!({"url": format!("http://{at}/in"), "auth": {"bearer": SECRET}}),
        answer: Answer::Http(|_| Reply::status(200)),
        proven: &[],
    },
    #[cfg(feature = "kafka")]
    Stand {
        row: "kafka",
        settings: |at, _| {
            json!({"brokers": [at], "delivery_timeout": "1s",
                "sasl": {"mechanism": "plain", "user": "gw", "password": SECRET}})
        },
        answer: Answer::Own,
        proven: &["Apache Kafka 4.3.1"],
    },
    Stand {
        row: "loki",
        settings: |at, _| json!({"url": format!("http://{at}"), "auth": {"bearer": SECRET}}),
        answer: Answer::Http(|_| Reply::status(204)),
        proven: &["Loki 3.7.8"],
    },
    Stand {
        row: "object_store",
        settings: |at, _| {
            json!({"url": "s3://bucket", "options": {
                "endpoint": format!("http://{at}"), "access_key_id": "id", "secret_access_key": SECRET,
            }})
        },
        answer: Answer::Http(|_| Reply::status(200).header("etag", "\"1\"")),
        proven: &["s3s-fs 0.14.1", "MinIO 2026-02-12"],
    },
    Stand {
        row: "otlp",
        settings: |at, _| json!({"protocol": "http", "endpoint": format!("http://{at}"), "auth": {"bearer": SECRET}}),
        answer: Answer::Http(|_| Reply::status(200)),
        proven: &["Jaeger 1.62", "Prometheus 3.15"],
    },
    Stand {
        row: "prometheus",
        settings: |at, _| json!({"url": format!("http://{at}/api/v1/write"), "auth": {"bearer": SECRET}}),
        answer: Answer::Http(|_| Reply::status(204)),
        proven: &["Prometheus 3.15"],
    },
];

const _: () = {
    let mut at = 0;
    while at < ROWS.len() {
        let (row, stand) = (ROWS[at].name.as_bytes(), STANDS[at].row.as_bytes());
        assert!(row.len() == stand.len(), "the stands are not those of the rows, in their order");
        let mut byte = 0;
        while byte < row.len() {
            assert!(row[byte] == stand[byte], "the stands are not those of the rows, in their order");
            byte += 1;
        }
        at += 1;
    }
};

fn logs(offset: u64) -> Parcel {
    let mut plain = Vec::new();
    wire::put::message(&mut plain, 1, |resource| {
        wire::put::message(resource, 2, |scope| {
            wire::put::message(scope, 2, |record| {
                wire::put::fixed64(record, 1, crate::fixture::START.0);
                wire::put::message(record, 5, |body| wire::put::bytes(body, 1, "grüße".as_bytes()));
            });
        });
    });
    parcel(Signal::Logs, Layout::Otlp, vec![part(offset, Coding::Gzip, &plain, 1)])
}

/// An OTLP gauge of one point.
fn gauge(offset: u64) -> Parcel {
    let mut plain = Vec::new();
    wire::put::message(&mut plain, 1, |resource| {
        wire::put::message(resource, 2, |scope| {
            wire::put::message(scope, 2, |metric| {
                wire::put::bytes(metric, 1, b"load");
                wire::put::message(metric, 5, |gauge| {
                    wire::put::message(gauge, 1, |point| {
                        wire::put::fixed64(point, 3, crate::fixture::START.0);
                        wire::put::fixed64(point, 4, 0.5f64.to_bits());
                    });
                });
            });
        });
    });
    parcel(Signal::Metrics, Layout::Otlp, vec![part(offset, Coding::Plain, &plain, 1)])
}

/// One parcel of each kind that a sink of these signals is brought.
fn parcels(signals: &[Signal]) -> Vec<Parcel> {
    let all = [traces(1, Coding::Gzip, &["a", "b"]), logs(2), metrics(3, &[1.5, f64::NAN]), gauge(4)];
    all.into_iter().filter(|parcel| signals.contains(&parcel.signal)).collect()
}

async fn stand_up(row: &SinkRow, stand: &Stand, at: &str, folder: &Folder) -> Arc<dyn Sink> {
    open(row, (stand.settings)(at, folder), context(folder, &SetClock::new())).await
}

type Trial = fn(&'static SinkRow, &'static Stand) -> BoxFuture<'static, ()>;

/// Runs `trial` on every row, naming the one that fails.
async fn on_every_row(trial: Trial) {
    for (row, stand) in ROWS.iter().zip(&STANDS) {
        let tried = tokio::spawn(trial(row, stand)).await;
        assert!(tried.is_ok(), "row {}", row.name);
    }
}

#[tokio::test]
async fn limits_make_sense() {
    on_every_row(|row, stand| {
        Box::pin(async move {
            let folder = tempfile::tempdir().unwrap();
            let sink = stand_up(row, stand, "127.0.0.1:1", folder.path()).await;
            let cut = sink.cut();
            assert!(!sink.signals().is_empty());
            assert!(
                cut.max_items >= 1000 && cut.max_bytes >= 1 << 16 && cut.max_stored_bytes >= 1 << 16,
                "{cut:?}"
            );
            assert!(cut.max_wait <= Duration::from_mins(5), "{cut:?}");
            assert!(sink.signals().iter().all(|signal| (1..=64).contains(&sink.in_flight(*signal))));
            assert!(row.page.starts_with("## ") && row.page.len() > 80, "its page says nothing");
        })
    })
    .await;
}

#[tokio::test]
async fn everything_of_its_signals_is_delivered_again_and_again() {
    on_every_row(|row, stand| {
        Box::pin(async move {
            let folder = tempfile::tempdir().unwrap();
            let answer = match stand.answer {
                Answer::Own => return,
                Answer::None => None,
                Answer::Http(answer) => Some(answer),
            };
            let peer = Peer::answering(answer.unwrap_or(|_| Reply::Hangup)).await;
            let sink = stand_up(row, stand, &peer.address().to_string(), folder.path()).await;
            for _ in 0..2 {
                for parcel in parcels(sink.signals()) {
                    let took = sink.deliver(&parcel).await;
                    assert_eq!(took, Ok(Receipt::Delivered), "{} {:?}", parcel.signal, parcel.layout);
                }
            }
            sink.close().await;
            assert_eq!(answer.is_some(), !peer.seen().is_empty());
        })
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_is_away_busy_broken_or_refuses_credentials_is_tried_again_and_no_secret_is_told() {
    on_every_row(|row, stand| {
        Box::pin(async move {
            if matches!(stand.answer, Answer::None) {
                return;
            }
            let folder = tempfile::tempdir().unwrap();
            let away = format!("127.0.0.1:{}", free_port());
            let sink = stand_up(row, stand, &away, folder.path()).await;
            retried(&*sink, "away").await;
            if matches!(stand.answer, Answer::Http(_)) {
                for parcel in parcels(sink.signals()) {
                    let answer = sink.deliver(&parcel).await;
                    assert!(matches!(answer, Err(Failure::Unreachable { .. })), "{answer:?}");
                }
            }
            if matches!(stand.answer, Answer::Own) {
                return;
            }
            for reply in [
                Reply::Hangup,
                Reply::status(401),
                Reply::status(403),
                Reply::status(429),
                Reply::status(503),
            ] {
                let what = format!("{reply:?}");
                let peer = Peer::start(reply).await;
                let sink = stand_up(row, stand, &peer.address().to_string(), folder.path()).await;
                retried(&*sink, &what).await;
                assert!(peer.seen().iter().all(|seen| !seen.path.contains(SECRET)), "a secret in a path");
            }
        })
    })
    .await;
}

async fn retried(sink: &dyn Sink, what: &str) {
    for parcel in parcels(sink.signals()) {
        match sink.deliver(&parcel).await {
            Err(failure @ (Failure::Retry { .. } | Failure::Unreachable { .. })) => {
                assert!(!failure.to_string().contains(SECRET), "{what}: a secret is told: {failure}");
            }
            other => panic!("{what}: {}: {other:?}", parcel.signal),
        }
    }
}

#[tokio::test]
async fn an_attempt_that_was_given_up_leaves_nothing_behind() {
    on_every_row(|row, stand| {
        Box::pin(async move {
            let Answer::Http(answer) = stand.answer else { return };
            let folder = tempfile::tempdir().unwrap();
            let peer = Peer::answering(answer).await;
            let sink = stand_up(row, stand, &peer.address().to_string(), folder.path()).await;
            for parcel in parcels(sink.signals()) {
                peer.then(Reply::Silence);
                let before = peer.seen().len();
                tokio::select! {
                    answered = sink.deliver(&parcel) => panic!("answered without an answer: {answered:?}"),
                    _ = peer.wait_for(before + 1) => {}
                }
                assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered), "{}", parcel.signal);
            }
        })
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_refused_and_harms_no_other() {
    on_every_row(|row, stand| {
        Box::pin(async move {
            // It looks at nothing.
            if row.name == "blackhole" {
                return;
            }
            let folder = tempfile::tempdir().unwrap();
            let answer =
                if let Answer::Http(answer) = stand.answer { answer } else { |_: &Seen| Reply::Hangup };
            let peer = Peer::answering(answer).await;
            let sink = stand_up(row, stand, &peer.address().to_string(), folder.path()).await;
            for parcel in parcels(sink.signals()) {
                // Two frames, so that none goes out as it came in.
                let mut damaged = parcel.clone();
                damaged.parts.push(part(9, Coding::Zstd, &spans(&["x"]), 1));
                damaged.parts[1].body = bytes::Bytes::from_static(b"\x28\xb5\x2f\xfdnot zstd");
                let refused = sink.deliver(&damaged).await;
                assert!(
                    matches!(refused, Err(Failure::RefusedWhole { .. } | Failure::Refused { .. })),
                    "{}: {refused:?}",
                    parcel.signal
                );
                if !matches!(stand.answer, Answer::Own) {
                    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered), "{}", parcel.signal);
                }
            }
        })
    })
    .await;
}
