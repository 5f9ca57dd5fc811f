//! What a metric point says: the members `metric`, `value` and their like, alike in every schema.

use model::UnixNanos;
use wire::WireError;
use wire::otlp::metrics::{
    Buckets, Exemplar, ExponentialPoint, HistogramPoint, Metric, MetricKind, Number, Point, SummaryPoint,
};
use wire::otlp::{Repeated, Scalars};
use wire::rw::{Count, Histogram, STALE, Span, v1};

use super::View;
use super::item::nanos;
use super::json::{self, Object, Out};

/// Writes the members that tell the measurement; nothing for what is no metric.
pub(super) fn members(view: &View<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    match view {
        View::Log { .. } | View::Span { .. } => Ok(()),
        View::Point { metric, point, .. } => otlp(metric, point, object),
        View::Sample { series, sample } => {
            object.time("start_timestamp", nanos(sample.start));
            series_members(series, "sample", object)?;
            if sample.value_bits == STALE {
                object.member("stale", truth);
            } else {
                object.number("value", f64::from_bits(sample.value_bits));
            }
            Ok(())
        }
        View::Histogram { series, histogram } => {
            object.time("start_timestamp", nanos(histogram.start));
            series_members(series, "native_histogram", object)?;
            native(histogram, object)
        }
        View::Exemplar { series, exemplar } => {
            series_members(series, "exemplar", object)?;
            object.number("value", f64::from_bits(exemplar.value_bits));
            object.member("exemplar", |out| {
                let mut inner = Object::open(out);
                labels(
                    exemplar.labels(),
                    |name| !matches!(name, "trace_id" | "span_id"),
                    "labels",
                    &mut inner,
                )?;
                for name in ["trace_id", "span_id"] {
                    if let Some((_, text)) =
                        exemplar.labels().find_map(|label| label.ok().filter(|(found, _)| *found == name))
                    {
                        inner.text(name, text);
                    }
                }
                inner.close();
                Ok(())
            })
        }
        View::Metadata(metadata) => {
            object.member("metric", |out| {
                let mut inner = Object::open(out);
                inner.text("name", metadata.family);
                inner.text("point", "metadata");
                described(metadata, &mut inner);
                inner.close();
            });
            Ok(())
        }
    }
}

fn truth(out: &mut Out) {
    out.extend_from_slice(b"true");
}

/// Labels as an object; nothing when none is `wanted`.
pub(super) fn labels(
    labels: v1::Labels<'_>,
    wanted: impl Fn(&str) -> bool,
    name: &str,
    object: &mut Object<'_>,
) -> Result<(), WireError> {
    let mut pairs = Vec::new();
    for label in labels {
        let (name, value) = label?;
        if wanted(name) {
            pairs.push((json::settled(name), value));
        }
    }
    if pairs.is_empty() {
        return Ok(());
    }
    json::untangle(&mut pairs, |_| false);
    object.member(name, |out| {
        let mut inner = Object::open(out);
        for (name, value) in &pairs {
            inner.member(name, |out| json::string(value, out));
        }
        inner.close();
    });
    Ok(())
}

const TYPES: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gauge_histogram", "summary", "info", "state_set"];

fn described(metadata: &v1::Metadata<'_>, object: &mut Object<'_>) {
    let kind = usize::try_from(metadata.kind).ok().and_then(|kind| TYPES.get(kind));
    object.text("type", kind.unwrap_or(&TYPES[0]));
    object.text("description", metadata.help);
    object.text("unit", metadata.unit);
}

fn series_members(series: &v1::Series<'_>, point: &str, object: &mut Object<'_>) -> Result<(), WireError> {
    object.member("metric", |out| {
        let mut inner = Object::open(out);
        for label in series.labels() {
            let (name, value) = label?;
            if name == "__name__" {
                inner.text("name", value);
                break;
            }
        }
        inner.text("point", point);
        if let Some(metadata) = series.metadata()? {
            described(&metadata, &mut inner);
        }
        inner.close();
        Ok(())
    })
}

