//! A parcel to objects. What they are called and what is in them follows from the parcel alone.

use std::sync::Arc;

use bytes::Bytes;
use model::Failure;
use pipeline::{Parcel, Part};
use rows::{Chunk, FileError, Frame};

/// The version of names and columns: part of every range's name, so that what another version wrote is never taken for this.
const FORM: u32 = 1;

/// An object on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Its name below the prefix.
    pub(super) key: String,
    /// The file.
    pub(super) bytes: Bytes,
}

/// The objects of `parcel`, in an order of their own that is always the same.
///
/// # Errors
/// A frame cannot be read: refused whole, so that the courier finds and buries it.
pub(super) fn objects(parcel: &Parcel) -> Result<Vec<Object>, Failure> {
    let chunks = parcel.parts.iter().map(|part| chunk(parcel, part)).collect::<Result<Vec<_>, _>>()?;
    let range = parcel.range_id(FORM);
    let mut objects = Vec::new();
    for (tenant, hour, picks) in rows::partitions(&chunks) {
        let metadata = [("tidegate.range", range.clone())];
        let ((first, _), bytes) =
            rows::encode(parcel.signal, &chunks, &picks, &metadata).map_err(|error| refused(&error))?;
        let key = format!("{}/{first}-{range}.parquet", rows::folder(parcel.signal, &tenant, hour));
        objects.push(Object { key, bytes: bytes.into() });
    }
    Ok(objects)
}

fn chunk(parcel: &Parcel, part: &Part) -> Result<Arc<Chunk>, Failure> {
    let frame = Frame {
        signal: parcel.signal,
        layout: parcel.layout,
        tenant: parcel.tenant.clone(),
        source: part.origin.source.clone(),
        offset: part.offset.0,
        received: part.received,
        plain: part.frame_plain()?,
        numbers: part.kept.clone(),
    };
    let unreadable = |what: String| Failure::RefusedWhole { reason: format!("frame {} {what}", part.offset) };
    let chunk = Chunk::read(frame, part.items.clone())
        .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let found = chunk.entries().len();
    if found != part.items.len() {
        return Err(unreadable(format!("has {found} items at {:?}", part.items)));
    }
    Ok(Arc::new(chunk))
}

fn refused(error: &FileError) -> Failure {
    Failure::RefusedWhole {
        reason: format!("the items make no Parquet file: {}", pipeline::with_causes(error)),
    }
}
