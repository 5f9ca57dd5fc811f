//! Names of indices and data streams: templates with dates of the event and fields of the item, and what a name may be.

use std::fmt::Write;

use model::{Signal, UnixNanos};
use wire::otlp::AnyValue;

use crate::calendar;
use crate::document::Item;

/// The longest name that the servers take, in bytes.
const LONGEST: usize = 255;

/// A checked template, for one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Date(Vec<Stamp>),
    Field(Field),
}

/// A piece of a date.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    Year,
    ShortYear,
    Month,
    Day,
    Hour,
    Minute,
    Literal(char),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Tenant,
    Source,
    Dataset,
    Service,
    Attribute(String),
    Resource(String),
}

impl Template {
    /// Reads a template for the items of `signal`; the error says what is wrong with it.
    pub(super) fn read(text: &str, signal: Signal) -> Result<Self, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let Some(open) = rest[at..].strip_prefix('{') else {
                return Err(format!("{text:?} has a }} without a {{"));
            };
            let before = &rest[..at];
            literal.push_str(before.strip_suffix('%').unwrap_or(before));
            let Some((inner, after)) = open.split_once('}') else {
                return Err(format!("{text:?} has a {{ without a }}"));
            };
            match piece(inner, signal)? {
                Piece::Literal(text) => literal.push_str(&text),
                piece => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(piece);
                }
            }
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        let template = Self { pieces };
        template.check_literals()?;
        Ok(template)
    }

    fn check_literals(&self) -> Result<(), String> {
        for (at, piece) in self.pieces.iter().enumerate() {
            let Piece::Literal(text) = piece else { continue };
            if let Some(bad) = text.chars().find(|c| is_forbidden(*c)) {
                return Err(format!("{bad:?} cannot be in the name of an index"));
            }
            if at == 0 && text.starts_with(['-', '_', '+']) {
                return Err("the name of an index does not begin with -, _ or +".to_owned());
            }
        }
        match &self.pieces[..] {
            [] => Err("the name is empty".to_owned()),
            [Piece::Literal(only)] if !is_name(only) => Err(format!("{only:?} is no name of an index")),
            _ => Ok(()),
        }
    }

    /// What all names begin with.
    pub(super) fn beginning(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether the name has a date, as no data stream's has.
    pub(super) fn has_date(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Date(_)))
    }

    /// Whether every item has the same name.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(&self.pieces[..], [Piece::Literal(_)])
    }

    /// Writes the item's name into `out`; false when it has none that is allowed.
    pub(super) fn render(&self, item: &Item<'_>, out: &mut String) -> bool {
        out.clear();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Date(stamps) => date(stamps, item.time, out),
                Piece::Field(field) => {
                    if !field.render(item, out) {
                        return false;
                    }
                }
            }
        }
        // Names that begin with a dot are the server's own: no value of a field may make one.
        is_name(out) && (self.beginning().starts_with('.') || !out.starts_with('.'))
    }
}

/// What stands between braces.
fn piece(inner: &str, signal: Signal) -> Result<Piece, String> {
    if let Some(pattern) = inner.strip_prefix('+') {
        return stamps(pattern).map(Piece::Date);
    }
    let named = |prefix: &str| inner.strip_prefix(prefix).filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(Piece::Field(match inner {
        "signal" => return Ok(Piece::Literal(signal.as_str().to_owned())),
        "tenant" => Field::Tenant,
        "source" => Field::Source,
        "dataset" => Field::Dataset,
        "service" => Field::Service,
        _ => match (named("attributes."), named("resource.")) {
            (Some(name), _) => Field::Attribute(name),
            (_, Some(name)) => Field::Resource(name),
            _ => return Err(format!("{{{inner}}} is unknown")),
        },
    }))
}

/// Reads a date pattern as Logstash writes it.
fn stamps(pattern: &str) -> Result<Vec<Stamp>, String> {
    let mut stamps = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let len = rest.chars().take_while(|c| *c == first).map(char::len_utf8).sum();
        let (run, after) = rest.split_at(len);
        rest = after;
        match run {
            "yyyy" | "YYYY" => stamps.push(Stamp::Year),
            "yy" | "YY" => stamps.push(Stamp::ShortYear),
            "MM" => stamps.push(Stamp::Month),
            "dd" => stamps.push(Stamp::Day),
            "HH" => stamps.push(Stamp::Hour),
            "mm" => stamps.push(Stamp::Minute),
            _ if matches!(first, '.' | '-' | '_') => stamps.extend(run.chars().map(Stamp::Literal)),
            _ => return Err(format!("{run:?} in {{+{pattern}}} is none of yyyy, yy, MM, dd, HH, mm")),
        }
    }
    if stamps.is_empty() { Err("{+} names no part of a date".to_owned()) } else { Ok(stamps) }
}

fn date(stamps: &[Stamp], time: UnixNanos, out: &mut String) {
    let [year, month, day, hour, minute, _] = calendar::parts(time);
    for stamp in stamps {
        let _ = match stamp {
            Stamp::Year => write!(out, "{year:04}"),
            Stamp::ShortYear => write!(out, "{:02}", year % 100),
            Stamp::Month => write!(out, "{month:02}"),
            Stamp::Day => write!(out, "{day:02}"),
            Stamp::Hour => write!(out, "{hour:02}"),
            Stamp::Minute => write!(out, "{minute:02}"),
            Stamp::Literal(c) => write!(out, "{c}"),
        };
    }
}

