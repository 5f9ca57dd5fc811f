//! Grafana Loki.

use testkit::server::Loki;

use crate::backend::{Copies, Form, Refusal, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::content::poison::{Poison, poison};
use crate::item::{Id, Signal};
use crate::read::{Found, loki};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "loki",
    signals: &[Signal::Logs],
    form: Form::Items,
    cannot_hold: &[
        CannotHold::Kinds,
        CannotHold::EmptyTexts,
        // What is beside a line may have so much together; the rest is left out, and counted.
        CannotHold::AttributesAbove(64 << 10),
        CannotHold::ReplacementCharacter,
        CannotHold::Places,
    ],
    // The server is one that does not split busy streams.
    copies: Copies::Once,
    is_slow: true,
    start: |folder, _| Box::new(Lines(Loki::start(folder))),
};

struct Lines(Loki);

impl Server for Lines {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: loki, url: 'http://127.0.0.1:{port}' }}")
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn has_disk(&self) -> bool {
        true
    }

    /// It keeps lines in memory alone until it next looks at its disk.
    fn stops_when_full(&self) -> bool {
        false
    }

    /// A line may have 256 KiB, which the gateway knows.
    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        (poison(run, id) == Some(Poison::Huge)).then_some(Refusal::Letter("exceeds the limit"))
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        loki::read(run, self.0.port, each)
    }
}
