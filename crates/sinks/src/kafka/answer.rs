//! What librdkafka's errors mean for the courier.

use rdkafka::error::RDKafkaErrorCode as Code;

/// What to do about a message that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    /// The broker takes everything but this message.
    Refused,
    /// It was too large, alone or with those that it was sent with.
    TooLarge,
    /// Again.
    Retry,
    /// Again, with a new producer: this one has lost its place, or remembers for minutes what may be mended by now.
    Renew,
}

impl Meaning {
    /// Whether nothing else of the attempt has a chance either.
    pub(super) fn is_of_all(self) -> bool {
        matches!(self, Self::Retry | Self::Renew)
    }
}

/// The meaning of an error.
pub(super) fn meaning(code: Code) -> Meaning {
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Meaning::TooLarge,
        Code::InvalidRecord | Code::InvalidTimestamp => Meaning::Refused,
        Code::Fatal
        | Code::OutOfOrderSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId
        | Code::ProducerFenced
        | Code::Fenced
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition => Meaning::Renew,
        _ => Meaning::Retry,
    }
}

/// What the operator reads: the topic, the error, what to mend if it is for the operator to mend, and what the connection to the
/// brokers last complained about.
pub(super) fn reason(topic: &str, code: Code, complaint: Option<&str>) -> String {
    let hint = match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            ": create the topic, or let the brokers create topics"
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            ": grant the gateway's user the right to write to it"
        }
        Code::InvalidRecord => ": a compacted topic takes no messages without a key",
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            ": set max_message_bytes to what brokers and topic take"
        }
        _ => "",
    };
    let complaint = complaint.map(|text| format!("; {text}")).unwrap_or_default();
    format!("topic {topic}: {code}{hint}{complaint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_meaning() {
        for (code, expected) in [
            (Code::MessageSizeTooLarge, Meaning::TooLarge),
            (Code::MessageBatchTooLarge, Meaning::TooLarge),
            (Code::InvalidRecord, Meaning::Refused),
            (Code::InvalidTimestamp, Meaning::Refused),
            // Another message of the same batch was refused; this one was not judged.
            (Code::InvalidDifferentRecord, Meaning::Retry),
            (Code::Fatal, Meaning::Renew),
            (Code::OutOfOrderSequenceNumber, Meaning::Renew),
            (Code::UnknownProducerId, Meaning::Renew),
            (Code::InvalidProducerEpoch, Meaning::Renew),
            (Code::MessageTimedOut, Meaning::Retry),
            (Code::AllBrokersDown, Meaning::Retry),
            (Code::BrokerTransportFailure, Meaning::Retry),
            (Code::NotEnoughReplicas, Meaning::Retry),
            (Code::UnknownTopic, Meaning::Renew),
            (Code::UnknownTopicOrPartition, Meaning::Renew),
            (Code::TopicAuthorizationFailed, Meaning::Renew),
            (Code::ClusterAuthorizationFailed, Meaning::Renew),
            (Code::SaslAuthenticationFailed, Meaning::Retry),
            (Code::PolicyViolation, Meaning::Retry),
            (Code::PurgeQueue, Meaning::Retry),
            (Code::PurgeInflight, Meaning::Retry),
            (Code::Unknown, Meaning::Retry),
        ] {
            assert_eq!(meaning(code), expected, "{code:?}");
        }
    }

    #[test]
    fn a_reason_says_what_to_mend() {
        let shown = reason("otlp_logs", Code::TopicAuthorizationFailed, None);
        assert!(shown.starts_with("topic otlp_logs: ") && shown.ends_with("right to write to it"), "{shown}");
        let shown = reason("otlp_logs", Code::MessageTimedOut, Some("connection refused"));
        assert!(shown.ends_with("; connection refused"), "{shown}");
    }
}
