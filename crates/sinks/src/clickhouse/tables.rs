//! The OpenTelemetry exporter's tables: which columns each has, and what of an item stands in them.

use wire::WireError;
use wire::otlp::logs::LogRecord;
use wire::otlp::metrics::{Exemplar, Metric, MetricKind, Number, Point};
use wire::otlp::traces::Span;
use wire::otlp::{AnyValue, Repeated, Resource, Scalars, Scope};

use super::cell::Cell;
use super::kind::Class;

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Table {
    Logs,
    Traces,
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl Table {
    /// Those that metrics are spread over.
    pub(super) const METRICS: [Self; 5] =
        [Self::Gauge, Self::Sum, Self::Histogram, Self::Exponential, Self::Summary];

    /// What stands behind the prefix in the name of a table for metrics.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Logs | Self::Traces => "",
            Self::Gauge => "_gauge",
            Self::Sum => "_sum",
            Self::Histogram => "_histogram",
            Self::Exponential => "_exponential_histogram",
            Self::Summary => "_summary",
        }
    }

    /// The table that holds a metric's points; none for a metric of an unknown kind, which has no points.
    pub(super) const fn of(kind: MetricKind) -> Option<Self> {
        match kind {
            MetricKind::None => None,
            MetricKind::Gauge => Some(Self::Gauge),
            MetricKind::Sum { .. } => Some(Self::Sum),
            MetricKind::Histogram { .. } => Some(Self::Histogram),
            MetricKind::ExponentialHistogram { .. } => Some(Self::Exponential),
            MetricKind::Summary => Some(Self::Summary),
        }
    }

    /// Its columns, in the order in which they are created.
    pub(super) fn columns(self) -> impl Iterator<Item = &'static Column> {
        let parts: [&[Column]; 3] = match self {
            Self::Logs => [LOGS, &[], &[]],
            Self::Traces => [TRACES, &[], &[]],
            Self::Gauge => [METRIC, NUMBER, &[]],
            Self::Sum => [METRIC, NUMBER, SUM],
            Self::Histogram => [METRIC, DISTRIBUTION, HISTOGRAM],
            Self::Exponential => [METRIC, DISTRIBUTION, EXPONENTIAL],
            Self::Summary => [METRIC, SUMMARY, &[]],
        };
        parts.into_iter().flatten()
    }
}

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// The type that it is created with.
    pub(super) ddl: &'static str,
    pub(super) class: Class,
    /// What its value depends on.
    pub(super) level: Level,
    pub(super) cell: for<'a> fn(&Item<'a>) -> Result<Cell<'a>, WireError>,
}

/// What a value depends on: those of one resource come together, and are written once for all of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Resource,
    Scope,
    Item,
}

/// An item with what encloses it.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) resource: Resource<'a>,
    pub(super) resource_schema: &'a str,
    pub(super) scope: Scope<'a>,
    pub(super) scope_schema: &'a str,
    /// When the gateway received it, for a log record that has no time at all.
    pub(super) received: u64,
    pub(super) what: What<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum What<'a> {
    Log(LogRecord<'a>),
    Span(Span<'a>),
    Point(Metric<'a>, Point<'a>),
}

impl<'a> Item<'a> {
    fn log(&self, of: impl FnOnce(&LogRecord<'a>) -> Cell<'a>) -> Result<Cell<'a>, WireError> {
        Ok(if let What::Log(record) = &self.what { of(record) } else { Cell::None })
    }

    fn span(&self, of: impl FnOnce(&Span<'a>) -> Cell<'a>) -> Result<Cell<'a>, WireError> {
        Ok(if let What::Span(span) = &self.what { of(span) } else { Cell::None })
    }

    fn metric(&self, of: impl FnOnce(&Metric<'a>) -> Cell<'a>) -> Result<Cell<'a>, WireError> {
        Ok(if let What::Point(metric, _) = &self.what { of(metric) } else { Cell::None })
    }

    fn point(&self, of: impl FnOnce(&Point<'a>) -> Cell<'a>) -> Result<Cell<'a>, WireError> {
        Ok(if let What::Point(_, point) = &self.what { of(point) } else { Cell::None })
    }

    fn exemplars(&self, of: fn(&Exemplar<'a>) -> Cell<'a>) -> Result<Cell<'a>, WireError> {
        let What::Point(_, point) = &self.what else { return Ok(Cell::List(Vec::new())) };
        list(point.exemplars(), of)
    }

    /// A log record's time: its own, else when it was observed, else when it was received.
    fn time(&self) -> Cell<'a> {
        let What::Log(record) = &self.what else { return Cell::Time(0) };
        let known = [record.time, record.observed, self.received].into_iter().find(|time| *time != 0);
        Cell::Time(known.unwrap_or(0))
    }
}

