//! The body of a `_bulk` request: for each item a line that says where it goes and under which id, and its document.

use bytes::Bytes;
use model::Signal;
use pipeline::{BodyError, Parcel};
use wire::coding::compress;
use wire::{Coding, json};

use super::index::Template;
use super::notes::Noted;
use crate::document::{self, Shape};
use crate::identity;

/// How documents are made and where they go.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) shape: Shape,
    /// Whether documents have an id of ours.
    pub(super) ids: bool,
    /// Whether later revisions of spans that stitching has made take the place of earlier ones.
    pub(super) revises: bool,
    pub(super) coding: Coding,
    /// One for each signal taken.
    pub(super) indices: Vec<(Signal, Template)>,
    pub(super) fallback: Template,
}

/// A request that is ready to go.
pub(super) struct Bulk {
    pub(super) body: Bytes,
    /// The index in the parcel of each item in it, in order.
    pub(super) items: Vec<u32>,
}

/// How hard gzip tries.
const LEVEL: i32 = 1;

impl Form {
    pub(super) fn index(&self, signal: Signal) -> &Template {
        self.indices.iter().find(|(of, _)| *of == signal).map_or(&self.fallback, |(_, template)| template)
    }

    /// Makes the request for those items of which nothing is noted.
    pub(super) fn make(&self, parcel: &Parcel, noted: &Noted) -> Result<Bulk, BodyError> {
        let template = self.index(parcel.signal);
        let plain: u64 = parcel.parts.iter().map(pipeline::Part::plain_share).sum();
        let mut out = Vec::with_capacity(usize::try_from(plain).unwrap_or(0).saturating_mul(2));
        let mut items = Vec::with_capacity(parcel.items() as usize);
        let mut name = String::new();
        document::each(parcel, self.shape, |item, document| {
            if noted.get(item.index).is_some() {
                return;
            }
            let revision = item.revision().filter(|_| self.revises);
            let action: &[u8] = match revision {
                None => b"create",
                Some((_, false)) => b"index",
                Some((_, true)) => b"delete",
            };
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(action);
            out.extend_from_slice(b"\":{\"_index\":");
            if !template.render(item, &mut name) {
                self.fallback.render(item, &mut name);
            }
            json::quoted(&name, &mut out);
            if self.ids {
                out.extend_from_slice(b",\"_id\":\"");
                out.extend_from_slice(&identity::name(item));
                out.push(b'"');
            }
            // The server keeps the highest, in whatever order they come.
            if let Some((revision, _)) = revision {
                out.extend_from_slice(b",\"version\":");
                out.extend_from_slice(revision.to_string().as_bytes());
                out.extend_from_slice(b",\"version_type\":\"external\"");
            }
            out.extend_from_slice(b"}}\n");
            if !matches!(revision, Some((_, true))) {
                out.extend_from_slice(document);
                out.push(b'\n');
            }
            items.push(item.index);
        })?;
        let body =
            if self.coding == Coding::Plain { out.into() } else { compress(self.coding, LEVEL, &out).into() };
        Ok(Bulk { body, items })
    }
}
