//! What a span must be to be found, and how a span answers that: the same for a row in memory and for the columns of a file,
//! so that a search never depends on where a span happens to be.
//!
//! Attributes are compared as the map columns hold them, as text: a number 5 and a string `5` are one value to a search.

use std::borrow::Cow;

use regex::Regex;
use wire::otlp::{AnyValue, View, traces};

use crate::row::Row;
use crate::scope::{resource_of, scope_of};
use crate::span::{Span, kind, status};
use crate::value::text;

/// What a span must be.
#[derive(Debug, Clone)]
pub enum Filter {
    /// All of these; every span passes an empty list.
    All(Vec<Filter>),
    /// One of these; no span passes an empty list.
    Any(Vec<Filter>),
    /// One thing about it.
    Is(Subject, Test),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `service.name` of its resource; empty for none.
    Service,
    /// Its name.
    Name,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    Kind,
    /// `unset`, `ok` or `error`.
    Status,
    /// What the status says.
    StatusMessage,
    /// Nanoseconds from start to end; zero where the end comes first.
    Duration,
    /// The name of the instrumentation scope.
    ScopeName,
    /// The version of the instrumentation scope.
    ScopeVersion,
    /// An attribute of its own.
    Attribute(String),
    /// An attribute of its resource.
    Resource(String),
}

/// What must be true of it. But for `Missing`, nothing is true of what is not there.
#[derive(Debug, Clone)]
pub enum Test {
    /// In the order of text.
    Text(Order, String),
    /// As a number; what is none passes no such test.
    Number(Order, f64),
    /// The expression is found in it.
    Matches(Regex),
    /// The expression is not found in it.
    Differs(Regex),
    /// It is there.
    Present,
    /// It is not there.
    Missing,
}

/// How two values stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A span as a search sees it, in a file or in memory. In a file it knows only the columns that were asked for.
pub trait Seen {
    /// When it began, nanoseconds since 1970.
    fn time(&self) -> i64;
    /// Its trace; `None` for none that is valid.
    fn trace(&self) -> Option<[u8; 16]>;
    /// Its id; `None` for none that is valid.
    fn id(&self) -> Option<[u8; 8]>;
    /// Its parent's id; `None` for a root.
    fn parent(&self) -> Option<[u8; 8]>;
    /// Nanoseconds from start to end.
    fn duration(&self) -> i64;
    /// The text of anything but the duration.
    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>>;
    /// Calls `each` with the keys of its own attributes, or of its resource's.
    fn keys(&self, of: Keys, each: &mut dyn FnMut(&str));
}

/// Whose attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The span's own.
    Span,
    /// Its resource's.
    Resource,
}

impl Filter {
    /// Whether a span passes.
    pub fn passes(&self, seen: &dyn Seen) -> bool {
        match self {
            Self::All(all) => all.iter().all(|filter| filter.passes(seen)),
            Self::Any(any) => any.iter().any(|filter| filter.passes(seen)),
            Self::Is(Subject::Duration, test) => test.number(seen.duration() as f64),
            Self::Is(subject, test) => match (test, seen.text(subject)) {
                (Test::Missing, text) => text.is_none(),
                (_, None) => false,
                (test, Some(text)) => test.text(&text),
            },
        }
    }

    /// Whether a decoded span passes, by the bytes that it was decoded from.
    pub fn matches(&self, span: &Span) -> bool {
        self.passes(&Item::of(span))
    }

    /// The parts of which each must be passed, the cheapest first.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        let mut parts = match self {
            Self::All(all) => all.iter().flat_map(Self::parts).collect(),
            other => vec![other],
        };
        parts.sort_by_key(|part| part.cost());
        parts
    }

    /// The columns that it looks at.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        match self {
            Self::All(some) | Self::Any(some) => some.iter().flat_map(Self::columns).collect(),
            Self::Is(subject, _) => vec![subject.column()],
        }
    }

    /// The service that every span which passes is of, where the filter says that.
    pub(crate) fn service(&self) -> Option<&str> {
        self.parts().into_iter().find_map(|part| match part {
            Self::Is(Subject::Service, Test::Text(Order::Equal, name)) => Some(&**name),
            _ => None,
        })
    }

    fn cost(&self) -> u32 {
        match self {
            Self::All(some) | Self::Any(some) => some.iter().map(Self::cost).sum(),
            // Files are sorted by it, so that it leaves out whole pages.
            Self::Is(Subject::Service, _) => 0,
            Self::Is(Subject::Attribute(_) | Subject::Resource(_), _) => 100,
            Self::Is(_, _) => 1,
        }
    }
}

impl Subject {
    /// The column that holds it.
    pub fn column(&self) -> &'static str {
        match self {
            Self::Service => "service_name",
            Self::Name => "name",
            Self::Kind => "kind",
            Self::Status => "status",
            Self::StatusMessage => "status_message",
            Self::Duration => "duration_ns",
            Self::ScopeName => "scope_name",
            Self::ScopeVersion => "scope_version",
            Self::Attribute(_) => "attributes",
            Self::Resource(_) => "resource_attributes",
        }
    }
}

