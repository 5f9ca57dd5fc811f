//! Topics of OTLP requests.

use testkit::proxy::Proxy;
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
    start: |folder, _| {
        let mut way = None;
        let server = Kafka::start_behind(folder, |port| way.insert(Proxy::start(port)).port());
        Box::new(Topics { server, way: way.expect("the broker asks for its way"), is_picky: false })
    },
};

/// Brokers tell their own address, which is that of the way to it.
struct Topics {
    server: Kafka,
    way: Proxy,
    is_picky: bool,
}

/// What a topic takes: far less than a huge item.
const MOST: u32 = 150_000;
const TOPICS: [(Signal, &str); 3] =
    [(Signal::Traces, "otlp_spans"), (Signal::Logs, "otlp_logs"), (Signal::Metrics, "otlp_metrics")];

impl Server for Topics {
    fn sink(&self, _: u16) -> String {
        format!(
            "{{ type: kafka, brokers: ['127.0.0.1:{}'], sasl: {{ mechanism: plain, user: {}, password: '${{AUDIT_KAFKA}}' }} }}",
            self.way.port(),
            Kafka::USER
        )
    }

    fn kill(&mut self) {
        self.server.process.kill();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn way(&self) -> Option<&Proxy> {
        Some(&self.way)
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