fn list<'a, T: wire::otlp::View<'a>>(
    entries: Repeated<'a, T>,
    of: fn(&T) -> Cell<'a>,
) -> Result<Cell<'a>, WireError> {
    entries.map(|entry| entry.map(|entry| of(&entry))).collect::<Result<_, _>>().map(Cell::List)
}

fn words<'a>(words: Option<Scalars<'a>>, of: fn(u64) -> Cell<'a>) -> Result<Cell<'a>, WireError> {
    let words = words.into_iter().flatten();
    words.map(|word| word.map(of)).collect::<Result<_, _>>().map(Cell::List)
}

fn number<'a>(value: Option<Number>) -> Cell<'a> {
    match value {
        Some(Number::Double(bits)) => Cell::Float(bits),
        Some(Number::Int(value)) => Cell::Int(value),
        None => Cell::None,
    }
}

fn float<'a>(bits: Option<u64>) -> Cell<'a> {
    bits.map_or(Cell::None, Cell::Float)
}

fn service<'a>(item: &Item<'a>) -> Result<Cell<'a>, WireError> {
    let value = item.resource.attributes().get("service.name")?;
    Ok(Cell::Any(value.unwrap_or(AnyValue::Empty)))
}

const fn resource(
    name: &'static str,
    ddl: &'static str,
    class: Class,
    cell: for<'a> fn(&Item<'a>) -> Result<Cell<'a>, WireError>,
) -> Column {
    Column { name, ddl, class, level: Level::Resource, cell }
}

const fn scope(
    name: &'static str,
    ddl: &'static str,
    class: Class,
    cell: for<'a> fn(&Item<'a>) -> Result<Cell<'a>, WireError>,
) -> Column {
    Column { name, ddl, class, level: Level::Scope, cell }
}

const fn item(
    name: &'static str,
    ddl: &'static str,
    class: Class,
    cell: for<'a> fn(&Item<'a>) -> Result<Cell<'a>, WireError>,
) -> Column {
    Column { name, ddl, class, level: Level::Item, cell }
}

const TIME: &str = "DateTime64(9)";
const TEXT: &str = "String";
const FEW: &str = "LowCardinality(String)";
const MAP: &str = "Map(LowCardinality(String), String)";

static LOGS: &[Column] = &[
    item("Timestamp", TIME, Class::Time, |item| Ok(item.time())),
    item("TimestampTime", "DateTime DEFAULT toDateTime(Timestamp)", Class::Time, |item| Ok(item.time())),
    item("TraceId", TEXT, Class::Text, |item| item.log(|log| Cell::Id(log.trace_id))),
    item("SpanId", TEXT, Class::Text, |item| item.log(|log| Cell::Id(log.span_id))),
    item("TraceFlags", "UInt8", Class::Number, |item| {
        item.log(|log| Cell::Uint(u64::from(log.flags & 0xff)))
    }),
    item("SeverityText", FEW, Class::Text, |item| item.log(|log| Cell::Text(log.severity_text))),
    item("SeverityNumber", "UInt8", Class::Number, |item| item.log(|log| Cell::Int(log.severity.into()))),
    resource("ServiceName", FEW, Class::Text, service),
    item("Body", TEXT, Class::Text, |item| item.log(|log| Cell::Any(log.body.clone()))),
    resource("ResourceSchemaUrl", FEW, Class::Text, |item| Ok(Cell::Text(item.resource_schema))),
    resource("ResourceAttributes", MAP, Class::Map, |item| Ok(Cell::Map(item.resource.attributes()))),
    scope("ScopeSchemaUrl", FEW, Class::Text, |item| Ok(Cell::Text(item.scope_schema))),
    scope("ScopeName", TEXT, Class::Text, |item| Ok(Cell::Text(item.scope.name))),
    scope("ScopeVersion", FEW, Class::Text, |item| Ok(Cell::Text(item.scope.version))),
    scope("ScopeAttributes", MAP, Class::Map, |item| Ok(Cell::Map(item.scope.attributes()))),
    item("LogAttributes", MAP, Class::Map, |item| item.log(|log| Cell::Map(log.attributes()))),
    item("EventName", TEXT, Class::Text, |item| item.log(|log| Cell::Text(log.event_name))),
];

