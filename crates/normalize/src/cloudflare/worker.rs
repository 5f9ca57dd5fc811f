//! `workers_trace_events`, and the same events as a Tail Worker posts them: the event is one record, and so is each
//! console line and each exception.

use std::borrow::Cow;

use model::UnixNanos;
use model::id::{Ray, derived};

use super::fields::Field;
use super::http::{Form, attribute, severity, whole};
use super::{MOST_PARTS, Mapper, Service, Source};
use crate::json::{self, Kind, Value};
use crate::log::{DEBUG, ERROR, INFO, Record, Severity, WARN};
use crate::time;
use crate::trace::{Headers, Trace};

/// What an event and all its parts have in common.
struct Event {
    ray: Option<Ray>,
    script: String,
    trace: Trace,
    span: Option<model::SpanId>,
    key: String,
}

impl<'a> Mapper<'a> {
    /// Maps the event in the row.
    pub(super) fn worker(&mut self, source: Source<'a>) {
        let row = &self.row;
        let text_of = |field| row.get(field).map_or(Cow::Borrowed(""), |value| json::text(value, &mut false));
        let inner = row.get(Field::Event);
        let request = inner.and_then(|event| event.get("Request"));
        let mut headers = Headers::default();
        let mut replaced = false;
        if let Some(found) = request.and_then(|request| request.get("Headers")) {
            headers.add(found, &mut replaced);
        }
        let ray = inner
            .and_then(|event| event.get("RayID"))
            .and_then(|value| Ray::parse(std::str::from_utf8(value.raw).ok()?))
            .or_else(|| headers.get(crate::trace::Header::CfRay).and_then(Ray::parse));
        let stamp = row.get(Field::EventTimestampMs).or_else(|| row.get(Field::EventTimestamp));
        let stamp_text = stamp.map_or(Cow::Borrowed(""), |value| json::text(value, &mut false));
        let (script, entrypoint) = (text_of(Field::ScriptName), text_of(Field::Entrypoint));
        let kind = match (text_of(Field::EventType), request) {
            (kind, _) if !kind.is_empty() => kind,
            (_, Some(_)) => Cow::Borrowed("fetch"),
            _ => Cow::Borrowed(""),
        };
        let ray_text = ray.as_ref().map_or("", Ray::as_str);
        let trace = Trace::of(&headers, None);
        let span = match ray {
            Some(ray) => derived::id8("cf.worker", &[ray.as_str(), &script, &entrypoint]),
            None => derived::id8("cf.worker", &[&script, &stamp_text, &kind, &entrypoint]),
        };
        let event = Event {
            ray,
            key: ["workers_trace_events", ray_text, &script, &stamp_text, &kind, &entrypoint].join("|"),
            script: script.into_owned(),
            span: trace.id.map(|_| span),
            trace,
        };

        let status = inner.and_then(|event| event.get("Response")).and_then(|answer| answer.get("Status"));
        let outcome = text_of(Field::Outcome);
        let severity = match outcome.as_ref() {
            "ok" | "" => status.and_then(whole).map_or(INFO, |status| severity(Some(status))),
            "canceled" => WARN,
            _ => ERROR,
        };
        let record = &mut self.record;
        record.start(stamp.and_then(time::millis), self.received, severity, "cloudflare.worker");
        record.replaced |= replaced;
        record.body(source.text);
        common(record, &event, source.text);
        record.str("tidegate.key", &event.key);
        for (key, text) in [
            ("faas.trigger", kind.as_ref()),
            ("cloudflare.outcome", &outcome),
            ("cloudflare.entrypoint", &entrypoint),
        ] {
            if !text.is_empty() {
                record.str(key, text);
            }
        }
        for (field, key) in
            [(Field::CPUTimeMs, "cloudflare.cpu_time_ms"), (Field::WallTimeMs, "cloudflare.wall_time_ms")]
        {
            if let Some(value) = row.get(field) {
                attribute(record, key, value, Form::Count);
            }
        }
        if let Some(version) = row.get(Field::ScriptVersion).and_then(|version| version.get("ID")) {
            record.text("faas.version", version);
        }
        if let Some(name) = row.get(Field::DispatchNamespace) {
            record.text("cloudflare.dispatch_namespace", name);
        }
        if let Some(request) = request {
            for (name, key) in [("Method", "http.request.method"), ("URL", "url.full")] {
                if let Some(value) = request.get(name) {
                    record.text(key, value);
                }
            }
            if let Some(colo) = request.get("cf").and_then(|cf| cf.get("colo")) {
                record.text("cloudflare.colo", colo);
            }
        }
        if let Some(status) = status {
            attribute(record, "http.response.status_code", status, Form::Number);
        }
        let (logs, exceptions) = (row.get(Field::Logs), row.get(Field::Exceptions));
        if logs.map_or(0, parts) > MOST_PARTS || exceptions.map_or(0, parts) > MOST_PARTS {
            record.bool("tidegate.parts_left_out", true);
        }
        self.finish(source, Service::Worker);

        for (at, line) in logs.into_iter().flat_map(Value::elements).take(MOST_PARTS).enumerate() {
            self.console(source, &event, at, line);
        }
        for (at, exception) in exceptions.into_iter().flat_map(Value::elements).take(MOST_PARTS).enumerate() {
            self.exception(source, &event, at, exception);
        }
    }

