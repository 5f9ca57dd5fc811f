//! Words to a filter, by recursive descent.

use regex::{Regex, RegexBuilder};
use rows::{Filter, Order, Subject, Test};

use super::words::{Kind, Word, split};
use super::{Field, Query};
use crate::params::duration;

/// Parentheses in each other.
const DEEPEST: usize = 32;
/// Comparisons in a query.
const MOST_COMPARISONS: usize = 64;
/// Expressions in a query, the bytes of each, and what it may take in memory: making one costs time in proportion.
const MOST_EXPRESSIONS: usize = 8;
const LONGEST_EXPRESSION: usize = 1 << 10;
const MOST_EXPRESSION: usize = 1 << 20;

pub(super) fn query(text: &str) -> Result<Query, String> {
    let mut reader = Reader {
        words: split(text)?,
        next: 0,
        end: text.len(),
        fields: Vec::new(),
        comparisons: 0,
        expressions: 0,
    };
    reader.sign("{")?;
    let filter = if reader.is_sign("}") { Filter::All(Vec::new()) } else { reader.any(0)? };
    reader.sign("}")?;
    if reader.is_sign("|") {
        reader.next += 1;
        reader.select()?;
    }
    match reader.words.get(reader.next) {
        None => Ok(Query { filter, fields: reader.fields }),
        Some(word) => {
            Err(format!("{} is not supported behind one pair of braces", shown(Some(word), text.len())))
        }
    }
}

struct Reader {
    words: Vec<Word>,
    next: usize,
    /// The length of the text.
    end: usize,
    fields: Vec<Field>,
    comparisons: usize,
    expressions: usize,
}

