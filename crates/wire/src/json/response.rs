//! What an OTLP server answers: `Export…ServiceResponse` with its partial success, and `google.rpc.Status` with
//! RetryInfo. Written for the receivers, read for the sink.

use std::fmt;
use std::time::Duration;

use super::JsonError;
use super::number::{integer, is_literal};
use super::text::Text;
use super::write::quoted;
use crate::walk::{self, Value};
use crate::{Signal, WireError, put};

/// The two encodings of OTLP/HTTP; gRPC knows the first only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// A success with a reservation: items refused, or a warning when none were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partial {
    /// Spans, log records or data points refused; they must not be sent again.
    pub rejected: u64,
    /// Why, for people.
    pub message: String,
}

/// A `google.rpc.Status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// A gRPC code: 3 invalid argument, 14 unavailable ….
    pub code: u32,
    /// Why, for people.
    pub message: String,
    /// The delay of a RetryInfo detail.
    pub retry: Option<Duration>,
}

/// Why an answer was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    /// It is no protobuf.
    Wire(WireError),
    /// It is no JSON of the right form.
    Json(JsonError),
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => error.fmt(f),
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ResponseError {}

impl From<WireError> for ResponseError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<JsonError> for ResponseError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Writes the signal's `Export…ServiceResponse`. Without `partial` everything was taken: no bytes, or `{}`.
pub fn export(signal: Signal, encoding: Encoding, partial: Option<&Partial>) -> Vec<u8> {
    let mut out = Vec::new();
    match (encoding, partial) {
        (Encoding::Protobuf, None) => {}
        (Encoding::Protobuf, Some(partial)) => put::message(&mut out, 1, |out| {
            put::uint(out, 1, partial.rejected.min(i64::MAX as u64));
            put::bytes(out, 2, partial.message.as_bytes());
        }),
        (Encoding::Json, None) => out.extend_from_slice(b"{}"),
        (Encoding::Json, Some(partial)) => {
            let text =
                format!("{{\"partialSuccess\":{{\"{}\":\"{}\"", rejected_key(signal), partial.rejected);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b",\"errorMessage\":");
            quoted(&partial.message, &mut out);
            out.extend_from_slice(b"}}");
        }
    }
    out
}

/// Reads an `Export…ServiceResponse`. `None` when it says nothing: no partial success, or an empty one.
pub fn read_export(
    signal: Signal,
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Option<Partial>, ResponseError> {
    let mut partial = Partial::default();
    match encoding {
        Encoding::Protobuf => {
            for field in walk::fields(bytes) {
                let field = field?;
                if field.number == 1 {
                    read_partial(field.bytes()?, &mut partial)?;
                }
            }
        }
        Encoding::Json => {
            let mut text = Text::new(bytes)?;
            text.object(|text, key| match key {
                "partialSuccess" | "partial_success" if !text.null() => {
                    read_partial_json(signal, text, &mut partial)
                }
                "partialSuccess" | "partial_success" => Ok(()),
                _ => text.skip(),
            })?;
            text.end()?;
        }
    }
    Ok(if partial == Partial::default() { None } else { Some(partial) })
}

/// Writes a `google.rpc.Status`.
pub fn status(encoding: Encoding, status: &Status) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Protobuf => {
            put::uint(&mut out, 1, status.code.into());
            put::bytes(&mut out, 2, status.message.as_bytes());
            if let Some(delay) = status.retry {
                put::message(&mut out, 3, |any| {
                    put::bytes(any, 1, RETRY_INFO.as_bytes());
                    put::message(any, 2, |info| {
                        put::message(info, 1, |duration| {
                            put::uint(duration, 1, delay.as_secs().min(MOST_SECONDS));
                            put::uint(duration, 2, delay.subsec_nanos().into());
                        });
                    });
                });
            }
        }
        Encoding::Json => {
            out.extend_from_slice(format!("{{\"code\":{},\"message\":", status.code).as_bytes());
            quoted(&status.message, &mut out);
            if let Some(delay) = status.retry {
                let (seconds, nanos) = (delay.as_secs().min(MOST_SECONDS), delay.subsec_nanos());
                let detail = format!(
                    ",\"details\":[{{\"@type\":\"{RETRY_INFO}\",\"retryDelay\":\"{seconds}.{nanos:09}s\"}}]"
                );
                out.extend_from_slice(detail.as_bytes());
            }
            out.push(b'}');
        }
    }
    out
}

