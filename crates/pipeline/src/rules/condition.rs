//! Conditions on items, evaluated on their bytes.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use model::Signal;
use regex::Regex;
use wire::WireError;
use wire::edit::{Item, Kind};
use wire::otlp::traces::Span;
use wire::otlp::{AnyValue, KeyValue, Scope, View};
use wire::rw::v1;
use wire::walk::fields;

use super::settings::FieldName;

/// A condition, checked.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    Any(Vec<Self>),
    All(Vec<Self>),
    None(Vec<Self>),
    /// All tests hold of the subject.
    Test(Subject, Vec<Test>),
}

/// What a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Attribute(String),
    Resource(String),
    Field(FieldName),
}

/// One test on a value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Exists(bool),
    Is(Vec<Wanted>),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Matches(Regex),
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    /// From the first to the second number of one of these.
    Within(Vec<(f64, f64)>),
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Bool(bool),
    Number(f64),
    Text(String),
}

/// A value of an item.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// An array, a map or bytes: it exists, and that is all there is to say.
    Other,
}

/// An item with what is known of it, read when it is asked for.
pub(super) struct Facts<'a> {
    item: Item<'a>,
    signal: Signal,
    source: &'a str,
    span: Cell<Option<Span<'a>>>,
    memo: &'a Memo,
}

/// What conditions on resources, scopes and metrics came to at the last of these: each may stand above a hundred thousand items,
/// and be large. It holds for one request.
#[derive(Debug, Default)]
pub(super) struct Memo(RefCell<Vec<Remembered>>);

/// A condition and the message that it was about, by where they lie, and whether it was met.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    condition: usize,
    message: (usize, usize),
    met: bool,
}

impl Memo {
    fn met(
        &self,
        condition: &Condition,
        message: &[u8],
        judge: impl FnOnce() -> Result<Option<bool>, WireError>,
    ) -> Result<Option<bool>, WireError> {
        let condition = std::ptr::from_ref(condition).addr();
        let message = (message.as_ptr().addr(), message.len());
        let found = self.0.borrow().iter().find(|known| known.condition == condition).copied();
        if let Some(known) = found.filter(|known| known.message == message) {
            return Ok(Some(known.met));
        }
        let Some(met) = judge()? else { return Ok(None) };
        let mut all = self.0.borrow_mut();
        match all.iter_mut().find(|known| known.condition == condition) {
            Some(known) => (known.message, known.met) = (message, met),
            None => all.push(Remembered { condition, message, met }),
        }
        Ok(Some(met))
    }
}

/// Whether one of `conditions` is met; those that this kind of item cannot have are left out of account. `None` when that
/// leaves none.
pub(super) fn any(conditions: &[Condition], facts: &Facts<'_>) -> Result<Option<bool>, WireError> {
    let mut met = None;
    for condition in conditions {
        match condition.met(facts)? {
            Some(true) => return Ok(Some(true)),
            Some(false) => met = Some(false),
            None => {}
        }
    }
    Ok(met)
}

impl Condition {
    fn met(&self, facts: &Facts<'_>) -> Result<Option<bool>, WireError> {
        match self {
            Self::Any(conditions) => any(conditions, facts),
            Self::None(conditions) => Ok(any(conditions, facts)?.map(|met| !met)),
            Self::All(conditions) => {
                let mut met = None;
                for condition in conditions {
                    match condition.met(facts)? {
                        Some(false) => return Ok(Some(false)),
                        Some(true) => met = Some(true),
                        None => {}
                    }
                }
                Ok(met)
            }
            Self::Test(subject, tests) => {
                let judge = || {
                    let value = facts.value(subject)?;
                    Ok(value.map(|value| tests.iter().all(|test| test.holds(value.as_ref()))))
                };
                match facts.above(subject) {
                    Some(message) => facts.memo.met(self, message, judge),
                    None => judge(),
                }
            }
        }
    }
}