static TRACES: &[Column] = &[
    item("Timestamp", TIME, Class::Time, |item| item.span(|span| Cell::Time(span.start))),
    item("TraceId", TEXT, Class::Text, |item| item.span(|span| Cell::Id(span.trace_id))),
    item("SpanId", TEXT, Class::Text, |item| item.span(|span| Cell::Id(span.span_id))),
    item("ParentSpanId", TEXT, Class::Text, |item| item.span(|span| Cell::Id(span.parent_span_id))),
    item("TraceState", TEXT, Class::Text, |item| item.span(|span| Cell::Text(span.trace_state))),
    item("SpanName", FEW, Class::Text, |item| item.span(|span| Cell::Text(span.name))),
    item("SpanKind", FEW, Class::Text, |item| item.span(|span| Cell::Text(span_kind(span.kind)))),
    resource("ServiceName", FEW, Class::Text, service),
    resource("ResourceAttributes", MAP, Class::Map, |item| Ok(Cell::Map(item.resource.attributes()))),
    scope("ScopeName", TEXT, Class::Text, |item| Ok(Cell::Text(item.scope.name))),
    scope("ScopeVersion", TEXT, Class::Text, |item| Ok(Cell::Text(item.scope.version))),
    item("SpanAttributes", MAP, Class::Map, |item| item.span(|span| Cell::Map(span.attributes()))),
    item("Duration", "UInt64", Class::Number, |item| {
        item.span(|span| Cell::Uint(span.end.saturating_sub(span.start)))
    }),
    item("StatusCode", FEW, Class::Text, |item| item.span(|span| Cell::Text(status(span.status_code)))),
    item("StatusMessage", TEXT, Class::Text, |item| item.span(|span| Cell::Text(span.status_message))),
    item("Events.Timestamp", "Array(DateTime64(9))", Class::Times, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.events(), |event| Cell::Time(event.time))
    }),
    item("Events.Name", "Array(LowCardinality(String))", Class::Texts, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.events(), |event| Cell::Text(event.name))
    }),
    item("Events.Attributes", "Array(Map(LowCardinality(String), String))", Class::Maps, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.events(), |event| Cell::Map(event.attributes()))
    }),
    item("Links.TraceId", "Array(String)", Class::Texts, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.links(), |link| Cell::Id(link.trace_id))
    }),
    item("Links.SpanId", "Array(String)", Class::Texts, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.links(), |link| Cell::Id(link.span_id))
    }),
    item("Links.TraceState", "Array(String)", Class::Texts, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.links(), |link| Cell::Text(link.trace_state))
    }),
    item("Links.Attributes", "Array(Map(LowCardinality(String), String))", Class::Maps, |item| {
        let What::Span(span) = &item.what else { return Ok(Cell::List(Vec::new())) };
        list(span.links(), |link| Cell::Map(link.attributes()))
    }),
];

/// What all tables of metrics have.
static METRIC: &[Column] = &[
    resource("ResourceAttributes", MAP, Class::Map, |item| Ok(Cell::Map(item.resource.attributes()))),
    resource("ResourceSchemaUrl", TEXT, Class::Text, |item| Ok(Cell::Text(item.resource_schema))),
    scope("ScopeName", TEXT, Class::Text, |item| Ok(Cell::Text(item.scope.name))),
    scope("ScopeVersion", TEXT, Class::Text, |item| Ok(Cell::Text(item.scope.version))),
    scope("ScopeAttributes", MAP, Class::Map, |item| Ok(Cell::Map(item.scope.attributes()))),
    scope("ScopeDroppedAttrCount", "UInt32", Class::Number, |item| Ok(Cell::Uint(dropped(&item.scope)?))),
    scope("ScopeSchemaUrl", TEXT, Class::Text, |item| Ok(Cell::Text(item.scope_schema))),
    resource("ServiceName", FEW, Class::Text, service),
    item("MetricName", TEXT, Class::Text, |item| item.metric(|metric| Cell::Text(metric.name))),
    item("MetricDescription", TEXT, Class::Text, |item| item.metric(|metric| Cell::Text(metric.description))),
    item("MetricUnit", TEXT, Class::Text, |item| item.metric(|metric| Cell::Text(metric.unit))),
    item("Attributes", MAP, Class::Map, |item| item.point(|point| Cell::Map(point.attributes()))),
    item("StartTimeUnix", TIME, Class::Time, |item| item.point(|point| Cell::Time(start(point)))),
    item("TimeUnix", TIME, Class::Time, |item| item.point(|point| Cell::Time(point.time()))),
    item("Flags", "UInt32", Class::Number, |item| item.point(|point| Cell::Uint(flags(point).into()))),
];

