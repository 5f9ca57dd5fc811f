//! OTLP over HTTP.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use testkit::peer::Reply;

use crate::backend::{Copies, Form, Refusal, Row, Secret, Server};
use crate::content::Run;
use crate::content::poison::{CONFLICT, Poison, poison};
use crate::flatten;
use crate::item::{Id, Signal};
use crate::read::Found;
use crate::recorder::Recorder;
use crate::value::Fields;

/// The row.
pub(crate) const ROW: Row = Row {
    name: "otlp",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[],
    copies: Copies::AtLeastOnce,
    is_slow: false,
    start: |_, _| Box::new(Otlp(Recorder::start(judge))),
};

struct Otlp(Recorder);

fn is_refused(fields: &Fields) -> bool {
    fields.contains_key(&format!("attr.{CONFLICT}"))
}

fn signal(path: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| path == format!("/v1/{}", signal.name()))
}

/// Keeps the rest, and says how many it does not: partial success.
fn judge(path: &str, plain: &[u8]) -> Option<Reply> {
    let signal = signal(path)?;
    let items = flatten::request(signal, plain).ok()?;
    let refused = items.iter().filter(|fields| is_refused(fields)).count() as i64;
    let error_message = "these are no numbers".to_owned();
    let answer = match signal {
        _ if refused == 0 => return None,
        Signal::Traces => {
            let partial = ExportTracePartialSuccess { rejected_spans: refused, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        Signal::Logs => {
            let partial = ExportLogsPartialSuccess { rejected_log_records: refused, error_message };
            ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        Signal::Metrics => return None,
    };
    Some(Reply::body(200, answer).header("content-type", "application/x-protobuf"))
}

impl Server for Otlp {
    fn port(&self) -> Option<u16> {
        Some(self.0.port())
    }

    fn sink(&self, port: u16) -> String {
        format!(
            "{{ type: otlp, protocol: http, endpoint: 'http://127.0.0.1:{port}', auth: {{ bearer: '${{AUDIT_OTLP}}' }} }}"
        )
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { variable: "AUDIT_OTLP", right: Recorder::TOKEN })
    }

    fn make_picky(&mut self) -> Result<(), String> {
        self.0.make_picky();
        Ok(())
    }

    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        (poison(run, id) == Some(Poison::Conflict)).then_some(Refusal::Booked)
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for (path, body) in self.0.requests()? {
            let signal = signal(&path).ok_or_else(|| format!("a request to {path}"))?;
            for fields in flatten::request(signal, &body).map_err(|error| error.to_string())? {
                if !(run.is_poisoned && is_refused(&fields)) {
                    each(Found::item(run, fields));
                }
            }
        }
        Ok(())
    }
}
