//! OTLP/JSON posted to any URL.

use testkit::peer::Reply;

use crate::backend::{Copies, Form, Refusal, Row, Secret, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::content::poison::{NO_NUMBER, Poison, poison};
use crate::item::{Id, Signal};
use crate::json;
use crate::read::{Found, otlp_json};
use crate::recorder::Recorder;

/// The row.
pub(crate) const ROW: Row = Row {
    name: "http",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[CannotHold::NanPayloads],
    copies: Copies::AtLeastOnce,
    is_slow: false,
    start: |_, _| Box::new(Http(Recorder::start(judge))),
};

struct Http(Recorder);

/// A whole request for one item: the gateway must find out which.
fn judge(_: &str, plain: &[u8]) -> Option<Reply> {
    let is_there = plain.windows(NO_NUMBER.len()).any(|window| window == NO_NUMBER.as_bytes());
    is_there.then(|| Reply::body(400, "this is no number"))
}

impl Server for Http {
    fn port(&self) -> Option<u16> {
        Some(self.0.port())
    }

    fn sink(&self, port: u16) -> String {
        format!(
            "{{ type: http, url: 'http://127.0.0.1:{port}/items', format: otlp_json, auth: {{ bearer: '${{AUDIT_HTTP}}' }} }}"
        )
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { variable: "AUDIT_HTTP", right: Recorder::TOKEN })
    }

    fn make_picky(&mut self) -> Result<(), String> {
        self.0.make_picky();
        Ok(())
    }

    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        (poison(run, id) == Some(Poison::Conflict)).then_some(Refusal::Letter("this is no number"))
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for (_, body) in self.0.requests()? {
            for fields in otlp_json::items(&json::read_bytes(&body)?)? {
                each(Found::item(run, fields));
            }
        }
        Ok(())
    }
}