/// What gauges and sums have.
static NUMBER: &[Column] = &[
    item("Value", "Float64", Class::Number, |item| {
        item.point(|point| if let Point::Number(point) = point { number(point.value) } else { Cell::None })
    }),
    item("Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))", Class::Maps, FILTERED),
    item("Exemplars.TimeUnix", "Array(DateTime64(9))", Class::Times, EXEMPLAR_TIMES),
    item("Exemplars.Value", "Array(Float64)", Class::Numbers, EXEMPLAR_VALUES),
    item("Exemplars.SpanId", "Array(String)", Class::Texts, EXEMPLAR_SPANS),
    item("Exemplars.TraceId", "Array(String)", Class::Texts, EXEMPLAR_TRACES),
];

static SUM: &[Column] = &[
    item("AggregationTemporality", "Int32", Class::Number, |item| {
        item.metric(|metric| Cell::Int(temporality(metric.kind).into()))
    }),
    item("IsMonotonic", "Bool", Class::Number, |item| {
        item.metric(|metric| {
            Cell::Uint(matches!(metric.kind, MetricKind::Sum { monotonic: true, .. }).into())
        })
    }),
];

/// What both sorts of histograms have.
static DISTRIBUTION: &[Column] = &[
    item("Count", "UInt64", Class::Number, |item| {
        item.point(|point| match point {
            Point::Histogram(point) => Cell::Uint(point.count),
            Point::Exponential(point) => Cell::Uint(point.count),
            _ => Cell::None,
        })
    }),
    item("Sum", "Float64", Class::Number, |item| item.point(|point| float(summed(point).0))),
    item("Min", "Float64", Class::Number, |item| item.point(|point| float(summed(point).1))),
    item("Max", "Float64", Class::Number, |item| item.point(|point| float(summed(point).2))),
    item("Exemplars.FilteredAttributes", "Array(Map(LowCardinality(String), String))", Class::Maps, FILTERED),
    item("Exemplars.TimeUnix", "Array(DateTime64(9))", Class::Times, EXEMPLAR_TIMES),
    item("Exemplars.Value", "Array(Float64)", Class::Numbers, EXEMPLAR_VALUES),
    item("Exemplars.SpanId", "Array(String)", Class::Texts, EXEMPLAR_SPANS),
    item("Exemplars.TraceId", "Array(String)", Class::Texts, EXEMPLAR_TRACES),
    item("AggregationTemporality", "Int32", Class::Number, |item| {
        item.metric(|metric| Cell::Int(temporality(metric.kind).into()))
    }),
];

static HISTOGRAM: &[Column] = &[
    item("BucketCounts", "Array(UInt64)", Class::Numbers, |item| {
        let What::Point(_, Point::Histogram(point)) = &item.what else { return words(None, Cell::Uint) };
        words(Some(point.bucket_counts()), Cell::Uint)
    }),
    item("ExplicitBounds", "Array(Float64)", Class::Numbers, |item| {
        let What::Point(_, Point::Histogram(point)) = &item.what else { return words(None, Cell::Float) };
        words(Some(point.explicit_bounds()), Cell::Float)
    }),
];

