//! Prometheus by remote-write.

use testkit::server::Prometheus;

use crate::backend::{Copies, Form, Row, Server};
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, prometheus};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "prometheus",
    signals: &[Signal::Metrics],
    form: Form::Samples,
    cannot_hold: &[],
    copies: Copies::Once,
    is_slow: false,
    start: |folder, _| Box::new(Metrics(Prometheus::start(folder, "global: {}\n"))),
};

struct Metrics(Prometheus);

impl Server for Metrics {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: prometheus, url: 'http://127.0.0.1:{port}/api/v1/write' }}")
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        prometheus::read(run, self.0.port, each)
    }
}
