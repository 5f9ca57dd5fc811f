//! Names of the Elastic Common Schema, as nested objects. All fields of a document are gathered as dotted paths, untangled, and
//! written in order; what the gateway itself says of an item wins over an attribute of the same name.

use std::borrow::Cow;

use wire::WireError;
use wire::otlp::AnyValue;
use wire::otlp::attributes::Attributes;
use wire::otlp::logs::LogRecord;
use wire::otlp::traces::Span;

use super::ecs_names::field;
use super::json::{self, Object, Out};
use super::otel::{KINDS, events, links};
use super::{Item, View, metric, raw};

/// The version of the schema that the names are taken from.
const VERSION: &str = "8.11.0";

/// A value at a path.
enum Leaf<'a> {
    Text(&'a str),
    Integer(i64),
    Unsigned(u64),
    Time(u64),
    Id(&'a [u8]),
    Any(AnyValue<'a>),
    /// A truth value as a label, which is text.
    Truth(bool),
}

type Leaves<'a> = Vec<(Cow<'a, str>, Leaf<'a>)>;

/// Appends the item's document.
pub(super) fn write(item: &Item<'_>, out: &mut Out) -> Result<(), WireError> {
    let mut leaves = Leaves::new();
    attributes(item.resource().attributes(), &mut leaves)?;
    text(&mut leaves, "log.logger", item.scope().name);
    attributes(item.attributes(), &mut leaves)?;
    for label in item.labels().into_iter().flatten() {
        let (name, value) = label?;
        if name != "__name__" {
            leaves.push((label_name("labels", name), Leaf::Text(value)));
        }
    }
    match &item.view {
        View::Log { record, .. } => log(record, &mut leaves),
        View::Span { span, .. } => self::span(span, &mut leaves),
        View::Point { .. }
        | View::Sample { .. }
        | View::Histogram { .. }
        | View::Exemplar { .. }
        | View::Metadata(_) => {}
    }
    leaves.push(("@timestamp".into(), Leaf::Time(item.time.0)));
    text(&mut leaves, "ecs.version", VERSION);
    text(&mut leaves, "tidegate.tenant", item.part.origin.tenant.as_str());
    text(&mut leaves, "tidegate.source", item.part.origin.source.as_str());
    json::untangle(&mut leaves, |_| false);

    let mut object = Object::open(out);
    nested(&leaves, object.buffer())?;
    match &item.view {
        View::Log { record, .. } => raw::message(record, &mut object)?,
        View::Span { span, .. } => {
            events(span, &mut object)?;
            links(span, &mut object)?;
        }
        view => metric::members(view, &mut object)?,
    }
    object.close();
    Ok(())
}

fn text<'a>(leaves: &mut Leaves<'a>, path: &'static str, text: &'a str) {
    if !text.is_empty() {
        leaves.push((path.into(), Leaf::Text(text)));
    }
}

fn id<'a>(leaves: &mut Leaves<'a>, path: &'static str, id: &'a [u8]) {
    if !id.is_empty() {
        leaves.push((path.into(), Leaf::Id(id)));
    }
}

fn time(leaves: &mut Leaves<'_>, path: &'static str, nanos: u64) {
    if nanos != 0 {
        leaves.push((path.into(), Leaf::Time(nanos)));
    }
}

fn log<'a>(record: &LogRecord<'a>, leaves: &mut Leaves<'a>) {
    let level = match (record.severity_text, record.severity) {
        ("", 1..=4) => "TRACE",
        ("", 5..=8) => "DEBUG",
        ("", 9..=12) => "INFO",
        ("", 13..=16) => "WARN",
        ("", 17..=20) => "ERROR",
        ("", 21..=24) => "FATAL",
        (text, _) => text,
    };
    text(leaves, "log.level", level);
    if record.severity != 0 {
        leaves.push(("event.severity".into(), Leaf::Integer(record.severity.into())));
    }
    text(leaves, "event.action", record.event_name);
    time(leaves, "event.created", record.observed);
    id(leaves, "trace.id", record.trace_id);
    id(leaves, "span.id", record.span_id);
}

