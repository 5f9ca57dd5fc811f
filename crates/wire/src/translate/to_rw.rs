//! OTLP metrics → the 1.0 layout with private fields, the way Prometheus itself takes OTLP in.
//!
//! Points of one series are gathered and put in order of time. A point that Prometheus has no form for is left out
//! and counted; so is every part of a point that gets lost.

use std::collections::{BTreeMap, HashMap};

use super::limits::MATERIALISED_BYTES;
use super::losses::{Loss, Losses};
use super::names::{self, Family, Naming};
use super::{labels, points, text_of};
use crate::otlp::metrics::{self, Metric, MetricKind, Number, Point};
use crate::otlp::{Attributes, Resource};
use crate::rw::private;
use crate::{WireError, put};

/// How OTLP becomes Prometheus. The default is Prometheus' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How names are made.
    pub names: Naming,
    /// Resource attributes that become labels of every series.
    pub promote: Vec<String>,
    /// Whether the points themselves are written. Without them nothing is left but `target_info`, and their losses are not told.
    pub points: bool,
    /// Whether the other resource attributes become labels of the series `target_info`.
    pub target_info: bool,
    /// Whether the scope becomes labels `otel_scope_…`.
    pub scope_labels: bool,
    /// What becomes of histograms with explicit bounds.
    pub histograms: Histograms,
}

/// The two forms of a histogram with explicit bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Histograms {
    /// One series for each bucket, one for the count and one for the sum.
    Classic,
    /// One native histogram with custom buckets.
    Custom,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            names: Naming::default(),
            promote: Vec::new(),
            points: true,
            target_info: true,
            scope_labels: false,
            histograms: Histograms::Classic,
        }
    }
}

