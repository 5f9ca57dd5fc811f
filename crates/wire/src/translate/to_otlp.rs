//! The 1.0 layout with private fields → OTLP metrics (specification "Prometheus and OpenMetrics compatibility").
//!
//! Types come from metadata, never from names: a series without becomes a gauge. The name and type that Prometheus
//! used stay with the metric as its metadata, so that the way back finds them.

use std::collections::{BTreeMap, HashMap};

use super::classic::{Parts, Role, role};
use super::histogram::{CUSTOM, Histogram};
use super::labels::{self, METRIC_NAME, Pair};
use super::limits::MATERIALISED_BYTES;
use super::losses::{Loss, Losses};
use super::to_rw::{NAME_KEY, TYPE_KEY, TYPES};
use super::to_v2::{Family, find_family, read_families};
use super::{names, otlp_points};
use crate::rw::private;
use crate::walk;
use crate::{WireError, put};

/// Makes an OTLP metrics request of a 1.0 request with private fields.
pub fn rw_to_otlp(plain: &[u8]) -> Result<(Vec<u8>, Losses), WireError> {
    let mut families = read_families(plain)?;
    let mut read = Vec::new();
    let mut targets = HashMap::new();
    for field in walk::fields(plain) {
        let field = field?;
        if field.number == 1 {
            let series = Series::read(field.bytes()?, &mut families)?;
            if series.name == b"target_info" && series.place != Place::default() {
                targets.insert((series.place.job, series.place.instance), series.labels);
            } else {
                read.push(series);
            }
        }
    }
    let mut out = Out { targets, ..Out::default() };
    for (index, series) in read.iter().enumerate() {
        out.series(index, series)?;
    }
    out.classics(&read);
    let losses = std::mem::take(&mut out.losses);
    Ok((out.finish(), losses))
}

/// One series of the request, its labels sorted to where they belong.
struct Series<'a> {
    raw: &'a [u8],
    name: &'a [u8],
    place: Place<'a>,
    /// The labels that stay with the points.
    labels: Vec<Pair<'a>>,
    metadata: Family<'a>,
}

/// The resource and scope of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Place<'a> {
    job: &'a [u8],
    instance: &'a [u8],
    /// Labels `otel_scope_…` without the beginning.
    scope: Vec<Pair<'a>>,
}

impl<'a> Series<'a> {
    fn read(raw: &'a [u8], families: &mut HashMap<&'a [u8], Family<'a>>) -> Result<Self, WireError> {
        let (mut name, mut place, mut rest, mut metadata) = (&b""[..], Place::default(), Vec::new(), None);
        for field in walk::fields(raw) {
            let field = field?;
            match field.number {
                1 => {
                    let pair = labels::read(field.bytes()?)?;
                    otlp_points::check_text(pair.0)?;
                    otlp_points::check_text(pair.1)?;
                    match pair.0 {
                        METRIC_NAME => name = pair.1,
                        b"job" => place.job = pair.1,
                        b"instance" => place.instance = pair.1,
                        label => match label.strip_prefix(b"otel_scope_") {
                            Some(key) => place.scope.push((key, pair.1)),
                            None => rest.push(pair),
                        },
                    }
                }
                private::SERIES_METADATA => metadata = Some(Family::read(field.bytes()?)?),
                _ => {}
            }
        }
        let metadata = metadata.or_else(|| find_family(families, name).copied()).unwrap_or_default();
        for text in [metadata.help, metadata.unit] {
            otlp_points::check_text(text)?;
        }
        Ok(Self { raw, name, place, labels: rest, metadata })
    }
}

/// What a metric's points are. The order is that of the fields of `Metric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    Gauge,
    Counter,
    UpDown,
    Histogram,
    Exponential,
    Summary,
}

/// A place and a metric in it; the order groups what belongs together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key<'a> {
    place: Place<'a>,
    name: &'a [u8],
    form: Form,
}

/// A metric in the making.
struct Metric<'a> {
    metadata: Family<'a>,
    /// Fields `data_points`.
    points: Vec<u8>,
}

/// Where the parts of one classic histogram or summary meet: place, base name, labels, time.
type Meeting<'a> = (Place<'a>, &'a [u8], Vec<Pair<'a>>, i64);

#[derive(Default)]
struct Out<'a> {
    targets: HashMap<(&'a [u8], &'a [u8]), Vec<Pair<'a>>>,
    metrics: BTreeMap<Key<'a>, Metric<'a>>,
    classics: HashMap<Meeting<'a>, Parts<'a>>,
    losses: Losses,
    bytes: usize,
}