fn span<'a>(span: &Span<'a>, leaves: &mut Leaves<'a>) {
    id(leaves, "trace.id", span.trace_id);
    id(leaves, "span.id", span.span_id);
    id(leaves, "parent.id", span.parent_span_id);
    text(leaves, "span.name", span.name);
    let kind = usize::try_from(span.kind).ok().and_then(|kind| KINDS.get(kind));
    text(leaves, "span.kind", kind.unwrap_or(&KINDS[0]));
    time(leaves, "event.start", span.start);
    time(leaves, "event.end", span.end);
    leaves.push(("event.duration".into(), Leaf::Unsigned(span.end.saturating_sub(span.start))));
    let outcome = match span.status_code {
        1 => "success",
        2 => "failure",
        _ => "unknown",
    };
    text(leaves, "event.outcome", outcome);
    text(leaves, "event.reason", span.status_message);
    text(leaves, "span.trace_state", span.trace_state);
}

fn attributes<'a>(attributes: Attributes<'a>, leaves: &mut Leaves<'a>) -> Result<(), WireError> {
    for pair in attributes {
        let pair = pair?;
        attribute(pair.key, pair.value, leaves)?;
    }
    Ok(())
}

/// Maps become paths; how deep they nest is bounded by the views.
fn attribute<'a>(key: &str, value: AnyValue<'a>, leaves: &mut Leaves<'a>) -> Result<(), WireError> {
    if let AnyValue::Map(members) = value {
        for member in members {
            let member = member?;
            attribute(&format!("{key}.{}", member.key), member.value, leaves)?;
        }
        return Ok(());
    }
    if let Some(field) = field(key) {
        leaves.push((Cow::Owned(json::settled(field).into_owned()), Leaf::Any(value)));
        return Ok(());
    }
    let leaf = match value {
        AnyValue::Int(number) => (label_name("numeric_labels", key), Leaf::Integer(number)),
        AnyValue::Double(number) if number.is_finite() => {
            (label_name("numeric_labels", key), Leaf::Any(AnyValue::Double(number)))
        }
        AnyValue::Bool(truth) => (label_name("labels", key), Leaf::Truth(truth)),
        value => (label_name("labels", key), Leaf::Any(value)),
    };
    leaves.push(leaf);
    Ok(())
}

/// A label's path: the schema has no dots in its name.
fn label_name(set: &str, name: &str) -> Cow<'static, str> {
    let name = name.replace('.', "_");
    let name = if name.trim().is_empty() { "_" } else { &name };
    Cow::Owned(format!("{set}.{name}"))
}

/// Appends the leaves as members, those with the same beginning in one object. They are sorted, and none is another's beginning.
fn nested(leaves: &Leaves<'_>, out: &mut Out) -> Result<(), WireError> {
    let mut open: Vec<&str> = Vec::new();
    for (path, leaf) in leaves {
        let parts: Vec<&str> = path.split('.').collect();
        let (name, above) = parts.split_last().expect("splitting gives at least one part");
        let common = open.iter().zip(above).take_while(|(open, part)| open == part).count();
        out.extend(std::iter::repeat_n(b'}', open.len() - common));
        open.truncate(common);
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        for part in &above[common..] {
            json::string(part, out);
            out.extend_from_slice(b":{");
            open.push(part);
        }
        json::string(name, out);
        out.push(b':');
        value(leaf, out)?;
    }
    out.extend(std::iter::repeat_n(b'}', open.len()));
    Ok(())
}

fn value(leaf: &Leaf<'_>, out: &mut Out) -> Result<(), WireError> {
    match leaf {
        Leaf::Text(text) => json::string(text, out),
        Leaf::Integer(number) => json::integer(number, out),
        Leaf::Unsigned(number) => json::integer(number, out),
        Leaf::Time(nanos) => json::time(*nanos, out),
        Leaf::Id(bytes) => json::hex(bytes, out),
        Leaf::Truth(truth) => json::string(if *truth { "true" } else { "false" }, out),
        Leaf::Any(any) => json::value(any, out)?,
    }
    Ok(())
}
