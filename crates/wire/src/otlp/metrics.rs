//! Views over an `ExportMetricsServiceRequest`.

use super::{Attributes, Repeated, Resource, Scalars, Scope, View, repeated};
use crate::walk::{Fields, WireError, fields, zigzag};

/// The metrics of one resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceMetrics<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The resource; empty when there is none.
    pub resource: Resource<'a>,
    /// The schema of the resource's attributes.
    pub schema_url: &'a str,
}

/// The metrics of one instrumentation scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeMetrics<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The scope; empty when there is none.
    pub scope: Scope<'a>,
    /// The schema of the metrics' attributes.
    pub schema_url: &'a str,
}

/// One metric with its points.
#[derive(Debug, Clone, Copy)]
pub struct Metric<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Its name.
    pub name: &'a str,
    /// What it measures.
    pub description: &'a str,
    /// Its unit (UCUM).
    pub unit: &'a str,
    /// What kind of points it has.
    pub kind: MetricKind,
}

/// The kind of a metric. Temporality: 0 unspecified, 1 delta, 2 cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// No data, or data of a kind that this version does not know.
    None,
    /// The last value of something.
    Gauge,
    /// A sum.
    Sum {
        /// Since when it adds up.
        temporality: i32,
        /// Whether it only grows.
        monotonic: bool,
    },
    /// A histogram with explicit bounds.
    Histogram {
        /// Since when it adds up.
        temporality: i32,
    },
    /// A histogram with exponential buckets.
    ExponentialHistogram {
        /// Since when it adds up.
        temporality: i32,
    },
    /// Quantiles.
    Summary,
}

impl MetricKind {
    /// The field of `Metric` that holds this kind's data; 0 for none.
    pub const fn field(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Gauge => 5,
            Self::Sum { .. } => 7,
            Self::Histogram { .. } => 9,
            Self::ExponentialHistogram { .. } => 10,
            Self::Summary => 11,
        }
    }
}

/// One point, of its metric's kind.
#[derive(Debug, Clone, Copy)]
pub enum Point<'a> {
    /// Of a gauge or a sum.
    Number(NumberPoint<'a>),
    /// Of a histogram.
    Histogram(HistogramPoint<'a>),
    /// Of an exponential histogram.
    Exponential(ExponentialPoint<'a>),
    /// Of a summary.
    Summary(SummaryPoint<'a>),
}

/// A number, with its bits untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// A double's bits.
    Double(u64),
    /// A whole number.
    Int(i64),
}

/// A point of a gauge or a sum.
#[derive(Debug, Clone, Copy, Default)]
pub struct NumberPoint<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Start, nanoseconds since 1970; 0 is unknown.
    pub start: u64,
    /// Time, nanoseconds since 1970.
    pub time: u64,
    /// The value; `None` when the sender set none.
    pub value: Option<Number>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A point of a histogram.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistogramPoint<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Start, nanoseconds since 1970; 0 is unknown.
    pub start: u64,
    /// Time, nanoseconds since 1970.
    pub time: u64,
    /// Observations.
    pub count: u64,
    /// Bits of their sum.
    pub sum: Option<u64>,
    /// Bits of the smallest.
    pub min: Option<u64>,
    /// Bits of the largest.
    pub max: Option<u64>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A point of an exponential histogram.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExponentialPoint<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Start, nanoseconds since 1970; 0 is unknown.
    pub start: u64,
    /// Time, nanoseconds since 1970.
    pub time: u64,
    /// Observations.
    pub count: u64,
    /// Bits of their sum.
    pub sum: Option<u64>,
    /// Resolution.
    pub scale: i32,
    /// Observations around zero.
    pub zero_count: u64,
    /// Bits of the width of the zero bucket.
    pub zero_threshold: u64,
    /// Buckets of positive observations.
    pub positive: Buckets<'a>,
    /// Buckets of negative observations.
    pub negative: Buckets<'a>,
    /// Bits of the smallest.
    pub min: Option<u64>,
    /// Bits of the largest.
    pub max: Option<u64>,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// Dense exponential buckets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buckets<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Index of the first bucket.
    pub offset: i32,
}

/// A point of a summary.
#[derive(Debug, Clone, Copy, Default)]
pub struct SummaryPoint<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Start, nanoseconds since 1970; 0 is unknown.
    pub start: u64,
    /// Time, nanoseconds since 1970.
    pub time: u64,
    /// Observations.
    pub count: u64,
    /// Bits of their sum.
    pub sum: u64,
    /// Bit 0: no recorded value.
    pub flags: u32,
}

/// A quantile of a summary, both as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quantile {
    /// From 0 to 1.
    pub quantile: u64,
    /// The value at it.
    pub value: u64,
}

/// An example of what was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exemplar<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Nanoseconds since 1970.
    pub time: u64,
    /// The value; `None` when the sender set none.
    pub value: Option<Number>,
    /// The trace that it happened in; empty for none.
    pub trace_id: &'a [u8],
    /// The span that it happened in; empty for none.
    pub span_id: &'a [u8],
}

