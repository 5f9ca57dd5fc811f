//! A metric point of either layout, read once for columns and for people. Doubles keep their bits.

use wire::WireError;
use wire::otlp::metrics::{
    ExponentialPoint, HistogramPoint, Metric, MetricKind, Number, NumberPoint, SummaryPoint,
};
use wire::otlp::{Attributes, Scalars, View};
use wire::rw::private::{SERIES_METADATA, START};
use wire::walk::{self, Value, fields, zigzag};

use crate::items::messages;
use crate::row::{Kind, Row};

/// What a point says; what it does not say, or what could not be read, is left at its default.
#[derive(Debug, Default)]
pub(crate) struct Point<'a> {
    pub(crate) name: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) description: &'a str,
    pub(crate) temporality: Option<&'static str>,
    pub(crate) monotonic: Option<bool>,
    /// Nanoseconds since 1970.
    pub(crate) start: Option<i64>,
    pub(crate) value: Option<f64>,
    pub(crate) value_int: Option<i64>,
    pub(crate) count: Option<f64>,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) bounds: Option<Scalars<'a>>,
    pub(crate) buckets: Option<Scalars<'a>>,
    pub(crate) scale: Option<i32>,
    pub(crate) flags: u32,
    pub(crate) attributes: Option<Attributes<'a>>,
    /// Labels of a remote-write series, and of its exemplar, without the metric's name.
    pub(crate) labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Point<'a> {
    /// What can be read of `row`.
    pub(crate) fn read(row: &Row<'a>) -> Self {
        let mut point = Self::default();
        // What was read before an error stays; `raw` has everything.
        let _ = match row.kind {
            Kind::Gauge | Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram | Kind::Summary => {
                point.otlp(row)
            }
            Kind::Sample | Kind::NativeHistogram | Kind::CustomHistogram | Kind::Exemplar => {
                point.series(row)
            }
            Kind::Metadata => point.metadata(row.raw),
            Kind::Span | Kind::Log => Ok(()),
        };
        point
    }

    fn otlp(&mut self, row: &Row<'a>) -> Result<(), WireError> {
        let metric = Metric::read(row.metric)?;
        self.name = metric.name;
        self.unit = metric.unit;
        self.description = metric.description;
        // Without data the view knows no kind; then there was nothing but the points.
        match (row.kind, metric.kind) {
            (_, MetricKind::Sum { temporality, monotonic }) => {
                self.temporality = Some(named(temporality));
                self.monotonic = Some(monotonic);
            }
            (Kind::Sum, _) => (self.temporality, self.monotonic) = (Some(named(0)), Some(false)),
            (_, MetricKind::Histogram { temporality } | MetricKind::ExponentialHistogram { temporality }) => {
                self.temporality = Some(named(temporality));
            }
            (Kind::Histogram | Kind::ExponentialHistogram, _) => self.temporality = Some(named(0)),
            _ => {}
        }
        match row.kind {
            Kind::Histogram => self.histogram(&HistogramPoint::read(row.raw)?),
            Kind::ExponentialHistogram => self.exponential(&ExponentialPoint::read(row.raw)?),
            Kind::Summary => self.summary(&SummaryPoint::read(row.raw)?),
            _ => self.number(&NumberPoint::read(row.raw)?),
        }
        Ok(())
    }

    fn number(&mut self, point: &NumberPoint<'a>) {
        self.start = known(point.start);
        self.flags = point.flags;
        match point.value {
            Some(Number::Double(bits)) => self.value = Some(f64::from_bits(bits)),
            Some(Number::Int(number)) => {
                self.value = Some(number as f64);
                self.value_int = Some(number);
            }
            None => {}
        }
        self.attributes = Some(Attributes::new(point.raw, 7));
    }

    fn histogram(&mut self, point: &HistogramPoint<'a>) {
        self.start = known(point.start);
        self.flags = point.flags;
        self.count = Some(point.count as f64);
        self.sum = point.sum.map(f64::from_bits);
        self.min = point.min.map(f64::from_bits);
        self.max = point.max.map(f64::from_bits);
        self.bounds = Some(point.explicit_bounds());
        self.buckets = Some(point.bucket_counts());
        self.attributes = Some(Attributes::new(point.raw, 9));
    }

    fn exponential(&mut self, point: &ExponentialPoint<'a>) {
        self.start = known(point.start);
        self.flags = point.flags;
        self.count = Some(point.count as f64);
        self.sum = point.sum.map(f64::from_bits);
        self.min = point.min.map(f64::from_bits);
        self.max = point.max.map(f64::from_bits);
        self.scale = Some(point.scale);
        self.attributes = Some(Attributes::new(point.raw, 1));
    }

    fn summary(&mut self, point: &SummaryPoint<'a>) {
        self.start = known(point.start);
        self.flags = point.flags;
        self.count = Some(point.count as f64);
        self.sum = Some(f64::from_bits(point.sum));
        self.attributes = Some(Attributes::new(point.raw, 7));
    }

    fn series(&mut self, row: &Row<'a>) -> Result<(), WireError> {
        self.take_labels(row.metric)?;
        for metadata in messages(row.metric, SERIES_METADATA) {
            self.described(metadata?)?;
        }
        if row.kind != Kind::Exemplar {
            self.start = start(row.raw)?;
        }
        match row.kind {
            Kind::Sample => self.value = Some(double(row.raw, 1)?),
            Kind::Exemplar => {
                self.value = Some(double(row.raw, 2)?);
                self.take_labels(row.raw)?;
            }
            _ => self.native(row.raw)?,
        }
        Ok(())
    }

    /// Adds the labels in `message`; of equal names the first counts.
    fn take_labels(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        let known = self.labels.len();
        for label in messages(message, 1) {
            let (mut name, mut value) = ("", "");
            for field in fields(label?) {
                let field = field?;
                match field.number {
                    1 => name = field.text()?,
                    2 => value = field.text()?,
                    _ => {}
                }
            }
            if name == "__name__" && known == 0 {
                self.name = value;
            } else if !self.labels[..known].iter().any(|(taken, _)| *taken == name)
                && self.labels.last().is_none_or(|(last, _)| *last != name)
            {
                // Labels of one series are sorted, so equal names are neighbours.
                self.labels.push((name, value));
            }
        }
        Ok(())
    }

    /// A native histogram.
    fn native(&mut self, raw: &'a [u8]) -> Result<(), WireError> {
        // proto3 leaves out zeros.
        (self.sum, self.scale, self.count) = (Some(0.0), Some(0), Some(0.0));
        for field in fields(raw) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Varint(count)) => self.count = Some(count as f64),
                (2, Value::Fixed64(bits)) => self.count = Some(f64::from_bits(bits)),
                (3, Value::Fixed64(bits)) => self.sum = Some(f64::from_bits(bits)),
                (4, Value::Varint(schema)) => self.scale = Some(zigzag(schema) as i32),
                _ => {}
            }
        }
        Ok(())
    }

    fn metadata(&mut self, raw: &'a [u8]) -> Result<(), WireError> {
        for field in fields(raw) {
            let field = field?;
            if field.number == 2 {
                self.name = field.text()?;
            }
        }
        self.described(raw)
    }

    /// Help and unit of a `MetricMetadata`.
    fn described(&mut self, raw: &'a [u8]) -> Result<(), WireError> {
        for field in fields(raw) {
            let field = field?;
            match field.number {
                4 => self.description = field.text()?,
                5 => self.unit = field.text()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The private start time of a sample or histogram, in nanoseconds.
fn start(message: &[u8]) -> Result<Option<i64>, WireError> {
    let mut millis = 0;
    for field in walk::fields(message) {
        let field = field?;
        if field.number == START {
            millis = field.varint()? as i64;
        }
    }
    Ok((millis != 0).then(|| millis.saturating_mul(1_000_000)))
}

fn double(message: &[u8], number: u32) -> Result<f64, WireError> {
    let mut bits = 0;
    for field in walk::fields(message) {
        let field = field?;
        if field.number == number {
            bits = field.fixed64()?;
        }
    }
    Ok(f64::from_bits(bits))
}

fn known(nanos: u64) -> Option<i64> {
    (nanos != 0).then(|| i64::try_from(nanos).unwrap_or(i64::MAX))
}

const fn named(temporality: i32) -> &'static str {
    match temporality {
        1 => "delta",
        2 => "cumulative",
        _ => "unspecified",
    }
}
