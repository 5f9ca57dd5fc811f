//! Finding letters: their names, filters and pages.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use model::UnixNanos;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::file::Letters;
use super::marks::Mark;
use super::{Head, Letter, one};

/// A letter's name, `SINK:FILE-POSITION`: stable as long as the letter exists, never given to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The configured name of the sink that refused it.
    pub sink: Arc<str>,
    pub(crate) which: Which,
}

/// Which letter of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Which {
    pub(crate) file: u64,
    pub(crate) at: u64,
}

/// What happens to a letter that is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has decided.
    Waiting,
    /// It is being delivered again.
    Replaying,
}

/// Which letters are meant; what is left out means every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this sink.
    pub sink: Option<String>,
    /// Of this signal.
    pub signal: Option<String>,
    /// On behalf of this tenant.
    pub tenant: Option<String>,
    /// Through this receiver.
    pub source: Option<String>,
    /// The peer's answer holds this text, in any case of letters.
    pub reason: Option<String>,
    /// Given up at this time or later.
    pub since: Option<UnixNanos>,
    /// Given up before this time.
    pub until: Option<UnixNanos>,
    /// In this state.
    pub state: Option<State>,
}

/// A letter without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub id: Id,
    /// The sink that refused it.
    pub sink: String,
    /// What happens to it.
    pub state: State,
    /// What is known about it, its items' identity as `item`.
    #[serde(flatten, serialize_with = "told")]
    pub head: Head,
    /// How many bytes its items take, uncompressed.
    pub bytes: u64,
}

/// A head whose `id`, the identity of its first item, is not taken for the letter's own name.
fn told<S: Serializer>(head: &Head, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_map(None)?;
    fields.serialize_entry("buried", &head.buried)?;
    fields.serialize_entry("signal", &head.signal)?;
    fields.serialize_entry("layout", &head.layout)?;
    fields.serialize_entry("tenant", &head.tenant)?;
    fields.serialize_entry("source", &head.source)?;
    fields.serialize_entry("received", &head.received)?;
    fields.serialize_entry("offset", &head.offset)?;
    fields.serialize_entry("first", &head.first)?;
    fields.serialize_entry("items", &head.items)?;
    fields.serialize_entry("item", &head.id)?;
    fields.serialize_entry("reason", &head.reason)?;
    fields.serialize_entry("unreadable", &head.unreadable)?;
    fields.end()
}

/// Some letters in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The letters.
    pub letters: Vec<Listed>,
    /// What to ask for as `after` to get the next page; `None` when this is the last.
    pub next: Option<Id>,
}

/// What stands on a shelf at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(super) files: Vec<(u64, PathBuf, BTreeMap<u64, Mark>)>,
}

impl View {
    /// Every letter behind `after` that is not gone, in order. A file that is removed meanwhile is passed over.
    pub(crate) fn walk(
        &self,
        after: Option<Which>,
    ) -> impl Iterator<Item = io::Result<(Which, State, Letter)>> + '_ {
        let behind = move |which: Which| after.is_none_or(|after| which > after);
        let files = self.files.iter().filter(move |(file, ..)| after.is_none_or(|after| *file >= after.file));
        files.flat_map(move |(file, path, marks)| {
            let (letters, error) = match Letters::open(path) {
                Ok(letters) => (Some(letters), None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
                Err(error) => (None, Some(Err(error))),
            };
            let found = letters.into_iter().flatten().filter_map(move |(at, letter)| {
                let which = Which { file: *file, at };
                let state = state(marks.get(&at).copied())?;
                behind(which).then_some(Ok((which, state, letter)))
            });
            found.chain(error)
        })
    }

    /// One letter; `None` where there is none of that name, or not any more.
    pub(crate) fn one(&self, which: Which) -> io::Result<Option<(State, Letter)>> {
        let Some((_, path, marks)) = self.files.iter().find(|(file, ..)| *file == which.file) else {
            return Ok(None);
        };
        let Some(state) = state(marks.get(&which.at).copied()) else { return Ok(None) };
        match one(path, which.at) {
            Ok(letter) => Ok(letter.map(|letter| (state, letter))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Letters to be delivered again, oldest first.
    pub(crate) fn again(&self) -> impl Iterator<Item = Which> + '_ {
        self.files.iter().flat_map(|(file, _, marks)| {
            let again = marks.iter().filter(|(_, mark)| **mark == Mark::Again);
            again.map(|(at, _)| Which { file: *file, at: *at })
        })
    }
}

fn state(mark: Option<Mark>) -> Option<State> {
    match mark {
        None | Some(Mark::Waiting) => Some(State::Waiting),
        Some(Mark::Again) => Some(State::Replaying),
        Some(Mark::Replayed | Mark::Dropped) => None,
    }
}

impl Filter {
    /// Whether a letter of `sink` is meant.
    pub(crate) fn takes(&self, sink: &str, state: State, head: &Head) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let says = |part: &String| head.reason.to_lowercase().contains(&part.to_lowercase());
        is(&self.sink, sink)
            && is(&self.signal, &head.signal)
            && is(&self.tenant, &head.tenant)
            && is(&self.source, &head.source)
            && self.reason.as_ref().is_none_or(says)
            && self.since.is_none_or(|since| head.buried >= since.0)
            && self.until.is_none_or(|until| head.buried < until.0)
            && self.state.is_none_or(|wanted| wanted == state)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.sink, self.which.file, self.which.at)
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(sink, place)| {
            let (file, at) = place.split_once('-')?;
            let which = Which { file: file.parse().ok()?, at: at.parse().ok()? };
            Some(Self { sink: sink.into(), which })
        });
        parts.ok_or_else(|| {
            format!(
                "{text:?} is not the id of a dead letter; write SINK:FILE-POSITION, for example archive:1-8"
            )
        })
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id: Id = "my-sink.eu:12-4096".parse().unwrap();
        assert_eq!((&*id.sink, id.which), ("my-sink.eu", Which { file: 12, at: 4096 }));
        assert_eq!(id.to_string(), "my-sink.eu:12-4096");
        for text in ["", "a", "a:", "a:1", "a:1-", "a:-1", "a:1-x", "a:1-99999999999999999999"] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }
}
