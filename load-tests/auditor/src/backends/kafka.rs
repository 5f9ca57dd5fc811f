//! Topics of OTLP requests.

use testkit::server::Kafka;

use crate::backend::{Copies, Form, Row, Server};
use crate::content::Run;
use crate::flatten;
use crate::item::{Id, Signal};
use crate::read::{Found, kafka};

/// The row.
pub(crate) const ROW: Row = Row {
    name: "kafka",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[],
    copies: Copies::AtLeastOnce,
    is_slow: true,
    start: |folder, _| Box::new(Topics(Kafka::start(folder))),
};

/// Brokers tell their own address, so that no fault can be put before them; they can be killed.
struct Topics(Kafka);

impl Server for Topics {
    fn sink(&self, _: u16) -> String {
        format!("{{ type: kafka, brokers: ['127.0.0.1:{}'] }}", self.0.port)
    }

    fn is_process(&self) -> bool {
        true
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        let brokers = format!("127.0.0.1:{}", self.0.port);
        for (signal, topic) in
            [(Signal::Traces, "otlp_spans"), (Signal::Logs, "otlp_logs"), (Signal::Metrics, "otlp_metrics")]
        {
            for message in kafka::read(&brokers, topic)? {
                for fields in flatten::request(signal, &message).map_err(|error| error.to_string())? {
                    each(Found::item(run, fields));
                }
            }
        }
        Ok(())
    }
}
