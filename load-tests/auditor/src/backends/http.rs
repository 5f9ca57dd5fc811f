//! OTLP/JSON posted to any URL.

use crate::backend::{Copies, Form, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
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
    start: |_, _| Box::new(Http(Recorder::start())),
};

struct Http(Recorder);

impl Server for Http {
    fn port(&self) -> Option<u16> {
        Some(self.0.port())
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: http, url: 'http://127.0.0.1:{port}/items', format: otlp_json }}")
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
