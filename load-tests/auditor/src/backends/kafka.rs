//! Topics of OTLP requests.

use testkit::server::Kafka;

use crate::backend::{Copies, Form, Refusal, Row, Secret, Server};
use crate::content::Run;
use crate::content::poison::{Poison, poison};
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
    start: |folder, _| Box::new(Topics { server: Kafka::start_secure(folder), is_picky: false }),
};

/// Brokers tell their own address, so that no fault can be put before them; they can be killed.
struct Topics {
    server: Kafka,
    is_picky: bool,
}

/// What a topic takes: far less than a huge item.
const MOST: u32 = 150_000;
const TOPICS: [(Signal, &str); 3] =
    [(Signal::Traces, "otlp_spans"), (Signal::Logs, "otlp_logs"), (Signal::Metrics, "otlp_metrics")];

impl Server for Topics {
    fn sink(&self, _: u16) -> String {
        format!(
            "{{ type: kafka, brokers: ['127.0.0.1:{}'], sasl: {{ mechanism: plain, user: {}, password: '${{AUDIT_KAFKA}}' }}, delivery_timeout: 10s }}",
            self.server.sasl_port,
            Kafka::USER
        )
    }

    fn is_process(&self) -> bool {
        true
    }

    fn kill(&mut self) {
        self.server.process.kill();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { variable: "AUDIT_KAFKA", right: Kafka::PASSWORD })
    }

    fn has_disk(&self) -> bool {
        true
    }

    /// A broker ends itself when its only folder cannot be written to.
    fn disk_emptied(&mut self) {
        self.server.restart();
    }

    fn make_picky(&mut self) -> Result<(), String> {
        self.is_picky = true;
        let topics = TOPICS.map(|(_, topic)| topic);
        kafka::make_topics(&format!("127.0.0.1:{}", self.server.port), &topics, MOST)
    }

    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        let is_refused = self.is_picky && poison(run, id) == Some(Poison::Huge);
        is_refused.then_some(Refusal::Letter("MessageSizeTooLarge"))
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        let brokers = format!("127.0.0.1:{}", self.server.port);
        for (signal, topic) in TOPICS {
            for message in kafka::read(&brokers, topic)? {
                for fields in flatten::request(signal, &message).map_err(|error| error.to_string())? {
                    each(Found::item(run, fields));
                }
            }
        }
        Ok(())
    }
}
