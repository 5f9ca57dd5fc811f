//! VictoriaMetrics by remote-write.

use testkit::server::VictoriaMetrics;

use crate::backend::{Copies, Form, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, victoriametrics};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "victoriametrics",
    signals: &[Signal::Metrics],
    form: Form::Samples,
    cannot_hold: &[CannotHold::NativeHistograms, CannotHold::Nans, CannotHold::Digits],
    copies: Copies::AtLeastOnce,
    is_slow: false,
    start: |folder, _| Box::new(Samples(VictoriaMetrics::start(folder))),
};

/// It is never killed: what it has answered it keeps in memory for some seconds.
struct Samples(VictoriaMetrics);

impl Server for Samples {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: prometheus, url: 'http://127.0.0.1:{port}/api/v1/write' }}")
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        victoriametrics::read(run, self.0.port, each)
    }
}
