//! Prometheus by remote-write.

use testkit::server::Prometheus;

use crate::backend::{Copies, Form, Refusal, Row, Server};
use crate::content::Run;
use crate::content::poison::{Poison, poison};
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
    start: |folder, _| {
        let server = Prometheus::start(folder, "global: {}\n");
        Box::new(Metrics { server, is_picky: false })
    },
};

struct Metrics {
    server: Prometheus,
    is_picky: bool,
}

impl Server for Metrics {
    fn port(&self) -> Option<u16> {
        Some(self.server.port)
    }

    fn sink(&self, port: u16) -> String {
        // Only 2.0 says how much of a request was refused.
        let message = if self.is_picky { "2.0" } else { "1.0" };
        format!("{{ type: prometheus, url: 'http://127.0.0.1:{port}/api/v1/write', message: '{message}' }}")
    }

    fn kill(&mut self) {
        self.server.process.kill();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn has_disk(&self) -> bool {
        true
    }

    /// Anything is in bounds until there is a sample.
    fn make_picky(&mut self) -> Result<(), String> {
        self.is_picky = true;
        prometheus::write_one(self.server.port)
    }

    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        (self.is_picky && poison(run, id) == Some(Poison::Old)).then_some(Refusal::Booked)
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        prometheus::read(run, self.server.port, each)
    }
}
