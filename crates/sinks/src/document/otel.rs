//! OpenTelemetry's own names. Attributes keep their dotted keys below `attributes`, `resource.attributes` and `scope.attributes`.

use wire::WireError;
use wire::otlp::AnyValue;
use wire::otlp::logs::LogRecord;
use wire::otlp::traces::Span;

use super::json::{self, Object, Out};
use super::metric::{self, timestamp};
use super::{Item, View};

/// Appends the item's document.
pub(super) fn write(item: &Item<'_>, out: &mut Out) -> Result<(), WireError> {
    let mut object = Object::open(out);
    timestamp(item.time, &mut object);
    match &item.view {
        View::Log { record, .. } => log(record, &mut object)?,
        View::Span { span, .. } => self::span(span, &mut object)?,
        view => metric::members(view, &mut object)?,
    }
    match item.labels() {
        Some(labels) => metric::labels(labels, |name| name != "__name__", "attributes", &mut object)?,
        None => object.own_attributes("attributes", item.attributes())?,
    }
    around(item, &mut object)?;
    object.text("tenant", item.part.origin.tenant.as_str());
    object.text("source", item.part.origin.source.as_str());
    object.close();
    Ok(())
}

fn log(record: &LogRecord<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    object.time("observed_timestamp", record.observed);
    if record.severity != 0 {
        object.integer("severity_number", record.severity);
    }
    object.text("severity_text", record.severity_text);
    object.text("event_name", record.event_name);
    object.id("trace_id", record.trace_id);
    object.id("span_id", record.span_id);
    object.count("trace_flags", record.flags);
    object.count("dropped_attributes_count", record.dropped_attributes);
    match &record.body {
        AnyValue::Empty => Ok(()),
        body => object.member("body", |out| self::body(body, out)),
    }
}

/// Text is `text`, a map is `structured`, values in order are `structured.values`, bytes are `bytes`: so that no field is of two kinds.
fn body(body: &AnyValue<'_>, out: &mut Out) -> Result<(), WireError> {
    let mut object = Object::open(out);
    match body {
        AnyValue::Str(text) => object.member("text", |out| json::string(text, out)),
        AnyValue::Map(_) => object.member("structured", |out| json::value(body, out))?,
        AnyValue::Bytes(_) => object.member("bytes", |out| json::value(body, out))?,
        AnyValue::Array(_) => object.member("structured", |out| {
            let mut inner = Object::open(out);
            inner.member("values", |out| json::value(body, out))?;
            inner.close();
            Ok::<_, WireError>(())
        })?,
        AnyValue::Empty | AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => {
            let mut text = Out::default();
            json::value(body, &mut text)?;
            let text = String::from_utf8_lossy(&text);
            object.member("text", |out| json::string(text.trim_matches('"'), out));
        }
    }
    object.close();
    Ok(())
}

/// The names of a span's kinds.
pub(super) const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

fn span(span: &Span<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    object.time("end_timestamp", span.end);
    object.integer("duration", span.end.saturating_sub(span.start));
    object.id("trace_id", span.trace_id);
    object.id("span_id", span.span_id);
    object.id("parent_span_id", span.parent_span_id);
    object.text("trace_state", span.trace_state);
    object.text("name", span.name);
    let kind = usize::try_from(span.kind).ok().and_then(|kind| KINDS.get(kind));
    object.text("kind", kind.unwrap_or(&KINDS[0]));
    object.count("trace_flags", span.flags);
    status(span, object);
    object.count("dropped_attributes_count", span.dropped_attributes);
    object.count("dropped_events_count", span.dropped_events);
    object.count("dropped_links_count", span.dropped_links);
    events(span, object)?;
    links(span, object)
}

fn status(span: &Span<'_>, object: &mut Object<'_>) {
    if span.status_code == 0 && span.status_message.is_empty() {
        return;
    }
    object.member("status", |out| {
        let mut inner = Object::open(out);
        inner.text(
            "code",
            match span.status_code {
                1 => "ok",
                2 => "error",
                _ => "unset",
            },
        );
        inner.text("message", span.status_message);
        inner.close();
    });
}

/// A span's events; nothing when there are none.
pub(super) fn events(span: &Span<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    if span.events().next().is_none() {
        return Ok(());
    }
    object.list("events", span.events(), |event, out| {
        let mut inner = Object::open(out);
        inner.time("timestamp", event.time);
        inner.text("name", event.name);
        inner.attributes("attributes", event.attributes())?;
        inner.count("dropped_attributes_count", event.dropped_attributes);
        inner.close();
        Ok(())
    })
}

/// A span's links; nothing when there are none.
pub(super) fn links(span: &Span<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    if span.links().next().is_none() {
        return Ok(());
    }
    object.list("links", span.links(), |link, out| {
        let mut inner = Object::open(out);
        inner.id("trace_id", link.trace_id);
        inner.id("span_id", link.span_id);
        inner.text("trace_state", link.trace_state);
        inner.count("trace_flags", link.flags);
        inner.attributes("attributes", link.attributes())?;
        inner.count("dropped_attributes_count", link.dropped_attributes);
        inner.close();
        Ok(())
    })
}

/// Resource and scope, unless they say nothing.
fn around(item: &Item<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    let resource = item.resource().attributes();
    if resource.clone().next().is_some() {
        object.member("resource", |out| {
            let mut inner = Object::open(out);
            inner.own_attributes("attributes", resource)?;
            inner.close();
            Ok::<_, WireError>(())
        })?;
    }
    let scope = item.scope();
    if !scope.raw.is_empty() {
        object.member("scope", |out| {
            let mut inner = Object::open(out);
            inner.text("name", scope.name);
            inner.text("version", scope.version);
            inner.attributes("attributes", scope.attributes())?;
            inner.close();
            Ok::<_, WireError>(())
        })?;
    }
    Ok(())
}
