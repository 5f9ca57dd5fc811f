//! One librdkafka producer, and what it tells: reports, complaints, logs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::settings::Secret;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::oneshot;

use super::pack::Message;
use super::shipment::Ticket;

/// A producer's life: from opening until it is closed, however many hold it.
pub(super) struct Session {
    producer: Mutex<Option<ThreadedProducer<Context>>>,
    complaint: Arc<Mutex<Option<String>>>,
}

/// Where a parcel's messages go, and what they all say in their headers.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) topic: String,
    pub(super) tenant: String,
    pub(super) signal: &'static str,
}

/// Why a message was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The producer holds as much as it may.
    Full,
    /// It takes this message never, or none any more.
    Failed(Code),
}

impl Session {
    /// Starts a producer. It dials in the background. May take milliseconds: certificates are read.
    pub(super) fn open(sink: Arc<str>, properties: &[(&'static str, Secret)]) -> Result<Self, String> {
        let complaint = Arc::default();
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(*name, value.expose());
        }
        config.set_log_level(RDKafkaLogLevel::Info);
        let context = Context { sink, complaint: Arc::clone(&complaint) };
        let producer: KafkaResult<ThreadedProducer<Context>> = config.create_with_context(context);
        // The error of a property holds its value, which may be a password.
        let producer = producer.map_err(|error| match error {
            KafkaError::ClientConfig(_, why, name, _) => format!("{name}: {why}"),
            other => other.to_string(),
        })?;
        Ok(Self { producer: Mutex::new(Some(producer)), complaint })
    }

    /// Hands a message over; its report comes to the ticket's shipment.
    pub(super) fn send(&self, to: &Address, message: &Message, ticket: Ticket) -> Result<(), Unsent> {
        // Held while sending, so that nothing is handed over behind `close`.
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(producer) = producer.as_ref() else { return Err(Unsent::Failed(Code::PurgeQueue)) };
        let mut record = BaseRecord::with_opaque_to(&to.topic, Box::new(ticket))
            .payload(&*message.payload)
            .timestamp(message.head.received)
            .headers(headers(to, message));
        record.key = message.key.as_deref();
        match producer.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(Code::QueueFull), _)) => Err(Unsent::Full),
            Err((KafkaError::MessageProduction(code), _)) => Err(Unsent::Failed(code)),
            Err(_) => Err(Unsent::Failed(Code::Fail)),
        }
    }

    /// Gives up whatever was not sent yet, and ends the producer; the answer comes when it has ended. What was on the wire may have
    /// reached the broker.
    pub(super) fn close(&self) -> oneshot::Receiver<()> {
        let (ended, end) = oneshot::channel();
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(producer) = producer {
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
            // Its threads are waited for, which may take a while: not here. Without a thread it ends in place.
            let end = move || {
                drop(producer);
                let _ = ended.send(());
            };
            let _ = std::thread::Builder::new().name("kafka-close".into()).spawn(end);
        }
        end
    }

    /// What the connection to the brokers last complained about, since the last call.
    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.close());
    }
}

fn headers(to: &Address, message: &Message) -> OwnedHeaders {
    let (offset, item) = (message.head.offset.to_string(), message.head.item.to_string());
    let all = [
        ("content-type", message.content_type),
        ("tidegate-tenant", &to.tenant),
        ("tidegate-signal", to.signal),
        ("tidegate-origin", message.head.source.as_str()),
        ("tidegate-offset", &offset),
        ("tidegate-item", &item),
    ];
    all.into_iter().fold(OwnedHeaders::new_with_capacity(all.len()), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    })
}

/// What librdkafka calls, on a thread of its own.
struct Context {
    sink: Arc<str>,
    complaint: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let sink = &*self.sink;
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(sink, facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(sink, facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why.
        if complaint.is_none() || error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            *complaint = Some(reason.to_owned());
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let result = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        ticket.shipment.report(ticket.message, result);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}
