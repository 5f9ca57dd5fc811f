//! One item as a row: its own bytes and the bytes of what encloses it. Every column is made from these, and nothing else
//! is needed to have the item back exactly.

use model::{Layout, Signal, UnixNanos};

/// What an item is. The name is the `type` column of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An OTLP span.
    Span,
    /// An OTLP log record.
    Log,
    /// A point of an OTLP gauge.
    Gauge,
    /// A point of an OTLP sum.
    Sum,
    /// A point of an OTLP histogram with explicit bounds.
    Histogram,
    /// A point of an OTLP exponential histogram.
    ExponentialHistogram,
    /// A point of an OTLP summary.
    Summary,
    /// A remote-write float sample.
    Sample,
    /// A remote-write native histogram.
    NativeHistogram,
    /// A remote-write native histogram with custom buckets.
    CustomHistogram,
    /// A remote-write exemplar.
    Exemplar,
    /// A remote-write metadata entry.
    Metadata,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Span,
        Self::Log,
        Self::Gauge,
        Self::Sum,
        Self::Histogram,
        Self::ExponentialHistogram,
        Self::Summary,
        Self::Sample,
        Self::NativeHistogram,
        Self::CustomHistogram,
        Self::Exemplar,
        Self::Metadata,
    ];

    /// The name in the `type` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Log => "log",
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
            Self::Sample => "sample",
            Self::NativeHistogram => "native_histogram",
            Self::CustomHistogram => "custom_histogram",
            Self::Exemplar => "exemplar",
            Self::Metadata => "metadata",
        }
    }

    /// The kind of a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The layout that items of this kind travel in.
    pub const fn layout(self) -> Layout {
        match self {
            Self::Sample
            | Self::NativeHistogram
            | Self::CustomHistogram
            | Self::Exemplar
            | Self::Metadata => Layout::RemoteWrite,
            _ => Layout::Otlp,
        }
    }
}

/// One item, borrowed from a chunk or from a file.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Which log it came from.
    pub signal: Signal,
    /// What it is.
    pub kind: Kind,
    /// When it happened, nanoseconds since 1970; the receive time where the item has none.
    pub time: i64,
    /// When the gateway had read its request.
    pub received: UnixNanos,
    /// The journal offset of its frame.
    pub offset: u64,
    /// Its number in the frame.
    pub index: u32,
    /// On whose behalf it was sent.
    pub tenant: &'a str,
    /// Which receiver took it.
    pub source: &'a str,
    /// `service.name` of its resource, `job` of a remote-write series; empty when there is none.
    pub service: &'a str,
    /// OTLP: its `Resource…` message without the scopes. Remote-write: empty.
    pub resource: &'a [u8],
    /// OTLP: its `Scope…` message without the items. Remote-write: empty.
    pub scope: &'a [u8],
    /// OTLP metrics: its `Metric` without the points. Remote-write: its `TimeSeries` without the points. Else empty.
    pub metric: &'a [u8],
    /// The item's own message.
    pub raw: &'a [u8],
}

impl Row<'_> {
    /// The trace id of a span or log record; `None` when it has none or one that is not valid.
    pub fn trace(&self) -> Option<[u8; 16]> {
        let number = match self.kind {
            Kind::Span => 1,
            Kind::Log => 9,
            _ => return None,
        };
        let fields = wire::walk::fields(self.raw).map_while(Result::ok);
        let id = fields.filter(|field| field.number == number).last()?.bytes().ok()?;
        id.try_into().ok().filter(|id| *id != [0; 16])
    }

    /// The item alone as a message of its layout, of the fewest bytes that are equal by value to what was received: an
    /// `Export…ServiceRequest` or a `WriteRequest` with one item. Such messages laid end to end are their union.
    pub fn request(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            self.raw.len() + self.metric.len() + self.scope.len() + self.resource.len() + 48,
        );
        match self.kind {
            Kind::Span | Kind::Log => {
                let scope = with_field(self.scope, 2, self.raw);
                let resource = with_field(self.resource, 2, &scope);
                wire::put::bytes(&mut out, 1, &resource);
            }
            Kind::Gauge | Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary => {
                // Two occurrences of one message field are their union, so the point may stand in a second one.
                let points = with_field(&[], 1, self.raw);
                let metric = with_field(self.metric, self.kind.metric_field(), &points);
                let scope = with_field(self.scope, 2, &metric);
                let resource = with_field(self.resource, 2, &scope);
                wire::put::bytes(&mut out, 1, &resource);
            }
            Kind::Sample | Kind::Exemplar | Kind::NativeHistogram | Kind::CustomHistogram => {
                let field = match self.kind {
                    Kind::Sample => 2,
                    Kind::Exemplar => 3,
                    Kind::CustomHistogram => wire::rw::private::CUSTOM_HISTOGRAM,
                    _ => 4,
                };
                let series = with_field(self.metric, field, self.raw);
                wire::put::bytes(&mut out, 1, &series);
            }
            Kind::Metadata => wire::put::bytes(&mut out, 3, self.raw),
        }
        out
    }
}

impl Kind {
    /// The number of the member of `Metric.data` that holds points of this kind; 0 for what is no OTLP point.
    pub(crate) const fn metric_field(self) -> u32 {
        match self {
            Self::Gauge => 5,
            Self::Sum => 7,
            Self::Histogram => 9,
            Self::ExponentialHistogram => 10,
            Self::Summary => 11,
            _ => 0,
        }
    }
}

fn with_field(envelope: &[u8], number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(envelope.len() + value.len() + 12);
    out.extend_from_slice(envelope);
    wire::put::bytes(&mut out, number, value);
    out
}