fn otlp(metric: &Metric<'_>, point: &Point<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    let (start, flags) = match point {
        Point::Number(point) => (point.start, point.flags),
        Point::Histogram(point) => (point.start, point.flags),
        Point::Exponential(point) => (point.start, point.flags),
        Point::Summary(point) => (point.start, point.flags),
    };
    object.time("start_timestamp", start);
    object.member("metric", |out| about(metric, out))?;
    if flags & 1 == 1 {
        object.member("no_recorded_value", truth);
    }
    match point {
        Point::Number(point) => number("value", point.value, object),
        Point::Histogram(point) => explicit(point, object)?,
        Point::Exponential(point) => exponential(point, object)?,
        Point::Summary(point) => summary(point, object)?,
    }
    exemplars(point.exemplars(), object)
}

fn about(metric: &Metric<'_>, out: &mut Out) -> Result<(), WireError> {
    let mut object = Object::open(out);
    object.text("name", metric.name);
    let (kind, temporality, monotonic) = match metric.kind {
        MetricKind::None => ("none", 0, false),
        MetricKind::Gauge => ("gauge", 0, false),
        MetricKind::Sum { temporality, monotonic } => ("sum", temporality, monotonic),
        MetricKind::Histogram { temporality } => ("histogram", temporality, false),
        MetricKind::ExponentialHistogram { temporality } => ("exponential_histogram", temporality, false),
        MetricKind::Summary => ("summary", 0, false),
    };
    object.text("type", kind);
    object.text(
        "temporality",
        match temporality {
            1 => "delta",
            2 => "cumulative",
            _ => "",
        },
    );
    if monotonic {
        object.member("monotonic", truth);
    }
    object.text("unit", metric.unit);
    object.text("description", metric.description);
    object.attributes("metadata", metric.metadata())?;
    object.close();
    Ok(())
}

fn number(name: &str, value: Option<Number>, object: &mut Object<'_>) {
    match value {
        None => {}
        Some(Number::Int(value)) => object.integer(name, value),
        Some(Number::Double(bits)) => object.number(name, f64::from_bits(bits)),
    }
}

/// Members for those of the numbers that are there.
fn optional(numbers: [(&str, Option<u64>); 3], object: &mut Object<'_>) {
    for (name, bits) in numbers {
        if let Some(bits) = bits {
            object.number(name, f64::from_bits(bits));
        }
    }
}

fn integers(name: &str, values: Scalars<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    object.list(name, values, |value, out| {
        json::integer(value, out);
        Ok(())
    })
}

/// A list of numbers; when one of them is not finite, all are text and the list is `NAME_text`.
fn doubles(name: &str, values: &[f64], object: &mut Object<'_>) -> Result<(), WireError> {
    let is_text = values.iter().any(|value| !value.is_finite());
    let name = if is_text { format!("{name}_text") } else { name.to_owned() };
    object.list(&name, values.iter().map(Ok), |value, out| {
        if is_text && value.is_finite() {
            json::string(&format!("{value:?}"), out);
        } else {
            json::double(*value, out);
        }
        Ok(())
    })
}

fn from_words(words: Scalars<'_>) -> Result<Vec<f64>, WireError> {
    words.map(|word| word.map(f64::from_bits)).collect()
}

fn explicit(point: &HistogramPoint<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    object.member("histogram", |out| {
        let mut inner = Object::open(out);
        inner.integer("count", point.count);
        optional([("sum", point.sum), ("min", point.min), ("max", point.max)], &mut inner);
        doubles("bounds", &from_words(point.explicit_bounds())?, &mut inner)?;
        integers("counts", point.bucket_counts(), &mut inner)?;
        inner.close();
        Ok(())
    })
}

fn exponential(point: &ExponentialPoint<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    let buckets = |name: &str, buckets: Buckets<'_>, object: &mut Object<'_>| {
        object.member(name, |out| {
            let mut inner = Object::open(out);
            inner.integer("offset", buckets.offset);
            integers("counts", buckets.counts(), &mut inner)?;
            inner.close();
            Ok::<_, WireError>(())
        })
    };
    object.member("exponential_histogram", |out| {
        let mut inner = Object::open(out);
        inner.integer("count", point.count);
        optional([("sum", point.sum), ("min", point.min), ("max", point.max)], &mut inner);
        inner.integer("scale", point.scale);
        inner.integer("zero_count", point.zero_count);
        inner.number("zero_threshold", f64::from_bits(point.zero_threshold));
        buckets("positive", point.positive, &mut inner)?;
        buckets("negative", point.negative, &mut inner)?;
        inner.close();
        Ok(())
    })
}