static EXPONENTIAL: &[Column] = &[
    item("Scale", "Int32", Class::Number, |item| {
        item.point(|point| {
            if let Point::Exponential(point) = point { Cell::Int(point.scale.into()) } else { Cell::None }
        })
    }),
    item("ZeroCount", "UInt64", Class::Number, |item| {
        item.point(|point| {
            if let Point::Exponential(point) = point { Cell::Uint(point.zero_count) } else { Cell::None }
        })
    }),
    item("PositiveOffset", "Int32", Class::Number, |item| {
        item.point(|point| {
            if let Point::Exponential(p) = point { Cell::Int(p.positive.offset.into()) } else { Cell::None }
        })
    }),
    item("PositiveBucketCounts", "Array(UInt64)", Class::Numbers, |item| {
        let What::Point(_, Point::Exponential(point)) = &item.what else { return words(None, Cell::Uint) };
        words(Some(point.positive.counts()), Cell::Uint)
    }),
    item("NegativeOffset", "Int32", Class::Number, |item| {
        item.point(|point| {
            if let Point::Exponential(p) = point { Cell::Int(p.negative.offset.into()) } else { Cell::None }
        })
    }),
    item("NegativeBucketCounts", "Array(UInt64)", Class::Numbers, |item| {
        let What::Point(_, Point::Exponential(point)) = &item.what else { return words(None, Cell::Uint) };
        words(Some(point.negative.counts()), Cell::Uint)
    }),
];

static SUMMARY: &[Column] = &[
    item("Count", "UInt64", Class::Number, |item| {
        item.point(
            |point| if let Point::Summary(point) = point { Cell::Uint(point.count) } else { Cell::None },
        )
    }),
    item("Sum", "Float64", Class::Number, |item| {
        item.point(
            |point| if let Point::Summary(point) = point { Cell::Float(point.sum) } else { Cell::None },
        )
    }),
    item("ValueAtQuantiles.Quantile", "Array(Float64)", Class::Numbers, |item| {
        let What::Point(_, Point::Summary(point)) = &item.what else { return words(None, Cell::Float) };
        list(point.quantiles(), |at| Cell::Float(at.quantile))
    }),
    item("ValueAtQuantiles.Value", "Array(Float64)", Class::Numbers, |item| {
        let What::Point(_, Point::Summary(point)) = &item.what else { return words(None, Cell::Float) };
        list(point.quantiles(), |at| Cell::Float(at.value))
    }),
];

type Cells = for<'a> fn(&Item<'a>) -> Result<Cell<'a>, WireError>;

const FILTERED: Cells = |item| item.exemplars(|exemplar| Cell::Map(exemplar.filtered_attributes()));
const EXEMPLAR_TIMES: Cells = |item| item.exemplars(|exemplar| Cell::Time(exemplar.time));
const EXEMPLAR_VALUES: Cells = |item| item.exemplars(|exemplar| number(exemplar.value));
const EXEMPLAR_SPANS: Cells = |item| item.exemplars(|exemplar| Cell::Id(exemplar.span_id));
const EXEMPLAR_TRACES: Cells = |item| item.exemplars(|exemplar| Cell::Id(exemplar.trace_id));

fn span_kind(kind: i32) -> &'static str {
    match kind {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}

fn status(code: i32) -> &'static str {
    match code {
        1 => "Ok",
        2 => "Error",
        _ => "Unset",
    }
}

fn temporality(kind: MetricKind) -> i32 {
    match kind {
        MetricKind::Sum { temporality, .. }
        | MetricKind::Histogram { temporality }
        | MetricKind::ExponentialHistogram { temporality } => temporality,
        _ => 0,
    }
}

fn start(point: &Point<'_>) -> u64 {
    match point {
        Point::Number(point) => point.start,
        Point::Histogram(point) => point.start,
        Point::Exponential(point) => point.start,
        Point::Summary(point) => point.start,
    }
}

fn flags(point: &Point<'_>) -> u32 {
    match point {
        Point::Number(point) => point.flags,
        Point::Histogram(point) => point.flags,
        Point::Exponential(point) => point.flags,
        Point::Summary(point) => point.flags,
    }
}

/// Sum, least and greatest.
fn summed(point: &Point<'_>) -> (Option<u64>, Option<u64>, Option<u64>) {
    match point {
        Point::Histogram(point) => (point.sum, point.min, point.max),
        Point::Exponential(point) => (point.sum, point.min, point.max),
        _ => (None, None, None),
    }
}

/// Attributes of the scope that its sender dropped.
fn dropped(scope: &Scope<'_>) -> Result<u64, WireError> {
    let mut count = 0;
    for field in wire::walk::fields(scope.raw) {
        let field = field?;
        if field.number == 4 {
            count = field.varint()?;
        }
    }
    Ok(count)
}