impl Field {
    /// Appends the field's value as far as a name may hold it; false when there is none.
    fn render(&self, item: &Item<'_>, out: &mut String) -> bool {
        let text = |attribute: Option<AnyValue<'_>>| match attribute {
            Some(AnyValue::Str(text)) => text.to_owned(),
            Some(AnyValue::Int(number)) => number.to_string(),
            Some(AnyValue::Bool(truth)) => truth.to_string(),
            _ => String::new(),
        };
        let from = out.len();
        match self {
            Self::Tenant => settled(item.part.origin.tenant.as_str(), out),
            Self::Source => settled(item.source(), out),
            Self::Service => settled(item.resource_text("service.name").unwrap_or_default(), out),
            Self::Dataset => {
                let named =
                    item.text("data_stream.dataset").or_else(|| item.resource_text("telemetry.source"));
                let name = named.unwrap_or_else(|| item.part.origin.source.as_str());
                // Between the parts of a data stream's name stands a dash: none may be in a part.
                settled(&name.replace('-', "_"), out);
            }
            Self::Attribute(name) => match item.labels() {
                Some(_) => settled(item.text(name).unwrap_or_default(), out),
                None => settled(&text(item.attributes().get(name).ok().flatten()), out),
            },
            Self::Resource(name) => {
                settled(&text(item.resource().attributes().get(name).ok().flatten()), out);
            }
        }
        out.len() > from
    }
}

/// Appends `text` in lower case, with `_` for what no name may hold.
fn settled(text: &str, out: &mut String) {
    out.extend(text.chars().flat_map(char::to_lowercase).map(|c| if is_forbidden(c) { '_' } else { c }));
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || c.is_uppercase()
        || matches!(c, '\\' | '/' | '*' | '?' | '"' | '<' | '>' | '|' | ',' | '#' | ':' | '%' | '{' | '}')
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST
        && !matches!(name, "." | "..")
        && !name.starts_with(['-', '_', '+'])
        && !name.chars().any(is_forbidden)
}

#[cfg(test)]
mod tests {
    use model::Layout;
    use wire::{Coding, put};

    use super::*;
    use crate::document::{Mode, each};
    use crate::fixture::{START, parcel, part};

    /// The name for a log record of these attributes; `None` for the fallback.
    fn name(template: &str, attributes: &[(&str, &str)]) -> Option<String> {
        let template = Template::read(template, Signal::Logs).unwrap();
        let mut plain = Vec::new();
        let attribute = |out: &mut Vec<u8>, field, key: &str, value: &str| {
            put::message(out, field, |pair| {
                put::bytes(pair, 1, key.as_bytes());
                put::message(pair, 2, |out| put::bytes(out, 1, value.as_bytes()));
            });
        };
        put::message(&mut plain, 1, |resource| {
            put::message(resource, 1, |out| attribute(out, 1, "service.name", "Shop API"));
            put::message(resource, 2, |logs| {
                put::message(logs, 2, |record| {
                    put::fixed64(record, 1, START.0 - 10 * 3600 * 1_000_000_000);
                    attributes.iter().for_each(|(key, value)| attribute(record, 6, key, value));
                });
            });
        });
        let parcel = parcel(Signal::Logs, Layout::Otlp, vec![part(1, Coding::Plain, &plain, 1)]);
        let mut found = None;
        each(&parcel, Mode::Otel, |item, _| {
            let mut out = String::new();
            found = template.render(item, &mut out).then_some(out);
        })
        .unwrap();
        found
    }

    #[test]
    fn a_name_is_made_of_the_events_day_and_the_items_fields() {
        for (template, expected) in [
            ("cloudflare-logs-%{+yyyy.MM.dd}", "cloudflare-logs-2026.11.20"),
            ("cloudflare-logs-%{+YYYY.MM.dd}", "cloudflare-logs-2026.11.20"),
            ("openfaas-logs", "openfaas-logs"),
            ("{signal}-{dataset}-{tenant}", "logs-test-default"),
            ("x-{+yy-MM_dd.HH.mm}", "x-26-11_20.23.30"),
            ("a-{service}-%{source}", "a-shop_api-test"),
            ("a-{attributes.k}", "a-v_1__.__"),
        ] {
            assert_eq!(name(template, &[("k", "V 1?*./\u{7f}")]).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn what_makes_no_name_falls_back() {
        let long = "x".repeat(260);
        for (template, value) in [
            ("a-{attributes.none}", "v"),
            ("{attributes.k}", "_internal"),
            ("{attributes.k}", ".security"),
            ("{attributes.k}", ".."),
            ("{attributes.k}", ""),
            ("a-{attributes.k}", &long),
        ] {
            assert_eq!(name(template, &[("k", value)]), None, "{template} {value}");
        }
    }

    #[test]
    fn a_template_that_can_make_no_name_is_told() {
        for template in [
            "",
            "Logs",
            "-logs",
            "a b",
            "logs-{",
            "logs-}",
            "{nothing}",
            "{attributes.}",
            "{+yyyy.ww}",
            "{+}",
            "a*",
            "..",
            "_{tenant}",
            "%{}",
        ] {
            assert!(Template::read(template, Signal::Logs).is_err(), "{template}");
        }
    }
}