/// Numbers of remote-write's metric types.
mod kind {
    pub(super) const COUNTER: u64 = 1;
    pub(super) const HISTOGRAM: u64 = 3;
    pub(super) const SUMMARY: u64 = 5;
    pub(super) const INFO: u64 = 6;
    pub(super) const STATESET: u64 = 7;
}

impl<'a> Out<'a> {
    fn series(&mut self, index: usize, series: &Series<'a>) -> Result<(), WireError> {
        let mut exemplars = Vec::new();
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        for field in walk::fields(series.raw) {
            let field = field?;
            match field.number {
                2 => samples.push(Sample::read(field.bytes()?)?),
                3 => exemplars.push(otlp_points::exemplar(field.bytes()?, &mut self.losses)?),
                4 | private::CUSTOM_HISTOGRAM => histograms.push(field.bytes()?),
                _ => {}
            }
        }
        if samples.is_empty() && histograms.is_empty() {
            self.losses.add(Loss::Exemplar, exemplars.len() as u64);
            return Ok(());
        }
        // Exemplars belong to the series there and to a point here: they go with the last one.
        let last = samples.len().checked_sub(1);
        for (i, sample) in samples.iter().enumerate() {
            let with = if last == Some(i) { std::mem::take(&mut exemplars) } else { Vec::new() };
            self.sample(index, series, sample, with);
        }
        let last = histograms.len().checked_sub(1);
        for (i, raw) in histograms.into_iter().enumerate() {
            let histogram = Histogram::read(raw)?;
            let with = if last == Some(i) { std::mem::take(&mut exemplars) } else { Vec::new() };
            let form = if histogram.schema == CUSTOM { Form::Histogram } else { Form::Exponential };
            match otlp_points::native(&histogram, &series.labels, &with, &mut self.losses) {
                Ok(point) => self.point(series, series.name, form, &point),
                Err(loss) => self.losses.add(loss, 1),
            }
        }
        Ok(())
    }

    fn sample(&mut self, index: usize, series: &Series<'a>, sample: &Sample, exemplars: Vec<Vec<u8>>) {
        let step: &[u8] = match series.metadata.kind {
            kind::HISTOGRAM => b"le",
            kind::SUMMARY => b"quantile",
            number => {
                let form = match number {
                    kind::COUNTER => Form::Counter,
                    kind::INFO | kind::STATESET => Form::UpDown,
                    _ => Form::Gauge,
                };
                return self.number(series, form, sample, &exemplars);
            }
        };
        let mut rest = series.labels.clone();
        let Some((base, role)) = role(series.name, &mut rest, step) else {
            return self.number(series, Form::Gauge, sample, &exemplars);
        };
        let meeting = (series.place.clone(), base, rest, sample.time);
        let parts = self.classics.entry(meeting).or_default();
        match role {
            Role::Step(bound) => parts.steps.push((bound, sample.bits)),
            Role::Count => parts.count = Some(sample.bits),
            Role::Sum => parts.sum = Some(sample.bits),
        }
        parts.start = parts.start.max(sample.start);
        parts.samples.push((index, sample.bits));
        parts.exemplars.extend(exemplars);
    }

    /// Writes the classic histograms and summaries that are complete, and the samples of the others.
    fn classics(&mut self, read: &[Series<'a>]) {
        let mut classics: Vec<_> = std::mem::take(&mut self.classics).into_iter().collect();
        classics.sort_by_key(|(_, parts)| parts.samples.first().copied());
        for ((_, base, labels, time), mut parts) in classics {
            let first = &read[parts.samples[0].0];
            parts.labels = labels;
            let (form, made) = match first.metadata.kind {
                kind::SUMMARY => (Form::Summary, parts.summary(time, &mut self.losses)),
                _ => (Form::Histogram, parts.histogram(time, &mut self.losses)),
            };
            if let Some(point) = made {
                self.point(first, base, form, &point);
                continue;
            }
            let mut exemplars = parts.exemplars;
            for (index, bits) in parts.samples {
                let series = &read[index];
                let grows = series.name.ends_with(b"_bucket") || series.name.ends_with(b"_count");
                let form = if grows { Form::Counter } else { Form::Gauge };
                let sample = Sample { bits, time, start: parts.start };
                self.number(series, form, &sample, &std::mem::take(&mut exemplars));
            }
        }
    }

    fn number(&mut self, series: &Series<'a>, form: Form, sample: &Sample, exemplars: &[Vec<u8>]) {
        let times = (
            otlp_points::nanos(sample.time, &mut self.losses),
            otlp_points::nanos(sample.start, &mut self.losses),
        );
        let point = otlp_points::number(&series.labels, times, sample.bits, exemplars);
        self.point(series, series.name, form, &point);
    }

    fn point(&mut self, series: &Series<'a>, name: &'a [u8], form: Form, point: &[u8]) {
        self.bytes += point.len();
        if self.bytes > MATERIALISED_BYTES {
            self.losses.add(Loss::Size, 1);
            return;
        }
        let key = Key { place: series.place.clone(), name, form };
        let metric = self.metrics.entry(key);
        let metric = metric.or_insert_with(|| Metric { metadata: series.metadata, points: Vec::new() });
        put::bytes(&mut metric.points, 1, point);
    }

    fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes + self.bytes / 4);
        let metrics: Vec<_> = self.metrics.iter().collect();
        let target = |key: &Key<'a>| (key.place.job, key.place.instance);
        for resource in metrics.chunk_by(|a, b| target(a.0) == target(b.0)) {
            let target = target(resource[0].0);
            put::message(&mut out, 1, |out| {
                put::message(out, 1, |out| write_resource(target, self.targets.get(&target), out));
                for scope in resource.chunk_by(|a, b| a.0.place.scope == b.0.place.scope) {
                    put::message(out, 2, |out| write_scope(scope, out));
                }
            });
        }
        out
    }
}

