//! Series as the bodies of OTLP metrics requests: cumulative, each with its start, and none of the bodies too large.
//!
//! A series that nobody was told of yet is told of twice: at zero when it began, and as it is. Without the zero, what it counted before it
//! was first seen would be no increase to anyone, and a route's first error would raise no alarm.

use wire::put;

use super::metric::{Kind, ROWS, Row};
use super::options::{Histograms, Options};
use super::table::{Entry, Rhythm, Table, labels, whole_millis};
use super::value::{Exemplar, Histogram, Native, ONE, Value};

/// An `ExportMetricsServiceRequest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Points in it.
    pub points: u32,
}

/// Cumulative, in OTLP's words.
const CUMULATIVE: u64 = 2;
/// That a point has no value: the series is over.
const NO_VALUE: u64 = 1;
/// The metadata key under which a metric keeps the name that it has in Prometheus, so that nobody makes another one of it.
const NAME_KEY: &str = "prometheus.name";
/// The same for its type.
const TYPE_KEY: &str = "prometheus.type";

/// Tells of every series that is due, and ends those that are over.
pub(super) fn bodies(table: &mut Table, options: &Options, instance: &str, now: u64) -> Vec<Body> {
    let rhythm = Rhythm::new(options);
    let mut out = Bodies::new(options, instance);
    for row in ROWS {
        let (mut told, mut over) = (Vec::new(), Vec::new());
        let is_wanted = |entry: &Entry| rhythm.is_over(entry, now) || rhythm.is_due(entry, now);
        for (line, entry) in table.sorted(row.metric, is_wanted) {
            let is_over = rhythm.is_over(entry, now);
            // Of a clock that was ahead.
            (entry.start, entry.changed) = (entry.start.min(now), entry.changed.min(now));
            let mut attributes = Vec::new();
            for (name, value) in row.labels.iter().zip(labels(line).unwrap_or_default()) {
                attributes.push((*name, value));
            }
            let point = |start, time, form| Point { attributes: &attributes, start, time, form };
            if !entry.is_told && entry.start < now {
                out.value(row, &point(entry.start, entry.start, Form::Zero), &entry.value);
            }
            let form = match (is_over, entry.is_new && options.exemplars) {
                (true, _) => Form::End,
                (false, true) => Form::WithExemplars,
                (false, false) => Form::Plain,
            };
            out.value(row, &point(entry.start, now, form), &entry.value);
            if is_over {
                over.push(line.clone());
            } else if entry.is_new || !entry.is_told {
                told.push((row.metric, line.clone()));
            }
            (entry.told, entry.is_told, entry.is_new) = (now, true, false);
        }
        out.end_metrics();
        table.touch(told);
        over.into_iter().for_each(|line| table.remove(row.metric, line));
    }
    out.end_body();
    out.done
}

/// What a point says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Zero,
    Plain,
    WithExemplars,
    End,
}

struct Point<'a> {
    attributes: &'a [(&'static str, &'a str)],
    start: u64,
    time: u64,
    form: Form,
}

