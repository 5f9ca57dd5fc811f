//! The items of a parcel, one after the other, with what surrounds each: resource and scope, or metric, or labels.

use model::{Layout, Signal, UnixNanos};
use pipeline::{BodyError, ItemPlace, Parcel, Part};
use wire::WireError;
use wire::otlp::attributes::{Attributes, Resource, Scope};
use wire::otlp::logs::{self, LogRecord};
use wire::otlp::metrics::{self, Metric, Point};
use wire::otlp::traces::{self, Span};
use wire::otlp::{AnyValue, View as _};
use wire::rw::{self, Histogram, Sample, v1};
use wire::walk::fields;

/// One item.
pub(crate) struct Item<'a> {
    /// Its index in the parcel.
    pub(crate) index: u32,
    /// Where it stands.
    pub(crate) place: ItemPlace,
    /// The part that holds it.
    pub(crate) part: &'a Part,
    /// When it happened: its own time, else when it was observed, else when it was received.
    pub(crate) time: UnixNanos,
    /// What it is.
    pub(crate) view: View<'a>,
}

/// What an item is.
#[derive(Debug, Clone)]
pub(crate) enum View<'a> {
    /// A log record.
    Log { resource: Resource<'a>, scope: Scope<'a>, record: LogRecord<'a> },
    /// A span.
    Span { resource: Resource<'a>, scope: Scope<'a>, span: Span<'a> },
    /// A point of an OTLP metric.
    Point { resource: Resource<'a>, scope: Scope<'a>, metric: Metric<'a>, point: Point<'a> },
    /// A sample of a remote-write series.
    Sample { series: v1::Series<'a>, sample: Sample },
    /// A native histogram of a remote-write series.
    Histogram { series: v1::Series<'a>, histogram: Histogram<'a> },
    /// An exemplar of a remote-write series.
    Exemplar { series: v1::Series<'a>, exemplar: v1::Exemplar<'a> },
    /// What a sender says of a metric family.
    Metadata(v1::Metadata<'a>),
}

/// Calls `each` with every item, in the parcel's order.
pub(super) fn each(
    parcel: &Parcel,
    mut each: impl FnMut(&Item<'_>) -> Result<(), WireError>,
) -> Result<(), BodyError> {
    let mut places = parcel.places();
    let mut index = 0;
    for part in &parcel.parts {
        let unreadable = |reason: String| BodyError { offset: part.offset, reason };
        let plain = parcel.part_plain(part)?;
        let mut left = part.len();
        walk(parcel.signal, parcel.layout, &plain, &mut |time, view| {
            let place = places.next().filter(|_| left > 0).ok_or(WireError::TooMany(part.len() as usize))?;
            left -= 1;
            let time = if time == 0 { part.received } else { UnixNanos(time) };
            each(&Item { index, place, part, time, view })?;
            index += 1;
            Ok(())
        })
        .map_err(|error| unreadable(error.to_string()))?;
        if left > 0 {
            return Err(unreadable(format!("{left} items fewer than it counts")));
        }
    }
    Ok(())
}

type Each<'e, 'a> = &'e mut dyn FnMut(u64, View<'a>) -> Result<(), WireError>;

fn walk<'a>(signal: Signal, layout: Layout, plain: &'a [u8], each: Each<'_, 'a>) -> Result<(), WireError> {
    match (signal, layout) {
        (Signal::Logs, _) => logs::each_record(plain, |above, scope, record| {
            let time = if record.time == 0 { record.observed } else { record.time };
            each(time, View::Log { resource: above.resource, scope: scope.scope, record })
        }),
        (Signal::Traces, _) => traces::each_span(plain, |above, scope, span| {
            each(span.start, View::Span { resource: above.resource, scope: scope.scope, span })
        }),
        (Signal::Metrics, Layout::Otlp) => metrics::each_point(plain, |above, scope, metric, point| {
            let (resource, scope) = (above.resource, scope.scope);
            each(point.time(), View::Point { resource, scope, metric: *metric, point })
        }),
        (Signal::Metrics, Layout::RemoteWrite) => {
            for field in fields(plain) {
                let field = field?;
                match field.number {
                    1 => series(v1::Series::read(field.bytes()?)?, each)?,
                    3 => each(0, View::Metadata(v1::Metadata::read(field.bytes()?)?))?,
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

/// The items of a series in wire order.
fn series<'a>(series: v1::Series<'a>, each: Each<'_, 'a>) -> Result<(), WireError> {
    let (mut samples, mut histograms) = (series.samples(), series.histograms());
    let mut exemplars = series.exemplars();
    let missing = WireError::Truncated(0);
    for field in fields(series.raw) {
        match field?.number {
            2 => {
                let sample = samples.next().ok_or(missing)??;
                each(nanos(sample.timestamp), View::Sample { series, sample })?;
            }
            3 => {
                let exemplar = exemplars.next().ok_or(missing)??;
                each(nanos(exemplar.timestamp), View::Exemplar { series, exemplar })?;
            }
            4 | rw::private::CUSTOM_HISTOGRAM => {
                let histogram = histograms.next().ok_or(missing)??;
                each(nanos(histogram.timestamp), View::Histogram { series, histogram })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Milliseconds as nanoseconds; 0, which is unknown, for what is before 1970 or beyond 2554.
pub(super) fn nanos(millis: i64) -> u64 {
    u64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1_000_000)).unwrap_or(0)
}

impl<'a> Item<'a> {
    /// Of a span that stitching has made: its revision, from 1 on, and whether that takes it back.
    pub(crate) fn revision(&self) -> Option<(u64, bool)> {
        let View::Span { span, .. } = &self.view else { return None };
        if !self.part.origin.source.is_stitched() {
            return None;
        }
        let Ok(Some(AnyValue::Int(revision))) = span.attributes().get("tidegate.revision") else {
            return None;
        };
        let is_withdrawn = matches!(span.attributes().get("tidegate.withdrawn"), Ok(Some(_)));
        Some((u64::try_from(revision).ok()?, is_withdrawn))
    }

    /// Its own attributes; remote-write items have labels instead.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        match &self.view {
            View::Log { record, .. } => record.attributes(),
            View::Span { span, .. } => span.attributes(),
            View::Point { point, .. } => point.attributes(),
            View::Sample { .. } | View::Histogram { .. } | View::Exemplar { .. } | View::Metadata(_) => {
                Attributes::new(&[], 1)
            }
        }
    }

    /// Its resource; remote-write items have none.
    pub(crate) fn resource(&self) -> Resource<'a> {
        match &self.view {
            View::Log { resource, .. } | View::Span { resource, .. } | View::Point { resource, .. } => {
                *resource
            }
            View::Sample { .. } | View::Histogram { .. } | View::Exemplar { .. } | View::Metadata(_) => {
                Resource::default()
            }
        }
    }

    /// Its scope; remote-write items have none.
    pub(crate) fn scope(&self) -> Scope<'a> {
        match &self.view {
            View::Log { scope, .. } | View::Span { scope, .. } | View::Point { scope, .. } => *scope,
            View::Sample { .. } | View::Histogram { .. } | View::Exemplar { .. } | View::Metadata(_) => {
                Scope::default()
            }
        }
    }

    /// The labels of a remote-write item's series.
    pub(crate) fn labels(&self) -> Option<v1::Labels<'a>> {
        match &self.view {
            View::Sample { series, .. } | View::Histogram { series, .. } | View::Exemplar { series, .. } => {
                Some(series.labels())
            }
            View::Log { .. } | View::Span { .. } | View::Point { .. } | View::Metadata(_) => None,
        }
    }

    /// The text of the attribute or label `key`, the item's own before its resource's.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        if let Some(mut labels) = self.labels() {
            return labels
                .find_map(|label| label.ok().filter(|(name, _)| *name == key))
                .map(|(_, value)| value);
        }
        let text = |attributes: Attributes<'a>| match attributes.get(key) {
            Ok(Some(AnyValue::Str(text))) => Some(text),
            _ => None,
        };
        text(self.attributes()).or_else(|| self.resource_text(key))
    }

    /// The text of the resource's attribute `key`.
    pub(crate) fn resource_text(&self, key: &str) -> Option<&'a str> {
        match self.resource().attributes().get(key) {
            Ok(Some(AnyValue::Str(text))) => Some(text),
            _ => None,
        }
    }

    /// Who made it, as closely as is known: the feed that a record came from, else the receiver.
    pub(crate) fn source(&self) -> &str {
        self.text("source")
            .or_else(|| self.resource_text("telemetry.source"))
            .unwrap_or_else(|| self.part.origin.source.as_str())
    }
}