/// The resources of a request.
pub fn resource_metrics(plain: &[u8]) -> Repeated<'_, ResourceMetrics<'_>> {
    repeated(plain, 1)
}

/// Calls `each` for every point, in wire order.
///
/// # Errors
/// The bytes are no request, or `each` answered one.
pub fn each_point<'a>(
    plain: &'a [u8],
    mut each: impl FnMut(&ResourceMetrics<'a>, &ScopeMetrics<'a>, &Metric<'a>, Point<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for resource in resource_metrics(plain) {
        let resource = resource?;
        for scope in resource.scopes() {
            let scope = scope?;
            for metric in scope.metrics() {
                let metric = metric?;
                for point in metric.points() {
                    each(&resource, &scope, &metric, point?)?;
                }
            }
        }
    }
    Ok(())
}

impl<'a> View<'a> for ResourceMetrics<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut view = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => view.resource = Resource { raw: field.bytes()? },
                3 => view.schema_url = field.text()?,
                _ => {}
            }
        }
        Ok(view)
    }
}

impl<'a> ResourceMetrics<'a> {
    /// The scopes below this resource.
    pub fn scopes(&self) -> Repeated<'a, ScopeMetrics<'a>> {
        repeated(self.raw, 2)
    }
}

impl<'a> View<'a> for ScopeMetrics<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut view = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => view.scope = Scope::read(field.bytes()?)?,
                3 => view.schema_url = field.text()?,
                _ => {}
            }
        }
        Ok(view)
    }
}

impl<'a> ScopeMetrics<'a> {
    /// The metrics of this scope.
    pub fn metrics(&self) -> Repeated<'a, Metric<'a>> {
        repeated(self.raw, 2)
    }
}

impl<'a> View<'a> for Metric<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut metric = Self { raw, name: "", description: "", unit: "", kind: MetricKind::None };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => metric.name = field.text()?,
                2 => metric.description = field.text()?,
                3 => metric.unit = field.text()?,
                5 | 7 | 9 | 10 | 11 => metric.kind = kind(metric.kind, field.number, field.bytes()?)?,
                _ => {}
            }
        }
        Ok(metric)
    }
}

/// The kind that data in `field` says, where `before` was read until here: pieces of one kind merge, others override.
fn kind(before: MetricKind, field: u32, data: &[u8]) -> Result<MetricKind, WireError> {
    let (mut temporality, mut monotonic) = match before {
        _ if before.field() != field => (0, false),
        MetricKind::Sum { temporality, monotonic } => (temporality, monotonic),
        MetricKind::Histogram { temporality } | MetricKind::ExponentialHistogram { temporality } => {
            (temporality, false)
        }
        _ => (0, false),
    };
    if matches!(field, 7 | 9 | 10) {
        for field in fields(data) {
            let field = field?;
            match field.number {
                2 => temporality = field.varint()? as i32,
                3 => monotonic = field.varint()? != 0,
                _ => {}
            }
        }
    }
    Ok(match field {
        5 => MetricKind::Gauge,
        7 => MetricKind::Sum { temporality, monotonic },
        9 => MetricKind::Histogram { temporality },
        10 => MetricKind::ExponentialHistogram { temporality },
        _ => MetricKind::Summary,
    })
}

impl<'a> Metric<'a> {
    /// Its own attributes (`metadata`).
    pub fn metadata(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 12)
    }

    /// Its points.
    pub fn points(&self) -> Points<'a> {
        Points { pieces: fields(self.raw), fields: fields(&[]), kind: self.kind }
    }
}

/// The points of a metric.
#[derive(Debug, Clone)]
pub struct Points<'a> {
    pieces: Fields<'a>,
    fields: Fields<'a>,
    kind: MetricKind,
}

impl<'a> Iterator for Points<'a> {
    type Item = Result<Point<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            for field in self.fields.by_ref() {
                match field {
                    Ok(field) if field.number == 1 => {
                        return Some(field.bytes().and_then(|raw| Point::read(raw, self.kind)));
                    }
                    Ok(_) => {}
                    Err(error) => return Some(Err(error)),
                }
            }
            match self.pieces.next()? {
                Ok(piece) if piece.number == self.kind.field() => match piece.bytes() {
                    Ok(data) => self.fields = fields(data),
                    Err(error) => return Some(Err(error)),
                },
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<'a> Point<'a> {
    fn read(raw: &'a [u8], kind: MetricKind) -> Result<Self, WireError> {
        match kind {
            // `None` has no data that points could lie in.
            MetricKind::None | MetricKind::Gauge | MetricKind::Sum { .. } => {
                NumberPoint::read(raw).map(Self::Number)
            }
            MetricKind::Histogram { .. } => HistogramPoint::read(raw).map(Self::Histogram),
            MetricKind::ExponentialHistogram { .. } => ExponentialPoint::read(raw).map(Self::Exponential),
            MetricKind::Summary => SummaryPoint::read(raw).map(Self::Summary),
        }
    }
}

impl<'a> Point<'a> {
    /// The message's bytes.
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Self::Number(point) => point.raw,
            Self::Histogram(point) => point.raw,
            Self::Exponential(point) => point.raw,
            Self::Summary(point) => point.raw,
        }
    }