fn summary(point: &SummaryPoint<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    object.member("summary", |out| {
        let mut inner = Object::open(out);
        inner.integer("count", point.count);
        inner.number("sum", f64::from_bits(point.sum));
        inner.list("quantiles", point.quantiles(), |quantile, out| {
            let mut pair = Object::open(out);
            pair.number("quantile", f64::from_bits(quantile.quantile));
            pair.number("value", f64::from_bits(quantile.value));
            pair.close();
            Ok(())
        })?;
        inner.close();
        Ok(())
    })
}

fn exemplars(exemplars: Repeated<'_, Exemplar<'_>>, object: &mut Object<'_>) -> Result<(), WireError> {
    if exemplars.clone().next().is_none() {
        return Ok(());
    }
    object.list("exemplars", exemplars, |exemplar, out| {
        let mut inner = Object::open(out);
        inner.time("timestamp", exemplar.time);
        number("value", exemplar.value, &mut inner);
        inner.id("trace_id", exemplar.trace_id);
        inner.id("span_id", exemplar.span_id);
        inner.attributes("filtered_attributes", exemplar.filtered_attributes())?;
        inner.close();
        Ok(())
    })
}

fn native(histogram: &Histogram<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    if histogram.is_stale() {
        object.member("stale", truth);
        return Ok(());
    }
    object.member("native_histogram", |out| {
        let mut inner = Object::open(out);
        flavoured("count", histogram.count, &mut inner);
        inner.number("sum", f64::from_bits(histogram.sum_bits));
        inner.integer("schema", histogram.schema);
        inner.number("zero_threshold", f64::from_bits(histogram.zero_threshold));
        flavoured("zero_count", histogram.zero_count, &mut inner);
        let hint = ["", "yes", "no", "gauge"];
        let hint = usize::try_from(histogram.reset_hint).ok().and_then(|at| hint.get(at));
        inner.text("counter_reset", hint.unwrap_or(&""));
        let custom = from_words(histogram.custom_values())?;
        if !custom.is_empty() {
            doubles("bounds", &custom, &mut inner)?;
        }
        spans("positive_spans", histogram.positive_spans(), &mut inner)?;
        deltas("positive_deltas", histogram.positive_deltas(), &mut inner)?;
        floats("positive_counts", histogram.positive_counts(), &mut inner)?;
        spans("negative_spans", histogram.negative_spans(), &mut inner)?;
        deltas("negative_deltas", histogram.negative_deltas(), &mut inner)?;
        floats("negative_counts", histogram.negative_counts(), &mut inner)?;
        inner.close();
        Ok(())
    })
}

fn flavoured(name: &str, count: Option<Count>, object: &mut Object<'_>) {
    match count {
        None => {}
        Some(Count::Int(count)) => object.integer(name, count),
        Some(Count::Float(bits)) => object.number(name, f64::from_bits(bits)),
    }
}

fn spans(name: &str, spans: Repeated<'_, Span>, object: &mut Object<'_>) -> Result<(), WireError> {
    if spans.clone().next().is_none() {
        return Ok(());
    }
    object.list(name, spans, |span, out| {
        let mut inner = Object::open(out);
        inner.integer("offset", span.offset);
        inner.integer("length", span.length);
        inner.close();
        Ok(())
    })
}

fn deltas(
    name: &str,
    deltas: impl Iterator<Item = Result<i64, WireError>>,
    object: &mut Object<'_>,
) -> Result<(), WireError> {
    let mut deltas = deltas.peekable();
    if deltas.peek().is_none() {
        return Ok(());
    }
    object.list(name, deltas, |delta, out| {
        json::integer(delta, out);
        Ok(())
    })
}

fn floats(name: &str, words: Scalars<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    let values = from_words(words)?;
    if values.is_empty() { Ok(()) } else { doubles(name, &values, object) }
}

/// A time in the document's own form: what the item says, else when the gateway received it.
pub(super) fn timestamp(time: UnixNanos, object: &mut Object<'_>) {
    object.member("@timestamp", |out| json::time(time.0, out));
}