    fn console(&mut self, source: Source<'a>, event: &Event, at: usize, line: Value<'a>) {
        if line.kind != Kind::Object {
            return;
        }
        let level = line.get("Level").map_or(Cow::Borrowed("log"), |level| json::text(level, &mut false));
        let record = &mut self.record;
        record.start(part_time(line), self.received, console_severity(&level), "cloudflare.worker.console");
        let message =
            line.get("Message").map_or(String::new(), |message| joined(message, &mut record.replaced));
        record.body(message.as_bytes());
        common(record, event, message.as_bytes());
        record.str("tidegate.key", &format!("{}|log|{at}", event.key));
        record.str("cloudflare.worker.console_level", &level);
        self.finish(source, Service::Worker);
    }

    fn exception(&mut self, source: Source<'a>, event: &Event, at: usize, exception: Value<'a>) {
        if exception.kind != Kind::Object {
            return;
        }
        let record = &mut self.record;
        record.start(part_time(exception), self.received, ERROR, "cloudflare.worker.exception");
        let message = exception.get("Message").map_or(String::new(), |m| joined(m, &mut record.replaced));
        record.body(message.as_bytes());
        common(record, event, message.as_bytes());
        record.str("tidegate.key", &format!("{}|exception|{at}", event.key));
        if let Some(name) = exception.get("Name") {
            record.text("exception.type", name);
        }
        record.str("exception.message", &message);
        if let Some(stack) = exception.get("Stack") {
            record.text("exception.stacktrace", stack);
        }
        self.finish(source, Service::Worker);
    }
}

/// Cloudflare's mark where it cut a message.
const CUT: &[u8] = b"<<<Logpush:";

fn common(record: &mut Record, event: &Event, body: &[u8]) {
    record.trace(&event.trace, event.span);
    if let Some(ray) = event.ray {
        record.str("cloudflare.ray_id", ray.as_str());
    }
    if !event.script.is_empty() {
        record.str("faas.name", &event.script);
    }
    if memchr::memmem::find(body, CUT).is_some() {
        record.bool("tidegate.truncated", true);
    }
}

fn parts(list: Value<'_>) -> usize {
    list.elements().count()
}

fn part_time(part: Value<'_>) -> Option<UnixNanos> {
    part.get("TimestampMs").or_else(|| part.get("Timestamp")).and_then(time::millis)
}

/// Console arguments in the order given, with blanks between; what is no string as its JSON.
fn joined(message: Value<'_>, replaced: &mut bool) -> String {
    match message.kind {
        Kind::Array => {
            let texts: Vec<_> = message.elements().map(|element| json::text(element, replaced)).collect();
            texts.join(" ")
        }
        Kind::Null => String::new(),
        _ => json::text(message, replaced).into_owned(),
    }
}

fn console_severity(level: &str) -> Severity {
    match level {
        "debug" => DEBUG,
        "warn" | "warning" => WARN,
        "error" => ERROR,
        _ => INFO,
    }
}