    /// Time, nanoseconds since 1970.
    pub fn time(&self) -> u64 {
        match self {
            Self::Number(point) => point.time,
            Self::Histogram(point) => point.time,
            Self::Exponential(point) => point.time,
            Self::Summary(point) => point.time,
        }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        let number = match self {
            Self::Histogram(_) => 9,
            Self::Exponential(_) => 1,
            Self::Number(_) | Self::Summary(_) => 7,
        };
        Attributes::new(self.raw(), number)
    }

    /// Its exemplars; a summary has none.
    pub fn exemplars(&self) -> Repeated<'a, Exemplar<'a>> {
        match self {
            Self::Number(point) => repeated(point.raw, 5),
            Self::Histogram(point) => repeated(point.raw, 8),
            Self::Exponential(point) => repeated(point.raw, 11),
            Self::Summary(_) => repeated(&[], 1),
        }
    }
}

impl<'a> View<'a> for NumberPoint<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut point = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                2 => point.start = field.fixed64()?,
                3 => point.time = field.fixed64()?,
                4 => point.value = Some(Number::Double(field.fixed64()?)),
                6 => point.value = Some(Number::Int(field.fixed64()? as i64)),
                8 => point.flags = field.varint()? as u32,
                _ => {}
            }
        }
        Ok(point)
    }
}

impl<'a> View<'a> for HistogramPoint<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut point = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                2 => point.start = field.fixed64()?,
                3 => point.time = field.fixed64()?,
                4 => point.count = field.fixed64()?,
                5 => point.sum = Some(field.fixed64()?),
                10 => point.flags = field.varint()? as u32,
                11 => point.min = Some(field.fixed64()?),
                12 => point.max = Some(field.fixed64()?),
                _ => {}
            }
        }
        Ok(point)
    }
}

impl<'a> HistogramPoint<'a> {
    /// Observations per bucket.
    pub fn bucket_counts(&self) -> Scalars<'a> {
        Scalars::words(self.raw, 6)
    }

    /// Bits of the buckets' upper bounds.
    pub fn explicit_bounds(&self) -> Scalars<'a> {
        Scalars::words(self.raw, 7)
    }
}

impl<'a> View<'a> for ExponentialPoint<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut point = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                2 => point.start = field.fixed64()?,
                3 => point.time = field.fixed64()?,
                4 => point.count = field.fixed64()?,
                5 => point.sum = Some(field.fixed64()?),
                6 => point.scale = zigzag(field.varint()?) as i32,
                7 => point.zero_count = field.fixed64()?,
                8 => point.positive = Buckets::read(field.bytes()?)?,
                9 => point.negative = Buckets::read(field.bytes()?)?,
                10 => point.flags = field.varint()? as u32,
                12 => point.min = Some(field.fixed64()?),
                13 => point.max = Some(field.fixed64()?),
                14 => point.zero_threshold = field.fixed64()?,
                _ => {}
            }
        }
        Ok(point)
    }
}

impl<'a> View<'a> for Buckets<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut buckets = Self { raw, offset: 0 };
        for field in fields(raw) {
            let field = field?;
            if field.number == 1 {
                buckets.offset = zigzag(field.varint()?) as i32;
            }
        }
        Ok(buckets)
    }
}

impl<'a> Buckets<'a> {
    /// Observations per bucket, from `offset` on.
    pub fn counts(&self) -> Scalars<'a> {
        Scalars::varints(self.raw, 2)
    }
}

impl<'a> View<'a> for SummaryPoint<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut point = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                2 => point.start = field.fixed64()?,
                3 => point.time = field.fixed64()?,
                4 => point.count = field.fixed64()?,
                5 => point.sum = field.fixed64()?,
                8 => point.flags = field.varint()? as u32,
                _ => {}
            }
        }
        Ok(point)
    }
}

impl<'a> SummaryPoint<'a> {
    /// Its quantiles.
    pub fn quantiles(&self) -> Repeated<'a, Quantile> {
        repeated(self.raw, 6)
    }
}

impl<'a> View<'a> for Quantile {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut view = Self::default();
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => view.quantile = field.fixed64()?,
                2 => view.value = field.fixed64()?,
                _ => {}
            }
        }
        Ok(view)
    }
}

impl<'a> View<'a> for Exemplar<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut exemplar = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                2 => exemplar.time = field.fixed64()?,
                3 => exemplar.value = Some(Number::Double(field.fixed64()?)),
                4 => exemplar.span_id = field.bytes()?,
                5 => exemplar.trace_id = field.bytes()?,
                6 => exemplar.value = Some(Number::Int(field.fixed64()? as i64)),
                _ => {}
            }
        }
        Ok(exemplar)
    }
}

impl<'a> Exemplar<'a> {
    /// Attributes that the aggregation dropped.
    pub fn filtered_attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 7)
    }
}
