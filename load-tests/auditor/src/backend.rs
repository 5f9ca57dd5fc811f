//! Back ends: one row each, with what it takes, what it cannot hold, and how often it may have an item.

use std::path::Path;

use crate::content::Run;
use crate::content::sample::STALE;
use crate::item::{Id, Signal};
use crate::read::Found;
use crate::value::{Fields, Value};

/// In which form a back end has items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As spans, log records and points.
    Items,
    /// As Prometheus samples.
    Samples,
}

/// How often a back end may have an item that was acknowledged once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Once, whatever happens.
    Once,
    /// Again after a fault: its protocol has no identity of an item.
    AtLeastOnce,
}

/// What a back end cannot hold: the only ways in which it may differ from what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CannotHold {
    /// Fields of this name, or that begin with it when it ends with a dot.
    Field(&'static str),
    /// Times finer than so many nanoseconds: they are cut.
    TimesBelow(u64),
    /// More than one NaN beside the stale marker.
    NanPayloads,
}

impl CannotHold {
    /// The expectation without what cannot be held.
    fn apply(self, fields: Fields) -> Fields {
        fields
            .into_iter()
            .filter(|(name, _)| match self {
                Self::Field(prefix) if prefix.ends_with('.') => !name.starts_with(prefix),
                Self::Field(whole) => name != whole,
                _ => true,
            })
            .map(|(name, value)| {
                let value = match (self, value) {
                    (Self::TimesBelow(unit), Value::Time(nanos)) => Value::Time(nanos - nanos % unit),
                    (Self::NanPayloads, Value::Double(bits))
                        if f64::from_bits(bits).is_nan() && bits != STALE =>
                    {
                        Value::double(f64::NAN)
                    }
                    (_, value) => value,
                };
                (name, value)
            })
            .collect()
    }
}

/// The expectation of a back end without what it cannot hold.
pub fn held(cannot: &[CannotHold], fields: Fields) -> Fields {
    cannot.iter().fold(fields, |fields, one| one.apply(fields))
}

/// A back end that the auditor knows.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its name in tables, and its sink's in the configuration.
    pub name: &'static str,
    /// What its sink takes.
    pub signals: &'static [Signal],
    /// The form of what is read there.
    pub form: Form,
    /// What it cannot hold.
    pub cannot_hold: &'static [CannotHold],
    /// How often an item may be there.
    pub copies: Copies,
    /// Whether it is slow to start or to install.
    pub is_slow: bool,
    /// Starts it with its files below a folder; the run's own gateway data lie in the other.
    pub start: fn(folder: &Path, data: &Path) -> Box<dyn Server>,
}

/// A running back end.
pub trait Server {
    /// Where it is delivered to, when it is a process that listens; faults are put before this port.
    fn port(&self) -> Option<u16> {
        None
    }

    /// The sink that delivers to it by `port`: a YAML mapping in one line.
    fn sink(&self, port: u16) -> String;

    /// `kill -9`. What has no process of its own does nothing.
    fn kill(&mut self) {}

    /// Starts it again with the same data.
    fn restart(&mut self) {}

    /// Everything that it has. `ids` are all that were ever claimed, for what can only be asked one by one.
    fn read(&self, run: &Run, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_differ() {
        let fields: Fields = [
            ("time".to_owned(), Value::Time(1_234_567)),
            ("value".to_owned(), Value::Double(0x7ff8_0000_dead_beef)),
            ("flags".to_owned(), Value::Int(1)),
            ("link.0.flags".to_owned(), Value::Int(2)),
        ]
        .into();
        assert_eq!(held(&[], fields.clone()), fields);
        let less = held(
            &[CannotHold::TimesBelow(1000), CannotHold::NanPayloads, CannotHold::Field("flags")],
            fields.clone(),
        );
        assert_eq!(less["time"], Value::Time(1_234_000));
        assert_eq!(less["value"], Value::double(f64::NAN));
        assert!(!less.contains_key("flags") && less.contains_key("link.0.flags"));
        assert!(!held(&[CannotHold::Field("link.")], fields).contains_key("link.0.flags"));
    }
}