impl Reader {
    fn any(&mut self, depth: usize) -> Result<Filter, String> {
        let mut any = vec![self.all(depth)?];
        while self.is_sign("||") {
            self.next += 1;
            any.push(self.all(depth)?);
        }
        Ok(alone(any, Filter::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Filter, String> {
        let mut all = vec![self.one(depth)?];
        while self.is_sign("&&") {
            self.next += 1;
            all.push(self.one(depth)?);
        }
        Ok(alone(all, Filter::All))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, String> {
        if self.is_sign("(") {
            if depth >= DEEPEST {
                return Err(format!("parentheses nest deeper than {DEEPEST}"));
            }
            self.next += 1;
            let inside = self.any(depth + 1)?;
            self.sign(")")?;
            return Ok(inside);
        }
        self.comparisons += 1;
        if self.comparisons > MOST_COMPARISONS {
            return Err(format!("more than {MOST_COMPARISONS} comparisons"));
        }
        match self.plain("an attribute or a property of a span")?.as_str() {
            "true" => Ok(Filter::All(Vec::new())),
            "false" => Ok(Filter::Any(Vec::new())),
            name => {
                let field = Field::parse(name)?;
                self.note(&field);
                self.comparison(&field)
            }
        }
    }

    fn comparison(&mut self, field: &Field) -> Result<Filter, String> {
        let sign = match self.words.get(self.next).map(|word| &word.kind) {
            Some(Kind::Sign(sign @ ("=" | "!=" | "<" | "<=" | ">" | ">=" | "=~" | "!~"))) => *sign,
            // An attribute alone is true where it is.
            Some(Kind::Sign("&&" | "||" | ")" | "}")) if field.subjects().iter().all(is_attribute) => {
                return Ok(field.is(&Test::Text(Order::Equal, "true".to_owned())));
            }
            _ => return Err(format!("expected a comparison, not {}", self.shown())),
        };
        self.next += 1;
        let shown = self.shown();
        let value = self.words.get(self.next).map(|word| word.kind.clone());
        self.next += 1;
        self.expressions += usize::from(matches!(sign, "=~" | "!~"));
        if self.expressions > MOST_EXPRESSIONS {
            return Err(format!("more than {MOST_EXPRESSIONS} regular expressions"));
        }
        let expression =
            |text: &str| whole(text).map_err(|error| format!("{shown} is no expression: {error}"));
        let test = match (sign, value) {
            ("=~", Some(Kind::Quoted(text))) => Test::Matches(expression(&text)?),
            ("!~", Some(Kind::Quoted(text))) => Test::Differs(expression(&text)?),
            ("=~" | "!~", _) => return Err(format!("expected an expression in quotes, not {shown}")),
            (sign, Some(Kind::Quoted(text))) => Test::Text(order(sign), text),
            (sign, Some(Kind::Plain(word))) => match plain(field, sign, &word) {
                Some(test) => test,
                None => return Err(incomparable(field, &shown)),
            },
            _ => return Err(format!("expected a value, not {shown}")),
        };
        if matches!(field, Field::Of(Subject::Duration)) && !matches!(test, Test::Number(..)) {
            return Err(incomparable(field, &shown));
        }
        Ok(field.is(&test))
    }

    /// `select(…)`, behind its bar.
    fn select(&mut self) -> Result<(), String> {
        let shown = self.shown();
        let name = self.plain("select")?;
        if name != "select" {
            return Err(format!("{shown} is not supported; | select(…) is"));
        }
        self.sign("(")?;
        loop {
            let field = Field::parse(&self.plain("an attribute or a property of a span")?)?;
            self.note(&field);
            if self.is_sign(")") {
                self.next += 1;
                return Ok(());
            }
            self.sign(",")?;
        }
    }

    fn note(&mut self, field: &Field) {
        if !self.fields.contains(field) && self.fields.len() < MOST_COMPARISONS {
            self.fields.push(field.clone());
        }
    }

    fn plain(&mut self, what: &str) -> Result<String, String> {
        match self.words.get(self.next).map(|word| &word.kind) {
            Some(Kind::Plain(word)) => {
                let word = word.clone();
                self.next += 1;
                Ok(word)
            }
            _ => Err(format!("expected {what}, not {}", self.shown())),
        }
    }

    fn sign(&mut self, wanted: &str) -> Result<(), String> {
        if !self.is_sign(wanted) {
            return Err(format!("expected {wanted}, not {}", self.shown()));
        }
        self.next += 1;
        Ok(())
    }

    fn is_sign(&self, wanted: &str) -> bool {
        matches!(self.words.get(self.next), Some(Word { kind: Kind::Sign(sign), .. }) if *sign == wanted)
    }

    /// The word at hand, for an error.
    fn shown(&self) -> String {
        shown(self.words.get(self.next), self.end)
    }
}

fn shown(word: Option<&Word>, end: usize) -> String {
    match word {
        None => format!("the end at byte {end}"),
        Some(Word { at, kind }) => {
            let text = match kind {
                Kind::Plain(text) => text,
                Kind::Quoted(text) => text,
                Kind::Sign(sign) => *sign,
            };
            format!("{:?} at byte {at}", crate::traces::shortened(text))
        }
    }
}

fn alone(mut parts: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(part) if parts.is_empty() => part,
        Some(part) => {
            parts.push(part);
            many(parts)
        }
        None => many(parts),
    }
}

fn is_attribute(subject: &Subject) -> bool {
    matches!(subject, Subject::Attribute(_) | Subject::Resource(_))
}

fn incomparable(field: &Field, value: &str) -> String {
    match field {
        Field::Of(Subject::Duration) => format!("duration is compared with one like 10ms, not with {value}"),
        _ => format!("{} cannot be compared with {value}", field.name()),
    }
}

/// A comparison with a value that is not in quotes.
fn plain(field: &Field, sign: &str, word: &str) -> Option<Test> {
    let equality = matches!(sign, "=" | "!=");
    match (field, word) {
        (_, "nil") if equality => Some(if sign == "=" { Test::Missing } else { Test::Present }),
        (Field::Of(Subject::Duration), _) => {
            let nanos = duration(word).filter(|_| word != "0")?;
            Some(Test::Number(order(sign), nanos))
        }
        (Field::Of(Subject::Status), "ok" | "error" | "unset")
        | (
            Field::Of(Subject::Kind),
            "unspecified" | "internal" | "server" | "client" | "producer" | "consumer",
        ) if equality => Some(Test::Text(order(sign), word.to_owned())),
        (Field::Of(Subject::Attribute(_) | Subject::Resource(_)) | Field::Either(_), "true" | "false")
            if equality =>
        {
            Some(Test::Text(order(sign), word.to_owned()))
        }
        (Field::Of(Subject::Attribute(_) | Subject::Resource(_)) | Field::Either(_), _) => {
            let number: f64 = word.parse().ok()?;
            number.is_finite().then_some(Test::Number(order(sign), number))
        }
        _ => None,
    }
}

fn order(sign: &str) -> Order {
    match sign {
        "=" => Order::Equal,
        "!=" => Order::Unequal,
        "<" => Order::Less,
        "<=" => Order::LessOrEqual,
        ">" => Order::Greater,
        _ => Order::GreaterOrEqual,
    }
}

/// An expression that has to match from the beginning to the end.
fn whole(text: &str) -> Result<Regex, String> {
    if text.len() > LONGEST_EXPRESSION {
        return Err(format!("it is longer than {LONGEST_EXPRESSION} bytes"));
    }
    let build = |text: &str| {
        RegexBuilder::new(text).size_limit(MOST_EXPRESSION).dfa_size_limit(MOST_EXPRESSION).build()
    };
    // Alone first: `a)|(b` is an expression only between parentheses.
    build(text).and_then(|_| build(&format!("^(?:{text})$"))).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("it is larger than {MOST_EXPRESSION} bytes"),
        other => other.to_string().lines().last().unwrap_or("it cannot be read").to_owned(),
    })
}

#[cfg(test)]
mod tests;