/// Makes a 1.0 request with private fields of an OTLP metrics request.
pub fn otlp_to_rw(plain: &[u8], options: &Options) -> Result<(Vec<u8>, Losses), WireError> {
    let mut out = Out::default();
    let mut losses = Losses::default();
    for resource in metrics::resource_metrics(plain) {
        let resource = resource?;
        let target = Target::read(&resource.resource, options)?;
        let mut times: Option<(u64, u64)> = None;
        for scope in resource.scopes() {
            let scope = scope?;
            let scope_labels = read_scope(&scope, options)?;
            for metric in scope.metrics() {
                let metric = metric?;
                let found = translate(&metric, &target, &scope_labels, options, &mut out, &mut losses)?;
                times = match (times, found) {
                    (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
                    (a, b) => a.or(b),
                };
            }
        }
        if options.target_info
            && let Some(times) = times
        {
            target.write_info(times, &mut out, &mut losses);
        }
    }
    Ok((out.finish(), losses))
}

/// The metadata key under which the way to OTLP keeps the name that Prometheus used.
pub(super) const NAME_KEY: &str = "prometheus.name";

/// The metadata key that names the metric's type in Prometheus; the Collector writes it too.
pub(super) const TYPE_KEY: &str = "prometheus.type";

/// The words of `prometheus.type`, by their numbers in remote-write.
pub(super) const TYPES: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

fn type_number(word: &str) -> Option<u64> {
    TYPES.iter().position(|known| *known == word).map(|number| number as u64)
}

/// The labels of a series in the making.
pub(super) type Labels = BTreeMap<String, String>;

fn translate(
    metric: &Metric<'_>,
    target: &Target,
    scope: &Labels,
    options: &Options,
    out: &mut Out,
    losses: &mut Losses,
) -> Result<Option<(u64, u64)>, WireError> {
    let (kind, family, temporality) = match metric.kind {
        MetricKind::None => return Ok(None),
        MetricKind::Gauge => (2, Family::Gauge, 2),
        MetricKind::Sum { temporality, monotonic: true } => (1, Family::Counter, temporality),
        MetricKind::Sum { temporality, monotonic: false } => (2, Family::Other, temporality),
        MetricKind::Histogram { temporality } | MetricKind::ExponentialHistogram { temporality } => {
            (3, Family::Other, temporality)
        }
        MetricKind::Summary => (5, Family::Other, 2),
    };
    let kind = read_hint(metric, TYPE_KEY)?.and_then(|word| type_number(&word)).unwrap_or(kind);
    let name = read_hint(metric, NAME_KEY)?
        .or_else(|| names::metric(options.names, metric.name, metric.unit, family));
    let refused = match temporality {
        1 => Some(Loss::Delta),
        2 => name.is_none().then_some(Loss::Name),
        _ => Some(Loss::Temporality),
    };
    let unit = names::unit(metric.unit);
    let mut times: Option<(u64, u64)> = None;
    for point in metric.points() {
        let point = point?;
        let time = point.time();
        times = Some(times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        if !options.points {
            continue;
        }
        if let Some(loss) = refused {
            losses.add(loss, 1);
            continue;
        }
        let Some(mut labels) = read_labels(point.attributes(), &[], options.names)? else {
            losses.add(Loss::Name, 1);
            continue;
        };
        target.add_to(&mut labels);
        labels.extend(scope.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut series = points::Series {
            name: name.as_deref().unwrap_or_default(),
            labels,
            metadata: points::Metadata { kind, help: metric.description, unit: &unit },
            out,
            losses,
        };
        match point {
            Point::Number(number) => series.number(&number, point.exemplars())?,
            Point::Histogram(histogram) => match options.histograms {
                Histograms::Classic => series.classic(&histogram, point.exemplars())?,
                Histograms::Custom => series.custom(&histogram, point.exemplars())?,
            },
            Point::Exponential(exponential) => series.exponential(&exponential, point.exemplars())?,
            Point::Summary(summary) => series.summary(&summary)?,
        }
    }
    Ok(times)
}

/// A word of the metric's metadata, which tells what it was in Prometheus.
fn read_hint(metric: &Metric<'_>, key: &str) -> Result<Option<String>, WireError> {
    Ok(match metric.metadata().get(key)? {
        Some(crate::otlp::AnyValue::Str(word)) if !word.is_empty() => Some(word.to_owned()),
        _ => None,
    })
}

/// The labels of attributes: keys in order, made names; values whose keys become one name are joined. Keys in `skip`
/// are passed over. `None` when a key makes no name.
fn read_labels(
    attributes: Attributes<'_>,
    skip: &[&str],
    naming: Naming,
) -> Result<Option<Labels>, WireError> {
    let mut pairs = Vec::new();
    for pair in attributes {
        let pair = pair?;
        if pair.key != "__name__" && !skip.contains(&pair.key) {
            pairs.push((pair.key, text_of::value(&pair.value)?));
        }
    }
    pairs.sort_by_key(|(key, _)| *key);
    let mut labels = Labels::new();
    for (key, value) in pairs {
        let Some(name) = names::label(naming, key) else { return Ok(None) };
        match labels.get_mut(name.as_ref()) {
            Some(joined) if !joined.is_empty() => {
                joined.push(';');
                joined.push_str(&value);
            }
            Some(empty) => *empty = value,
            None => drop(labels.insert(name.into_owned(), value)),
        }
    }
    Ok(Some(labels))
}

fn read_scope(scope: &metrics::ScopeMetrics<'_>, options: &Options) -> Result<Labels, WireError> {
    let mut labels = Labels::new();
    if !options.scope_labels || scope.scope.name.is_empty() {
        return Ok(labels);
    }
    for pair in scope.scope.attributes() {
        let pair = pair?;
        let key = format!("otel_scope_{}", pair.key);
        if let Some(name) = names::label(options.names, &key) {
            labels.insert(name.into_owned(), text_of::value(&pair.value)?);
        }
    }
    for (name, value) in
        [("name", scope.scope.name), ("version", scope.scope.version), ("schema_url", scope.schema_url)]
    {
        labels.insert(format!("otel_scope_{name}"), value.to_owned());
    }
    Ok(labels)
}

/// What a resource is to Prometheus: a target, named by `job` and `instance`.
struct Target {
    job: String,
    instance: String,
    promoted: Labels,
    /// Labels of `target_info`; `None` when an attribute's key makes no name.
    info: Option<Labels>,
    /// Attributes besides the three that name the target.
    others: u64,
}

const IDENTITY: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

impl Target {
    fn read(resource: &Resource<'_>, options: &Options) -> Result<Self, WireError> {
        let text = |key: &str| -> Result<Option<String>, WireError> {
            resource.attributes().get(key)?.map(|value| text_of::value(&value)).transpose()
        };
        let [namespace, name, instance] = IDENTITY;
        let job = match (text(namespace)?, text(name)?) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (None, Some(name)) => name,
            (_, None) => String::new(),
        };
        let instance = text(instance)?.unwrap_or_default();
        let (mut promoted, mut others) = (Labels::new(), 0);
        for pair in resource.attributes() {
            let pair = pair?;
            others += u64::from(!IDENTITY.contains(&pair.key));
            if options.promote.iter().any(|key| key == pair.key)
                && let Some(name) = names::label(options.names, pair.key)
            {
                promoted.insert(name.into_owned(), text_of::value(&pair.value)?);
            }
        }
        let info = read_labels(resource.attributes(), &IDENTITY, options.names)?;
        Ok(Self { job, instance, promoted, info, others })
    }

    fn add_to(&self, labels: &mut Labels) {
        for (name, value) in &self.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.name(labels);
    }

    fn name(&self, labels: &mut Labels) {
        for (name, value) in [("job", &self.job), ("instance", &self.instance)] {
            if !value.is_empty() {
                labels.insert(name.into(), value.clone());
            }
        }
    }

    /// Writes `target_info` from the first to the last time of the resource's points, every 150 s, which is half of
    /// Prometheus' look-back. Times far apart are covered from their end.
    fn write_info(&self, (first, last): (u64, u64), out: &mut Out, losses: &mut Losses) {
        const STEP: u64 = 150_000;
        const MOST_STEPS: u64 = 100;
        if self.others == 0 {
            return;
        }
        let Some(mut labels) =
            self.info.clone().filter(|_| !self.job.is_empty() || !self.instance.is_empty())
        else {
            losses.add(Loss::Resource, self.others);
            return;
        };
        self.name(&mut labels);
        let metadata = points::Metadata { kind: 2, help: "Target metadata", unit: "" };
        let (first, last) = (first / 1_000_000, last / 1_000_000);
        let first = first.max(last.saturating_sub(STEP * MOST_STEPS));
        let times = (first..last).step_by(STEP as usize).chain([last]);
        let Some(series) = out.series("target_info", &labels, metadata) else {
            losses.add(Loss::Size, 1);
            return;
        };
        for time in times {
            series.sample(time as i64, 0, 1f64.to_bits());
        }
    }
}

/// The series written so far.
#[derive(Default)]
pub(super) struct Out {
    by_labels: HashMap<Vec<u8>, usize>,
    list: Vec<Gathered>,
    bytes: usize,
}

/// The points of one series.
pub(super) struct Gathered {
    metadata: Vec<u8>,
    /// Times, and the fields of the points.
    points: Vec<(i64, Vec<u8>)>,
}

impl Out {
    /// The series of these labels; `None` when all labels together exceed the bound.
    pub(super) fn series(
        &mut self,
        name: &str,
        labels: &Labels,
        metadata: points::Metadata<'_>,
    ) -> Option<&mut Gathered> {
        let mut key = Vec::new();
        let mut named = false;
        for (label, value) in labels {
            if !named && label.as_bytes() > labels::METRIC_NAME {
                labels::write(&mut key, 1, (labels::METRIC_NAME, name.as_bytes()));
                named = true;
            }
            if !value.is_empty() {
                labels::write(&mut key, 1, (label.as_bytes(), value.as_bytes()));
            }
        }
        if !named {
            labels::write(&mut key, 1, (labels::METRIC_NAME, name.as_bytes()));
        }
        let index = match self.by_labels.get(&key) {
            Some(&index) => index,
            None => {
                let mut made = Vec::new();
                put::message(&mut made, private::SERIES_METADATA, |out| metadata.write(out));
                self.bytes += key.len() + made.len();
                if self.bytes > MATERIALISED_BYTES {
                    return None;
                }
                self.list.push(Gathered { metadata: made, points: Vec::new() });
                self.by_labels.insert(key, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        self.list.get_mut(index)
    }

    fn finish(mut self) -> Vec<u8> {
        let mut keys: Vec<(Vec<u8>, usize)> = self.by_labels.into_iter().collect();
        keys.sort_by_key(|&(_, index)| index);
        let mut out = Vec::with_capacity(self.bytes * 2);
        for ((key, _), series) in keys.into_iter().zip(&mut self.list) {
            series.points.sort_by_key(|&(time, _)| time);
            put::message(&mut out, 1, |out| {
                out.extend_from_slice(&key);
                for (_, point) in &series.points {
                    out.extend_from_slice(point);
                }
                out.extend_from_slice(&series.metadata);
            });
        }
        out
    }
}

impl Gathered {
    /// Adds a sample; times are milliseconds, a start of 0 is none.
    pub(super) fn sample(&mut self, time: i64, start: i64, bits: u64) {
        self.point(time, 2, |out| {
            put::fixed64(out, 1, bits);
            put::uint(out, 2, time as u64);
            if start != 0 {
                put::uint(out, private::START, start as u64);
            }
        });
    }

    /// Adds a point as this field of the series.
    pub(super) fn point(&mut self, time: i64, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut made = Vec::new();
        put::message(&mut made, field, write);
        self.points.push((time, made));
    }
}

/// Bits of the double nearest to a number, and whether it is another number.
pub(super) fn to_double(number: Number) -> (u64, bool) {
    match number {
        Number::Double(bits) => (bits, false),
        Number::Int(value) => ((value as f64).to_bits(), (value as f64) as i128 != i128::from(value)),
    }
}