struct Sample {
    bits: u64,
    /// Milliseconds, as is `start`.
    time: i64,
    start: i64,
}

impl Sample {
    fn read(sample: &[u8]) -> Result<Self, WireError> {
        let mut made = Self { bits: 0, time: 0, start: 0 };
        for field in walk::fields(sample) {
            let field = field?;
            match field.number {
                1 => made.bits = field.fixed64()?,
                2 => made.time = field.varint()? as i64,
                private::START => made.start = field.varint()? as i64,
                _ => {}
            }
        }
        Ok(made)
    }
}

fn write_resource((job, instance): (&[u8], &[u8]), info: Option<&Vec<Pair<'_>>>, out: &mut Vec<u8>) {
    let mut parts = job.split(|&byte| byte == b'/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(name), None) if !namespace.is_empty() && !name.is_empty() => {
            otlp_points::attribute(out, 1, b"service.namespace", namespace);
            otlp_points::attribute(out, 1, b"service.name", name);
        }
        _ if !job.is_empty() => otlp_points::attribute(out, 1, b"service.name", job),
        _ => {}
    }
    if !instance.is_empty() {
        otlp_points::attribute(out, 1, b"service.instance.id", instance);
    }
    otlp_points::attributes(out, 1, info.map_or(&[][..], |info| info));
}

fn write_scope(metrics: &[(&Key<'_>, &Metric<'_>)], out: &mut Vec<u8>) {
    let scope = &metrics[0].0.place.scope;
    if !scope.is_empty() {
        put::message(out, 1, |out| {
            for &(key, value) in scope {
                match key {
                    b"name" => put::bytes(out, 1, value),
                    b"version" => put::bytes(out, 2, value),
                    b"schema_url" => {}
                    _ => otlp_points::attribute(out, 3, key, value),
                }
            }
        });
    }
    for (key, metric) in metrics {
        put::message(out, 2, |out| write_metric(key, metric, out));
    }
    if let Some((_, url)) = scope.iter().find(|(key, _)| *key == b"schema_url") {
        put::bytes(out, 3, url);
    }
}

fn write_metric(key: &Key<'_>, metric: &Metric<'_>, out: &mut Vec<u8>) {
    const CUMULATIVE: u64 = 2;
    put::bytes(out, 1, key.name);
    put::bytes(out, 2, metric.metadata.help);
    // The text was checked when it was read.
    let unit = std::str::from_utf8(metric.metadata.unit).unwrap_or_default();
    put::bytes(out, 3, names::ucum(unit).as_bytes());
    let field = match key.form {
        Form::Gauge => 5,
        Form::Counter | Form::UpDown => 7,
        Form::Histogram => 9,
        Form::Exponential => 10,
        Form::Summary => 11,
    };
    put::message(out, field, |out| {
        out.extend_from_slice(&metric.points);
        if matches!(field, 7 | 9 | 10) {
            put::uint(out, 2, CUMULATIVE);
        }
        if key.form == Form::Counter {
            put::uint(out, 3, 1);
        }
    });
    let word =
        usize::try_from(metric.metadata.kind).ok().and_then(|number| TYPES.get(number)).unwrap_or(&TYPES[0]);
    otlp_points::attribute(out, 12, TYPE_KEY.as_bytes(), word.as_bytes());
    otlp_points::attribute(out, 12, NAME_KEY.as_bytes(), key.name);
}
