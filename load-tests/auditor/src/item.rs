//! Items by number: the streams that are sent, and the name by which each item is found again.

/// One of the gateway's three kinds of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records, and what becomes one.
    Logs,
    /// Points and samples.
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The name in configurations and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// A sender's kind of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// OTLP spans over HTTP.
    SpansHttp,
    /// OTLP spans over gRPC.
    SpansGrpc,
    /// OTLP log records over HTTP.
    LogsHttp,
    /// OTLP log records over gRPC.
    LogsGrpc,
    /// OTLP points over HTTP.
    PointsHttp,
    /// OTLP points over gRPC.
    PointsGrpc,
    /// Remote-write 1.0 samples.
    Samples1,
    /// Remote-write 2.0 samples.
    Samples2,
    /// Cloudflare Logpush `http_requests`.
    Logpush,
    /// Kong http-log records.
    Kong,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SpansHttp,
        Self::SpansGrpc,
        Self::LogsHttp,
        Self::LogsGrpc,
        Self::PointsHttp,
        Self::PointsGrpc,
        Self::Samples1,
        Self::Samples2,
        Self::Logpush,
        Self::Kong,
    ];

    /// Its name in tables and item names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpansHttp => "spans-http",
            Self::SpansGrpc => "spans-grpc",
            Self::LogsHttp => "logs-http",
            Self::LogsGrpc => "logs-grpc",
            Self::PointsHttp => "points-http",
            Self::PointsGrpc => "points-grpc",
            Self::Samples1 => "samples-1",
            Self::Samples2 => "samples-2",
            Self::Logpush => "logpush",
            Self::Kong => "kong",
        }
    }

    /// What it is to the gateway.
    pub const fn signal(self) -> Signal {
        match self {
            Self::SpansHttp | Self::SpansGrpc => Signal::Traces,
            Self::LogsHttp | Self::LogsGrpc | Self::Logpush | Self::Kong => Signal::Logs,
            Self::PointsHttp | Self::PointsGrpc | Self::Samples1 | Self::Samples2 => Signal::Metrics,
        }
    }

    /// The source that the ledger books it under.
    pub const fn source(self) -> &'static str {
        match self {
            Self::SpansHttp
            | Self::SpansGrpc
            | Self::LogsHttp
            | Self::LogsGrpc
            | Self::PointsHttp
            | Self::PointsGrpc => "otlp",
            Self::Samples1 | Self::Samples2 => "prometheus",
            Self::Logpush => "logpush",
            Self::Kong => "kong",
        }
    }

    /// Whether its items are remote-write samples.
    pub const fn is_remote_write(self) -> bool {
        matches!(self, Self::Samples1 | Self::Samples2)
    }
}

/// One item: the `number`-th of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Its stream.
    pub stream: Stream,
    /// Its number, from 0.
    pub number: u64,
}

/// Samples of one remote-write series.
pub const SAMPLES_PER_SERIES: u64 = 8;

impl Id {
    /// The name that it carries: a ray id for Logpush, a request id for Kong, else an attribute or label. Samples of a
    /// series share the name of the first and are told apart by their times.
    pub fn name(self) -> String {
        let Self { stream, number } = self;
        match stream {
            Stream::Logpush => format!("a{number:015x}"),
            Stream::Kong => format!("b{number:031x}"),
            Stream::Samples1 | Stream::Samples2 => {
                format!("{}.{}", stream.name(), number - number % SAMPLES_PER_SERIES)
            }
            _ => format!("{}.{number}", stream.name()),
        }
    }

    /// Undoes [`Id::name`].
    pub fn named(name: &str) -> Option<Self> {
        let id = match (name.len(), name.as_bytes().first()?) {
            (16, b'a') => Self { stream: Stream::Logpush, number: u64::from_str_radix(&name[1..], 16).ok()? },
            (32, b'b') => {
                Self { stream: Stream::Kong, number: u64::from_str_radix(name.get(1..)?, 16).ok()? }
            }
            _ => {
                let (stream, number) = name.split_once('.')?;
                let stream = Stream::ALL.into_iter().find(|known| known.name() == stream)?;
                Self { stream, number: number.parse().ok()? }
            }
        };
        (id.name() == name).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_names_its_item_and_other_text_names_none() {
        for stream in Stream::ALL {
            for number in [0, 8, 72, 99_992] {
                let id = Id { stream, number };
                assert_eq!(Id::named(&id.name()), Some(id));
            }
        }
        for name in [
            "",
            "a",
            "spans-http",
            "spans-http.",
            "spans-http.07",
            "spans.1",
            "ä000000000000001",
            "samples-1.9",
        ] {
            assert_eq!(Id::named(name), None, "{name}");
        }
    }
}