impl Test {
    fn text(&self, text: &str) -> bool {
        match self {
            Self::Text(order, wanted) => order.holds(Some(text.cmp(wanted.as_str()))),
            Self::Number(..) => text.parse().is_ok_and(|number| self.number(number)),
            Self::Matches(expression) => expression.is_match(text),
            Self::Differs(expression) => !expression.is_match(text),
            Self::Present => true,
            Self::Missing => false,
        }
    }

    fn number(&self, number: f64) -> bool {
        match self {
            Self::Number(order, wanted) => order.holds(number.partial_cmp(wanted)),
            Self::Present => true,
            Self::Missing => false,
            other => other.text(&number.to_string()),
        }
    }
}

impl Order {
    /// Whether it holds between two values that compare like this; what cannot be compared is unequal, and no more.
    fn holds(self, found: Option<std::cmp::Ordering>) -> bool {
        use std::cmp::Ordering;
        match self {
            Self::Equal => found == Some(Ordering::Equal),
            Self::Unequal => found != Some(Ordering::Equal),
            Self::Less => found == Some(Ordering::Less),
            Self::LessOrEqual => matches!(found, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => found == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(found, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// A span's own bytes, looked at where they are.
pub(crate) struct Item<'a> {
    time: i64,
    service: &'a str,
    resource: &'a [u8],
    scope: &'a [u8],
    span: traces::Span<'a>,
}

impl<'a> Item<'a> {
    /// Of a span that cannot be read all is empty, as its columns are.
    pub(crate) fn new(row: &Row<'a>) -> Self {
        let span = traces::Span::read(row.raw).unwrap_or_default();
        Self { time: row.time, service: row.service, resource: row.resource, scope: row.scope, span }
    }

    fn of(span: &'a Span) -> Self {
        let bytes = &span.bytes;
        let view = traces::Span::read(&bytes.span).unwrap_or_default();
        Self {
            time: i64::try_from(span.start).unwrap_or(i64::MAX),
            service: &span.service,
            resource: &bytes.resource,
            scope: &bytes.scope,
            span: view,
        }
    }

    fn scope(&self) -> wire::otlp::Scope<'a> {
        scope_of(self.scope).ok().flatten().unwrap_or_default()
    }

    /// Calls `each` with attributes until it has an answer.
    fn attributes<T>(&self, of: Keys, mut each: impl FnMut(&'a str, AnyValue<'a>) -> Option<T>) -> Option<T> {
        let attributes = match of {
            Keys::Span => self.span.attributes(),
            Keys::Resource => resource_of(self.resource).ok().flatten()?.attributes(),
        };
        attributes.map_while(Result::ok).find_map(|pair| each(pair.key, pair.value))
    }
}

impl Seen for Item<'_> {
    fn time(&self) -> i64 {
        self.time
    }

    fn trace(&self) -> Option<[u8; 16]> {
        self.span.trace_id.try_into().ok().filter(|id| *id != [0; 16])
    }

    fn id(&self) -> Option<[u8; 8]> {
        self.span.span_id.try_into().ok().filter(|id| *id != [0; 8])
    }

    fn parent(&self) -> Option<[u8; 8]> {
        self.span.parent_span_id.try_into().ok().filter(|id| *id != [0; 8])
    }

    fn duration(&self) -> i64 {
        i64::try_from(self.span.end.saturating_sub(self.span.start)).unwrap_or(i64::MAX)
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        let some = |text| (!str::is_empty(text)).then_some(Cow::Borrowed(text));
        let attribute =
            |of, wanted: &str| self.attributes(of, |key, value| (key == wanted).then(|| owned(value)));
        match subject {
            Subject::Service => Some(Cow::Borrowed(self.service)),
            Subject::Name => Some(Cow::Borrowed(self.span.name)),
            Subject::Kind => Some(Cow::Borrowed(kind(self.span.kind))),
            Subject::Status => Some(Cow::Borrowed(status(self.span.status_code))),
            Subject::StatusMessage => some(self.span.status_message),
            Subject::Duration => None,
            Subject::ScopeName => some(self.scope().name),
            Subject::ScopeVersion => some(self.scope().version),
            Subject::Attribute(key) => attribute(Keys::Span, key),
            Subject::Resource(key) => attribute(Keys::Resource, key),
        }
    }

    fn keys(&self, of: Keys, each: &mut dyn FnMut(&str)) {
        self.attributes::<()>(of, |key, _| {
            each(key);
            None
        });
    }
}

fn owned(value: AnyValue<'_>) -> Cow<'_, str> {
    match value {
        AnyValue::Str(text) => Cow::Borrowed(text),
        other => {
            let mut scratch = String::new();
            Cow::Owned(text(&other, &mut scratch).to_owned())
        }
    }
}