/// Reads a `google.rpc.Status`; details other than RetryInfo are passed over.
pub fn read_status(encoding: Encoding, bytes: &[u8]) -> Result<Status, ResponseError> {
    let mut status = Status::default();
    match encoding {
        Encoding::Protobuf => {
            for field in walk::fields(bytes) {
                let field = field?;
                match (field.number, field.value) {
                    (1, Value::Varint(code)) => status.code = code as u32,
                    (2, Value::Len(message)) => {
                        status.message = String::from_utf8_lossy(message).into_owned();
                    }
                    (3, Value::Len(any)) => status.retry = read_detail(any)?.or(status.retry),
                    _ => {}
                }
            }
        }
        Encoding::Json => {
            let mut text = Text::new(bytes)?;
            text.object(|text, key| match key {
                "code" => {
                    status.code = small(text, "code")?;
                    Ok(())
                }
                "message" => {
                    status.message = text.string("a string")?.into_owned();
                    Ok(())
                }
                "details" if text.peek() == Some(b'[') => text.array(|text| {
                    status.retry = read_detail_json(text)?.or(status.retry);
                    Ok(())
                }),
                _ => text.skip(),
            })?;
            text.end()?;
        }
    }
    Ok(status)
}

/// The bound of `google.protobuf.Duration`: 10 000 years.
const MOST_SECONDS: u64 = 315_576_000_000;

fn rejected_key(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    }
}

fn read_partial(bytes: &[u8], partial: &mut Partial) -> Result<(), WireError> {
    for field in walk::fields(bytes) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(rejected)) => partial.rejected = u64::try_from(rejected as i64).unwrap_or(0),
            (2, Value::Len(message)) => partial.message = String::from_utf8_lossy(message).into_owned(),
            _ => {}
        }
    }
    Ok(())
}

fn read_partial_json(signal: Signal, text: &mut Text<'_>, partial: &mut Partial) -> Result<(), JsonError> {
    text.object(|text, key| {
        let plain: String = key.chars().filter(|&letter| letter != '_').collect();
        if plain.eq_ignore_ascii_case(rejected_key(signal)) {
            partial.rejected = small(text, rejected_key(signal))?;
            Ok(())
        } else if plain.eq_ignore_ascii_case("errorMessage") && text.peek() == Some(b'"') {
            partial.message = text.string("a string")?.into_owned();
            Ok(())
        } else {
            text.skip()
        }
    })
}

/// A number or a string of digits.
fn small<T: TryFrom<i128>>(text: &mut Text<'_>, name: &'static str) -> Result<T, JsonError> {
    let at = text.at();
    let value = match text.peek() {
        Some(b'"') => {
            let digits = text.string("an integer")?;
            if is_literal(&digits) { integer(&digits) } else { None }
        }
        _ => integer(text.number()?),
    };
    value.and_then(|value| T::try_from(value).ok()).ok_or(JsonError::Range(at, name))
}

/// The delay, if the `Any` is a RetryInfo.
fn read_detail(any: &[u8]) -> Result<Option<Duration>, WireError> {
    let (mut is_retry, mut content) = (false, &[][..]);
    for field in walk::fields(any) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Len(url)) => is_retry = url.ends_with(b"/google.rpc.RetryInfo"),
            (2, Value::Len(value)) => content = value,
            _ => {}
        }
    }
    if !is_retry {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in walk::fields(content) {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        for part in walk::fields(field.bytes()?) {
            let part = part?;
            match (part.number, part.value) {
                (1, Value::Varint(value)) => seconds = u64::try_from(value as i64).unwrap_or(0),
                (2, Value::Varint(value)) => nanos = u32::try_from(value as i64).unwrap_or(0),
                _ => {}
            }
        }
    }
    Ok(Some(Duration::new(seconds.min(MOST_SECONDS), nanos.min(999_999_999))))
}