impl Test {
    /// Whether it holds of a value, or of there being none.
    fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Exists(false)) };
        let text = |test: &dyn Fn(&str) -> bool| value.text().is_some_and(|text| test(&text));
        let number = |test: &dyn Fn(f64) -> bool| value.number().is_some_and(test);
        match self {
            Self::Exists(exists) => *exists,
            Self::Is(wanted) => wanted.iter().any(|wanted| value.is(wanted)),
            Self::Prefix(with) => text(&|text| text.starts_with(with)),
            Self::Suffix(with) => text(&|text| text.ends_with(with)),
            Self::Contains(what) => text(&|text| text.contains(what)),
            Self::Matches(pattern) => text(&|text| pattern.is_match(text)),
            Self::Above(limit) => number(&|number| number > *limit),
            Self::AtLeast(limit) => number(&|number| number >= *limit),
            Self::Below(limit) => number(&|number| number < *limit),
            Self::AtMost(limit) => number(&|number| number <= *limit),
            Self::Within(ranges) => {
                number(&|number| ranges.iter().any(|(from, to)| (*from..=*to).contains(&number)))
            }
        }
    }
}

impl Value<'_> {
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            Self::Double(number) => Some(Cow::Owned(number.to_string())),
            Self::Bool(bool) => Some(Cow::Borrowed(if *bool { "true" } else { "false" })),
            Self::Other => None,
        }
    }

    /// Senders disagree on whether a status is 200 or "200"; both are.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::Bool(_) | Self::Other => None,
        }
    }

    fn is(&self, wanted: &Wanted) -> bool {
        match (wanted, self) {
            (Wanted::Text(wanted), Self::Text(text)) => wanted == text,
            (Wanted::Text(wanted), _) => self.text().is_some_and(|text| text == *wanted),
            (Wanted::Number(wanted), _) => self.number() == Some(*wanted),
            (Wanted::Bool(wanted), Self::Bool(bool)) => wanted == bool,
            (Wanted::Bool(wanted), Self::Text(text)) => text.parse() == Ok(*wanted),
            (Wanted::Bool(_), _) => false,
        }
    }
}

impl<'a> From<AnyValue<'a>> for Value<'a> {
    fn from(value: AnyValue<'a>) -> Self {
        match value {
            AnyValue::Str(text) => Self::Text(text),
            AnyValue::Int(number) => Self::Int(number),
            AnyValue::Double(number) => Self::Double(number),
            AnyValue::Bool(bool) => Self::Bool(bool),
            _ => Self::Other,
        }
    }
}

impl<'a> Facts<'a> {
    pub(super) fn new(item: Item<'a>, signal: Signal, source: &'a str, memo: &'a Memo) -> Self {
        Self { item, signal, source, span: Cell::new(None), memo }
    }

    /// The message above the item that a subject is about, where it is about none of the item's own.
    fn above(&self, subject: &Subject) -> Option<&'a [u8]> {
        match (subject, self.item.kind) {
            (_, Kind::Series | Kind::Metadata) => None,
            (Subject::Resource(_), _) => Some(self.item.resource),
            (Subject::Field(FieldName::Scope), _) => Some(self.item.scope),
            (Subject::Field(FieldName::Metric), Kind::Point(_)) => Some(self.item.metric),
            _ => None,
        }
    }

    /// The value of a subject: the outer `None` where an item of this kind has no such thing, the inner where this one has not.
    fn value(&self, subject: &Subject) -> Result<Option<Option<Value<'a>>>, WireError> {
        let item = self.item;
        match subject {
            Subject::Field(name) => self.field(*name),
            Subject::Resource(_) if matches!(item.kind, Kind::Series | Kind::Metadata) => Ok(None),
            Subject::Resource(key) => find(item.resource, 1, key).map(Some),
            Subject::Attribute(key) => match item.kind {
                Kind::Span => find(item.raw, 9, key).map(Some),
                Kind::Log => find(item.raw, 6, key).map(Some),
                Kind::Point(attributes) => find(item.raw, attributes, key).map(Some),
                Kind::Series => label(item.raw, key).map(Some),
                Kind::Metadata => Ok(None),
            },
        }
    }

    fn field(&self, name: FieldName) -> Result<Option<Option<Value<'a>>>, WireError> {
        use FieldName as Name;
        let item = self.item;
        let some = |text: &'a str| Some((!text.is_empty()).then_some(Value::Text(text)));
        let is_otlp = !matches!(item.kind, Kind::Series | Kind::Metadata);
        Ok(match (name, item.kind) {
            (Name::Signal, _) => some(self.signal.as_str()),
            (Name::Source, _) => some(self.source),
            (Name::Scope, _) if is_otlp => some(Scope::read(item.scope)?.name),
            (Name::Name, Kind::Span) => some(self.span()?.name),
            (Name::Kind, Kind::Span) => Some(kind_name(self.span()?.kind).map(Value::Text)),
            (Name::Status, Kind::Span) => Some(status_name(self.span()?.status_code).map(Value::Text)),
            (Name::Duration, Kind::Span) => {
                let span = self.span()?;
                let nanos = span.end.saturating_sub(span.start);
                Some((span.end > 0).then_some(Value::Double(nanos as f64 / 1e6)))
            }
            (Name::Severity, Kind::Log) => Some(severity(item.raw)?.map(Value::Int)),
            (Name::Body, Kind::Log) => Some(body(item.raw)?),
            (Name::Metric, Kind::Point(_)) => some(text(item.metric, 1)?),
            (Name::Metric, Kind::Series) => Some(label(item.raw, "__name__")?),
            (Name::Metric, Kind::Metadata) => some(text(item.raw, 2)?),
            _ => None,
        })
    }

    fn span(&self) -> Result<Span<'a>, WireError> {
        if let Some(span) = self.span.get() {
            return Ok(span);
        }
        let span = Span::read(self.item.raw)?;
        self.span.set(Some(span));
        Ok(span)
    }

    /// The trace id that the item carries itself; empty for none.
    pub(super) fn trace_id(&self) -> Result<&'a [u8], WireError> {
        let number = match self.item.kind {
            Kind::Span => 1,
            Kind::Log => 9,
            _ => return Ok(&[]),
        };
        last(self.item.raw, number)
    }

    /// Whether it tells of an error: a span by its status, a log record by its severity.
    pub(super) fn is_error(&self) -> Result<bool, WireError> {
        Ok(match self.item.kind {
            Kind::Span => self.span()?.status_code == 2,
            Kind::Log => severity(self.item.raw)?.is_some_and(|number| number >= 17),
            _ => false,
        })
    }
}

