//! Jaeger, in memory, by OTLP over gRPC.

use testkit::server::Jaeger;

use crate::backend::{Copies, Form, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, jaeger};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "jaeger",
    signals: &[Signal::Traces],
    form: Form::Items,
    cannot_hold: &[
        CannotHold::SpanField("flags"),
        CannotHold::SpanField("link.0.attr."),
        CannotHold::Nesting,
        CannotHold::ZeroSigns,
    ],
    copies: Copies::AtLeastOnce,
    is_slow: true,
    start: |folder, _| Box::new(Traces(Jaeger::start(folder))),
};

/// It is never killed: it answers before it has stored anything, whatever it stores it in.
struct Traces(Jaeger);

impl Server for Traces {
    fn port(&self) -> Option<u16> {
        Some(self.0.otlp_grpc)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: otlp, protocol: grpc, endpoint: 'http://127.0.0.1:{port}', signals: [traces] }}")
    }

    fn read(&self, run: &Run, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        jaeger::read(run, self.0.query, ids, each)
    }
}