struct Bodies {
    histograms: Histograms,
    most: usize,
    resource: Vec<u8>,
    /// Metrics of the body in the making.
    metrics: Vec<u8>,
    points: u32,
    /// Points of the metric in the making: as sums or buckets, and with exponential buckets.
    plain: Option<(&'static Row, Vec<u8>)>,
    native: Option<(&'static Row, Vec<u8>)>,
    done: Vec<Body>,
}

impl Bodies {
    fn new(options: &Options, instance: &str) -> Self {
        let mut resource = Vec::new();
        put::message(&mut resource, 1, |out| {
            for (key, value) in [("service.name", "tidegate"), ("service.instance.id", instance)] {
                attribute(out, 1, key, value);
            }
        });
        Self {
            histograms: options.histograms,
            most: usize::try_from(options.body.0).unwrap_or(usize::MAX),
            resource,
            metrics: Vec::new(),
            points: 0,
            plain: None,
            native: None,
            done: Vec::new(),
        }
    }

    fn value(&mut self, row: &'static Row, point: &Point<'_>, value: &Value) {
        match (value, row.kind) {
            (Value::Counter(count), _) => self.push(row, false, &number(point, *count)),
            (Value::Histogram(histogram), Kind::Histogram { per_unit, bounds }) => {
                if self.histograms != Histograms::Native {
                    self.push(row, false, &explicit(point, histogram, bounds, per_unit));
                }
                if let Some(native) =
                    histogram.native.as_ref().filter(|_| self.histograms != Histograms::Classic)
                {
                    self.push(row, true, &exponential(point, histogram, native, per_unit));
                }
            }
            (Value::Histogram(_), Kind::Counter) => {}
        }
    }

    fn push(&mut self, row: &'static Row, is_native: bool, point: &[u8]) {
        let waiting = [&self.plain, &self.native].into_iter().flatten().map(|(_, points)| points.len());
        let size = self.resource.len() + self.metrics.len() + waiting.sum::<usize>();
        if self.points > 0 && size + point.len() + ROOM > self.most {
            self.end_metrics();
            self.end_body();
        }
        let place = if is_native { &mut self.native } else { &mut self.plain };
        let (_, points) = place.get_or_insert_with(|| (row, Vec::new()));
        put::bytes(points, 1, point);
        self.points += 1;
    }

    /// Puts the metric in the making into the body.
    fn end_metrics(&mut self) {
        for (is_native, waiting) in [(false, self.plain.take()), (true, self.native.take())] {
            if let Some((row, points)) = waiting {
                metric(&mut self.metrics, row, is_native, &points);
            }
        }
    }

    fn end_body(&mut self) {
        if self.points == 0 {
            return;
        }
        let metrics = std::mem::take(&mut self.metrics);
        let mut bytes = Vec::with_capacity(metrics.len() + self.resource.len() + ROOM);
        put::message(&mut bytes, 1, |out| {
            out.extend_from_slice(&self.resource);
            put::message(out, 2, |out| {
                put::message(out, 1, |out| put::bytes(out, 1, b"tidegate.stitch"));
                out.extend_from_slice(&metrics);
            });
        });
        self.done.push(Body { bytes, points: std::mem::take(&mut self.points) });
    }
}

/// What names, helps and metadata of a metric in both forms take at most, and the lengths around everything.
const ROOM: usize = 1_024;

fn metric(out: &mut Vec<u8>, row: &Row, is_native: bool, points: &[u8]) {
    put::message(out, 2, |out| {
        put::bytes(out, 1, row.name.as_bytes());
        put::bytes(out, 2, row.help.as_bytes());
        put::bytes(out, 3, row.unit.as_bytes());
        let (field, kind) = match (row.kind, is_native) {
            (Kind::Counter, _) => (7, "counter"),
            (Kind::Histogram { .. }, false) => (9, "histogram"),
            (Kind::Histogram { .. }, true) => (10, "histogram"),
        };
        put::message(out, field, |out| {
            out.extend_from_slice(points);
            put::uint(out, 2, CUMULATIVE);
            if row.kind == Kind::Counter {
                put::uint(out, 3, 1);
            }
        });
        attribute(out, 12, NAME_KEY, row.name);
        attribute(out, 12, TYPE_KEY, kind);
    });
}

fn number(point: &Point<'_>, count: u64) -> Vec<u8> {
    let mut out = point.head(7);
    match point.form {
        Form::End => put::uint(&mut out, 8, NO_VALUE),
        Form::Zero => put::fixed64(&mut out, 6, 0),
        Form::Plain | Form::WithExemplars => put::fixed64(&mut out, 6, count / ONE),
    }
    out
}

fn explicit(point: &Point<'_>, histogram: &Histogram, bounds: &[u64], per_unit: u64) -> Vec<u8> {
    let mut out = point.head(9);
    if point.form == Form::End {
        put::uint(&mut out, 10, NO_VALUE);
        return out;
    }
    let counts: Vec<u64> = histogram.counts.iter().map(|count| point.counted(*count)).collect();
    put::fixed64(&mut out, 4, counts.iter().fold(0, |sum, count| sum.saturating_add(*count)));
    put::fixed64(&mut out, 5, point.summed(histogram.sum, per_unit));
    put::message(&mut out, 6, |out| counts.iter().for_each(|count| out.extend(count.to_le_bytes())));
    put::message(&mut out, 7, |out| {
        for bound in bounds {
            out.extend((*bound as f64 / per_unit as f64).to_le_bytes());
        }
    });
    point.exemplars(&mut out, 8, histogram, per_unit);
    out
}

fn exponential(point: &Point<'_>, histogram: &Histogram, native: &Native, per_unit: u64) -> Vec<u8> {
    let start = native.start.max(point.start);
    let mut out = Point { start, time: point.time.max(start), ..*point }.head(1);
    if point.form == Form::End {
        put::uint(&mut out, 10, NO_VALUE);
        return out;
    }
    let zero = point.counted(native.zero);
    let count = native.buckets.values().fold(zero, |sum, count| sum.saturating_add(point.counted(*count)));
    put::fixed64(&mut out, 4, count);
    put::fixed64(&mut out, 5, point.summed(native.sum, per_unit));
    put::sint(&mut out, 6, i64::from(Native::SCALE));
    put::fixed64(&mut out, 7, zero);
    if let (Some((first, _)), Some((last, _)), true) =
        (native.buckets.first_key_value(), native.buckets.last_key_value(), point.form != Form::Zero)
    {
        put::message(&mut out, 8, |out| {
            put::sint(out, 1, i64::from(*first));
            put::message(out, 2, |out| {
                for index in *first..=*last {
                    put::varint(out, native.buckets.get(&index).map_or(0, |count| point.counted(*count)));
                }
            });
        });
    }
    point.exemplars(&mut out, 11, histogram, per_unit);
    out
}

impl Point<'_> {
    /// Attributes, start and time, as every kind of point has them.
    fn head(&self, attributes: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        for (key, value) in self.attributes {
            attribute(&mut out, attributes, key, value);
        }
        put::fixed64(&mut out, 2, self.start);
        put::fixed64(&mut out, 3, self.time);
        out
    }

    fn counted(&self, count: u64) -> u64 {
        if self.form == Form::Zero { 0 } else { count / ONE }
    }

    fn summed(&self, sum: u128, per_unit: u64) -> u64 {
        let sum = if self.form == Form::Zero { 0 } else { sum };
        (sum as f64 / (per_unit as f64 * ONE as f64)).to_bits()
    }

    fn exemplars(&self, out: &mut Vec<u8>, field: u32, histogram: &Histogram, per_unit: u64) {
        if self.form != Form::WithExemplars {
            return;
        }
        for Exemplar { time, trace, span, nanos } in histogram.exemplars.iter().flatten() {
            put::message(out, field, |out| {
                put::fixed64(out, 2, whole_millis(*time));
                put::fixed64(out, 3, (*nanos as f64 / per_unit as f64).to_bits());
                if *span != [0; 8] {
                    put::bytes(out, 4, span);
                }
                put::bytes(out, 5, trace);
            });
        }
    }
}

fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    put::message(out, field, |out| {
        put::bytes(out, 1, key.as_bytes());
        put::message(out, 2, |out| put::bytes(out, 1, value.as_bytes()));
    });
}