fn read_detail_json(text: &mut Text<'_>) -> Result<Option<Duration>, JsonError> {
    let (mut is_retry, mut delay) = (false, Duration::ZERO);
    text.object(|text, key| {
        match (key, text.peek()) {
            ("@type", Some(b'"')) => is_retry = text.string("a string")?.ends_with("/google.rpc.RetryInfo"),
            ("retryDelay" | "retry_delay", Some(b'"')) => {
                let at = text.at();
                let shown = text.string("a duration")?;
                delay = read_duration(&shown).ok_or(JsonError::Range(at, "retryDelay"))?;
            }
            _ => text.skip()?,
        }
        Ok(())
    })?;
    Ok(is_retry.then_some(delay))
}

/// `3s`, `0.5s`, `1.000000001s`; a negative delay is none.
fn read_duration(shown: &str) -> Option<Duration> {
    let number = shown.strip_suffix('s')?;
    if number.starts_with('-') {
        return is_literal(number).then_some(Duration::ZERO);
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds.min(MOST_SECONDS), nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];

    #[test]
    fn a_full_success_is_the_empty_message() {
        for signal in Signal::ALL {
            assert_eq!(export(signal, Encoding::Protobuf, None), b"");
            assert_eq!(export(signal, Encoding::Json, None), b"{}");
            for encoding in BOTH {
                assert_eq!(read_export(signal, encoding, &export(signal, encoding, None)), Ok(None));
            }
        }
    }

    #[test]
    fn a_partial_success_reads_back_in_both_encodings() {
        let partial = Partial { rejected: 3, message: "span \"a\"\nhas no trace id".into() };
        for signal in Signal::ALL {
            for encoding in BOTH {
                let bytes = export(signal, encoding, Some(&partial));
                assert_eq!(read_export(signal, encoding, &bytes), Ok(Some(partial.clone())));
            }
        }
        let shown =
            export(Signal::Traces, Encoding::Json, Some(&Partial { rejected: 3, message: "x".into() }));
        assert_eq!(shown, br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#);
    }

    #[test]
    fn answers_of_other_servers_are_understood() {
        let check = |json: &str, expected: Option<Partial>| {
            assert_eq!(read_export(Signal::Logs, Encoding::Json, json.as_bytes()), Ok(expected), "{json}");
        };
        let warning = Partial { rejected: 0, message: "slow down".into() };
        check(r#"{"partialSuccess":{}}"#, None);
        check(r#"{"partialSuccess":null,"other":[1,{}]}"#, None);
        check(
            r#"{"partialSuccess":{"rejectedLogRecords":0,"errorMessage":"slow down"}}"#,
            Some(warning.clone()),
        );
        check(
            r#"{"partial_success":{"rejected_log_records":"0","error_message":"slow down"}}"#,
            Some(warning),
        );
        assert!(read_export(Signal::Logs, Encoding::Json, b"<html>").is_err());
        assert!(read_export(Signal::Logs, Encoding::Protobuf, b"<html>").is_err());
    }

    #[test]
    fn a_status_reads_back_with_its_delay() {
        for retry in
            [None, Some(Duration::ZERO), Some(Duration::from_millis(1500)), Some(Duration::new(7, 1))]
        {
            let sent = Status { code: 14, message: "journal stalled for 4 s".into(), retry };
            for encoding in BOTH {
                assert_eq!(read_status(encoding, &status(encoding, &sent)), Ok(sent.clone()));
            }
        }
    }

    #[test]
    fn a_detail_of_another_type_gives_no_delay() {
        let json = br#"{"code":8,"message":"m","details":[{"@type":"type.googleapis.com/google.rpc.Help"}]}"#;
        assert_eq!(read_status(Encoding::Json, json).expect("valid").retry, None);
    }

    #[test]
    fn durations_are_read_by_the_letter() {
        assert_eq!(read_duration("3s"), Some(Duration::from_secs(3)));
        assert_eq!(read_duration("0.25s"), Some(Duration::from_millis(250)));
        assert_eq!(read_duration("-1s"), Some(Duration::ZERO));
        for bad in ["3", "s", "1.0000000001s", "1e3s", "+1s", " 1s"] {
            assert_eq!(read_duration(bad), None, "{bad}");
        }
    }
}