/// The last occurrence of a length-delimited field.
fn last(message: &[u8], number: u32) -> Result<&[u8], WireError> {
    let mut found: &[u8] = &[];
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            found = field.bytes()?;
        }
    }
    Ok(found)
}

fn text(message: &[u8], number: u32) -> Result<&str, WireError> {
    simdutf8::basic::from_utf8(last(message, number)?).map_err(|_| WireError::Utf8(number))
}

/// The first attribute of this name in field `number`. Values of others are not read.
fn find<'a>(message: &'a [u8], number: u32, key: &str) -> Result<Option<Value<'a>>, WireError> {
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            let pair = field.bytes()?;
            if last(pair, 1)? == key.as_bytes() {
                return Ok(match KeyValue::read(pair)?.value {
                    AnyValue::Empty => None,
                    value => Some(value.into()),
                });
            }
        }
    }
    Ok(None)
}

fn label<'a>(series: &'a [u8], name: &str) -> Result<Option<Value<'a>>, WireError> {
    for label in (v1::Series { raw: series }).labels() {
        let (found, value) = label?;
        if found == name {
            // Prometheus: an empty label is none.
            return Ok((!value.is_empty()).then_some(Value::Text(value)));
        }
    }
    Ok(None)
}

fn body(record: &[u8]) -> Result<Option<Value<'_>>, WireError> {
    Ok(match AnyValue::read(last(record, 5)?)? {
        AnyValue::Empty => None,
        value => Some(value.into()),
    })
}

/// The number of a severity, from its text where there is no number.
fn severity(record: &[u8]) -> Result<Option<i64>, WireError> {
    let (mut number, mut word): (i64, &[u8]) = (0, &[]);
    for field in fields(record) {
        let field = field?;
        match field.number {
            2 => number = field.varint()? as i64,
            3 => word = field.bytes()?,
            _ => {}
        }
    }
    let by_word = || {
        let known = SEVERITIES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        known.map(|(_, first)| *first)
    };
    Ok(if number == 0 { by_word() } else { Some(number) })
}

/// The names of severities and the first of the four numbers of each (OpenTelemetry, "Severity Fields").
pub(super) const SEVERITIES: [(&str, i64); 7] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("warning", 13), ("error", 17), ("fatal", 21)];

/// The kinds of spans by their numbers.
pub(super) const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// The statuses of spans by their numbers.
pub(super) const STATUSES: [&str; 3] = ["unset", "ok", "error"];

fn kind_name(number: i32) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(|number| KINDS.get(number)).copied()
}

fn status_name(number: i32) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(|number| STATUSES.get(number)).copied()
}
