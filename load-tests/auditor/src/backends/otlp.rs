//! OTLP over HTTP.

use crate::backend::{Copies, Form, Row, Server};
use crate::content::Run;
use crate::flatten;
use crate::item::{Id, Signal};
use crate::read::Found;
use crate::recorder::Recorder;

/// The row.
pub(crate) const ROW: Row = Row {
    name: "otlp",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[],
    copies: Copies::AtLeastOnce,
    is_slow: false,
    start: |_, _| Box::new(Otlp(Recorder::start())),
};

struct Otlp(Recorder);

impl Server for Otlp {
    fn port(&self) -> Option<u16> {
        Some(self.0.port())
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: otlp, protocol: http, endpoint: 'http://127.0.0.1:{port}' }}")
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for (path, body) in self.0.requests()? {
            let signal = Signal::ALL.into_iter().find(|signal| path == format!("/v1/{}", signal.name()));
            let signal = signal.ok_or_else(|| format!("a request to {path}"))?;
            for fields in flatten::request(signal, &body).map_err(|error| error.to_string())? {
                each(Found::item(run, fields));
            }
        }
        Ok(())
    }
}
