//! What an answer means to the real sender of that protocol: kept, refused for good, or to be tried again.

use std::io;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use testkit::process::{Answer, http};

use super::grpc::{self, Link};
use super::request::Request;
use crate::item::{Signal, Stream};

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged whole.
    Kept,
    /// Acknowledged in part; which part is not told.
    Partly(String),
    /// Refused for good.
    Refused(String),
    /// Not kept, to be tried again.
    Again,
    /// No answer came: it may have been kept; to be tried again.
    Unanswered,
}

/// Sends a request once.
pub(super) fn post(request: &Request, port: u16, link: &mut Link) -> Outcome {
    if matches!(request.stream, Stream::SpansGrpc | Stream::LogsGrpc | Stream::PointsGrpc) {
        return match link.call(request.path, &request.body) {
            Ok(answer) => of_grpc(request, &answer),
            Err(grpc::Broken::NotSent) => Outcome::Again,
            Err(grpc::Broken::Sent) => Outcome::Unanswered,
        };
    }
    match http(port, "POST", request.path, &request.headers, &request.body) {
        Ok(answer) => of_http(request, &answer),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Again,
        Err(_) => Outcome::Unanswered,
    }
}

fn of_http(request: &Request, answer: &Answer) -> Outcome {
    let is_kept = (200..300).contains(&answer.status);
    let why = || format!("{} {}", answer.status, answer.text());
    match request.stream {
        Stream::Samples1 | Stream::Samples2 if is_kept => {
            let written = answer.header("x-prometheus-remote-write-samples-written");
            match written {
                Some(count) if count != request.items.to_string() => {
                    Outcome::Partly(format!("{count} of {} samples were written", request.items))
                }
                None if request.stream == Stream::Samples2 => {
                    Outcome::Partly("a 2.0 answer without the number of samples written".into())
                }
                _ => Outcome::Kept,
            }
        }
        // Prometheus tries 5xx again, and 429 only when told to.
        Stream::Samples1 | Stream::Samples2 if answer.status >= 500 => Outcome::Again,
        Stream::Samples1 | Stream::Samples2 => Outcome::Refused(why()),
        Stream::Logpush | Stream::Kong if is_kept => Outcome::Kept,
        // Both try again until their patience ends, whatever the answer was.
        Stream::Logpush | Stream::Kong => Outcome::Again,
        _ if is_kept => whole(request, &answer.body),
        _ if matches!(answer.status, 429 | 502 | 503 | 504) => Outcome::Again,
        _ => Outcome::Refused(why()),
    }
}

fn of_grpc(request: &Request, answer: &grpc::Answer) -> Outcome {
    match answer.status {
        0 => whole(request, &answer.message),
        1 | 4 | 10 | 11 | 14 | 15 => Outcome::Again,
        8 if answer.has_details => Outcome::Again,
        status => Outcome::Refused(format!("gRPC status {status} {}", answer.text)),
    }
}

/// An OTLP success is one only without rejected items.
fn whole(request: &Request, message: &[u8]) -> Outcome {
    let rejected = match request.stream.signal() {
        Signal::Traces => ExportTraceServiceResponse::decode(message)
            .map(|r| r.partial_success.map(|p| (p.rejected_spans, p.error_message))),
        Signal::Logs => ExportLogsServiceResponse::decode(message)
            .map(|r| r.partial_success.map(|p| (p.rejected_log_records, p.error_message))),
        Signal::Metrics => ExportMetricsServiceResponse::decode(message)
            .map(|r| r.partial_success.map(|p| (p.rejected_data_points, p.error_message))),
    };
    match rejected {
        Ok(None | Some((0, _))) => Outcome::Kept,
        Ok(Some((count, why))) => Outcome::Partly(format!("{count} rejected: {why}")),
        Err(error) => Outcome::Partly(format!("an answer that cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(stream: Stream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Outcome {
        let request = Request { stream, path: "/", headers: Vec::new(), body: Vec::new(), items: 8 };
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        of_http(&request, &Answer { status, headers, body: body.to_vec() })
    }

    #[test]
    fn each_sender_tries_again_what_its_protocol_says() {
        for (stream, status, again) in [
            (Stream::SpansHttp, 503, true),
            (Stream::SpansHttp, 429, true),
            (Stream::SpansHttp, 500, false),
            (Stream::SpansHttp, 400, false),
            (Stream::Samples1, 503, true),
            (Stream::Samples1, 500, true),
            (Stream::Samples1, 429, false),
            (Stream::Samples1, 400, false),
            (Stream::Kong, 400, true),
            (Stream::Logpush, 503, true),
        ] {
            let outcome = answered(stream, status, &[], b"");
            assert_eq!(outcome == Outcome::Again, again, "{stream:?} {status}: {outcome:?}");
        }
    }

    #[test]
    fn a_success_that_says_it_is_none_for_some_items_is_found() {
        use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
        let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "one".into() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert!(matches!(answered(Stream::SpansHttp, 200, &[], &body), Outcome::Partly(_)));
        assert_eq!(answered(Stream::SpansHttp, 200, &[], b""), Outcome::Kept);
        let written = |count| [("x-prometheus-remote-write-samples-written", count)];
        assert_eq!(answered(Stream::Samples2, 204, &written("8"), b""), Outcome::Kept);
        assert!(matches!(answered(Stream::Samples2, 204, &written("7"), b""), Outcome::Partly(_)));
        assert!(matches!(answered(Stream::Samples2, 204, &[], b""), Outcome::Partly(_)));
    }
}
