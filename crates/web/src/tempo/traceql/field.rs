//! What TraceQL can compare: a span's own properties, and attributes with or without a scope.

use rows::{Filter, Order, Span, Subject, Test};
use serde_json::Value;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tempo) enum Field {
    /// With a place of its own.
    Of(Subject),
    /// An attribute of the span, or, where it has none of this name, of its resource.
    Either(String),
}

/// A span's own properties, by the names that TraceQL has for them.
pub(in crate::tempo) const INTRINSICS: [(&str, Subject); 12] = [
    ("duration", Subject::Duration),
    ("kind", Subject::Kind),
    ("name", Subject::Name),
    ("status", Subject::Status),
    ("statusMessage", Subject::StatusMessage),
    ("span:duration", Subject::Duration),
    ("span:kind", Subject::Kind),
    ("span:name", Subject::Name),
    ("span:status", Subject::Status),
    ("span:statusMessage", Subject::StatusMessage),
    ("instrumentation:name", Subject::ScopeName),
    ("instrumentation:version", Subject::ScopeVersion),
];

impl Field {
    /// Reads a field.
    ///
    /// # Errors
    /// It is not supported, or no field.
    pub(in crate::tempo) fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, subject)) = INTRINSICS.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Of(subject.clone()));
        }
        let named = |key: &str| (!key.is_empty()).then(|| key.to_owned());
        let field = match text {
            "resource.service.name" => Some(Self::Of(Subject::Service)),
            _ if text.starts_with('.') => named(&text[1..]).map(Self::Either),
            _ => match text.split_once('.') {
                Some(("span", key)) => named(key).map(|key| Self::Of(Subject::Attribute(key))),
                Some(("resource", key)) => named(key).map(|key| Self::Of(Subject::Resource(key))),
                _ => None,
            },
        };
        field.ok_or_else(|| {
            format!(
                "{text:?} is not supported; span.…, resource.…, .… and {} are",
                INTRINSICS.map(|(name, _)| name).join(", ")
            )
        })
    }

    /// Its name as an attribute of a span in an answer.
    pub(in crate::tempo) fn name(&self) -> &str {
        match self {
            Self::Of(Subject::Service) => "service.name",
            Self::Of(Subject::Attribute(key) | Subject::Resource(key)) | Self::Either(key) => key,
            Self::Of(subject) => {
                INTRINSICS.iter().find(|(_, known)| known == subject).map_or("", |(name, _)| name)
            }
        }
    }

    /// Its value in a span; `None` where it has none.
    pub(in crate::tempo) fn value(&self, span: &Span) -> Option<Value> {
        let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
        match self {
            Self::Either(key) => span.attributes.get(key).or_else(|| span.resource.get(key)).cloned(),
            Self::Of(Subject::Attribute(key)) => span.attributes.get(key).cloned(),
            Self::Of(Subject::Resource(key)) => span.resource.get(key).cloned(),
            Self::Of(Subject::Service) => text(&span.service),
            Self::Of(Subject::Name) => text(&span.name),
            Self::Of(Subject::Kind) => text(span.kind),
            Self::Of(Subject::Status) => text(span.status),
            Self::Of(Subject::StatusMessage) => text(&span.status_message),
            Self::Of(Subject::ScopeName) => text(&span.scope.name),
            Self::Of(Subject::ScopeVersion) => text(&span.scope.version),
            // The span itself shows it.
            Self::Of(Subject::Duration) => None,
        }
    }

    /// Where it may be.
    pub(in crate::tempo) fn subjects(&self) -> Vec<Subject> {
        match self {
            Self::Of(subject) => vec![subject.clone()],
            Self::Either(key) => vec![Subject::Attribute(key.clone()), Subject::Resource(key.clone())],
        }
    }

    /// Spans of which this is true.
    pub(in crate::tempo) fn is(&self, test: &Test) -> Filter {
        match self {
            // A span without a service has the empty one in the column that is searched fastest.
            Self::Of(Subject::Service) => match test {
                Test::Text(Order::Equal, name) if !name.is_empty() => {
                    Filter::Is(Subject::Service, test.clone())
                }
                _ => Filter::Is(Subject::Resource("service.name".to_owned()), test.clone()),
            },
            Self::Of(subject) => Filter::Is(subject.clone(), test.clone()),
            Self::Either(key) => {
                let (own, above) = (Subject::Attribute(key.clone()), Subject::Resource(key.clone()));
                let hidden = Filter::Is(own.clone(), Test::Missing);
                let above = Filter::All(vec![hidden, Filter::Is(above, test.clone())]);
                match test {
                    Test::Missing => above,
                    _ => Filter::Any(vec![Filter::Is(own, test.clone()), above]),
                }
            }
        }
    }
}
