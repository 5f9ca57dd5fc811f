//! A log record as it was received, for those who know its fields by their senders' names.

use wire::WireError;
use wire::json::object_members;
use wire::otlp::AnyValue;
use wire::otlp::logs::LogRecord;

use super::Item;
use super::json::{self, Object, Out};
use super::metric::timestamp;

/// Appends the record's document. A field `@timestamp` of the record gives way to the record's time, which decides where a document
/// belongs; a field `source` of its own stays.
pub(super) fn write(item: &Item<'_>, record: &LogRecord<'_>, out: &mut Out) -> Result<(), WireError> {
    let (start, lists) = (out.len(), out.lists());
    let text = match record.body {
        AnyValue::Str(text) => text.as_bytes(),
        AnyValue::Bytes(bytes) => bytes,
        _ => b"",
    };
    let mut object = Object::open(out);
    timestamp(item.time, &mut object);
    if text.trim_ascii_start().starts_with(b"{") {
        let mut has_source = false;
        let copied = object_members(text, lists, object.buffer(), |name| {
            has_source |= name == "source";
            name != "@timestamp"
        });
        if copied.is_ok() {
            if !has_source {
                object.text("source", item.source());
            }
            object.close();
            return Ok(());
        }
        // It only began like an object: what was written of it goes.
        out.truncate(start);
        object = Object::open(out);
        timestamp(item.time, &mut object);
    }
    message(record, &mut object)?;
    object.text("source", item.source());
    object.close();
    Ok(())
}

/// The body as text: JSON of what is no text, base64 of bytes that are none.
pub(super) fn message(record: &LogRecord<'_>, object: &mut Object<'_>) -> Result<(), WireError> {
    match &record.body {
        AnyValue::Empty => {}
        AnyValue::Str(text) => object.text("message", text),
        AnyValue::Bytes(bytes) => object.member("message", |out| match std::str::from_utf8(bytes) {
            Ok(text) => json::string(text, out),
            Err(_) => json::base64(bytes, out),
        }),
        body => {
            let mut text = Out::default();
            json::value(body, &mut text)?;
            object.member("message", |out| json::string(&String::from_utf8_lossy(&text), out));
        }
    }
    Ok(())
}
