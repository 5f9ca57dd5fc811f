//! Map columns, and the attributes that have a column of their own.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use wire::WireError;
use wire::otlp::{AnyValue, KeyValue};

use crate::schema::PROMOTED;
use crate::scope::resource_of;
use crate::value::{each, text};

/// A column of attributes.
pub(super) struct Map(MapBuilder<StringBuilder, StringBuilder>);

impl Default for Map {
    fn default() -> Self {
        let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
        Self(MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new()))
    }
}

impl Map {
    /// Appends an attribute to the row at hand; its key must not have come before in it.
    pub(super) fn pair(&mut self, key: &str, value: &str) {
        self.0.keys().append_value(key);
        self.0.values().append_value(value);
    }

    /// Ends the row at hand.
    pub(super) fn end(&mut self) {
        self.0.append(true).expect("keys and values are only ever appended together");
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// The columns of `PROMOTED`.
#[derive(Default)]
pub(super) struct Promoted([StringBuilder; PROMOTED.len()]);

/// Which key was found for each of them in the row at hand: the lower, the better liked.
type Ranks = [usize; PROMOTED.len()];

impl Promoted {
    fn finish(&mut self) -> impl Iterator<Item = ArrayRef> {
        self.0.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef)
    }
}

/// The columns made from the attributes of an item and of its resource.
#[derive(Default)]
pub(super) struct Described {
    promoted: Option<Promoted>,
    attributes: Map,
    resource: Resource,
    resources: Map,
    found: [String; PROMOTED.len()],
    scratch: String,
}

/// The resource that the last row had; neighbours mostly share it.
#[derive(Default)]
struct Resource {
    envelope: Vec<u8>,
    pairs: Vec<(String, String)>,
}

impl Described {
    /// With columns for the promoted attributes.
    pub(super) fn with_promoted() -> Self {
        Self { promoted: Some(Promoted::default()), ..Self::default() }
    }

    /// Appends a row.
    pub(super) fn push<'a>(
        &mut self,
        attributes: Option<impl Iterator<Item = Result<KeyValue<'a>, WireError>>>,
        envelope: &[u8],
    ) {
        let mut ranks: Ranks = [usize::MAX; PROMOTED.len()];
        if let Some(attributes) = attributes {
            let Self { attributes: map, found, scratch, .. } = self;
            each(attributes, |key, value| {
                let value = text(value, scratch);
                map.pair(key, value);
                promote(&mut ranks, found, key, value);
            });
        }
        self.attributes.end();
        self.resource(envelope, &mut ranks);
        if let Some(Promoted(columns)) = &mut self.promoted {
            for ((column, rank), found) in columns.iter_mut().zip(ranks).zip(&self.found) {
                column.append_option((rank != usize::MAX).then_some(found));
            }
        }
    }

    fn resource(&mut self, envelope: &[u8], ranks: &mut Ranks) {
        if self.resource.envelope != envelope {
            self.resource.envelope.clear();
            self.resource.envelope.extend_from_slice(envelope);
            self.resource.pairs.clear();
            if let Ok(Some(resource)) = resource_of(envelope) {
                let (pairs, scratch) = (&mut self.resource.pairs, &mut self.scratch);
                each(resource.attributes(), |key, value| {
                    pairs.push((key.to_owned(), text(value, scratch).to_owned()));
                });
            }
        }
        for (key, value) in &self.resource.pairs {
            self.resources.pair(key, value);
            promote(ranks, &mut self.found, key, value);
        }
        self.resources.end();
    }

    /// A row of remote-write: labels, and no resource.
    pub(super) fn push_labels<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        for (name, value) in labels {
            self.attributes.pair(name, value);
        }
        self.attributes.end();
        self.resources.end();
    }

    /// The promoted columns.
    pub(super) fn finish_promoted(&mut self) -> Vec<ArrayRef> {
        self.promoted.iter_mut().flat_map(Promoted::finish).collect()
    }

    /// The two maps: the item's attributes, its resource's.
    pub(super) fn finish(&mut self) -> [ArrayRef; 2] {
        [self.attributes.finish(), self.resources.finish()]
    }
}

fn promote(ranks: &mut Ranks, found: &mut [String; PROMOTED.len()], key: &str, value: &str) {
    // All of their keys begin with one of three letters; most attributes are passed over by that alone.
    if !matches!(key.as_bytes().first(), Some(b'h' | b'k' | b'c')) {
        return;
    }
    for (column, (_, keys)) in PROMOTED.iter().enumerate() {
        if let Some(rank) = keys.iter().position(|known| *known == key)
            && rank < ranks[column]
        {
            ranks[column] = rank;
            found[column].clear();
            found[column].push_str(value);
        }
    }
}

/// A string value as it is, everything else as JSON; `None` for an empty one.
pub(super) fn append_body(column: &mut StringBuilder, value: &AnyValue<'_>) {
    column.append_option(crate::value::body(value));
}
