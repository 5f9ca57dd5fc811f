//! The quick way to the ids of a request: past everything else, with their places, so that an id of the right length can
//! be overwritten where it stands.

use std::ops::Range;

use crate::WireError;
use crate::walk::{Field, Fields, fields};

/// An id as sent, of any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Id<'a> {
    /// The id's bytes; empty when absent.
    pub bytes: &'a [u8],
    /// Where in the request they begin; 0 when absent.
    pub at: usize,
}

/// The ids of one span or log record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids<'a> {
    /// 16 bytes when valid.
    pub trace: Id<'a>,
    /// 8 bytes when valid.
    pub span: Id<'a>,
    /// 8 bytes when valid; absent for a root span and for every log record.
    pub parent: Id<'a>,
    /// Where in the request the span's or record's message lies, without tag and length.
    pub item: Range<usize>,
}

/// Calls `each` with the ids of every span, in wire order; answers how many spans there are.
///
/// # Errors
/// The bytes are no request, or `each` answered one.
pub fn each_span<'a>(
    plain: &'a [u8],
    each: impl FnMut(Ids<'a>) -> Result<(), WireError>,
) -> Result<u32, WireError> {
    each_item(plain, [1, 2, 4], each)
}

/// Calls `each` with the ids of every log record, in wire order; answers how many records there are.
///
/// # Errors
/// The bytes are no request, or `each` answered one.
pub fn each_record<'a>(
    plain: &'a [u8],
    each: impl FnMut(Ids<'a>) -> Result<(), WireError>,
) -> Result<u32, WireError> {
    each_item(plain, [9, 10, 0], each)
}

/// Walks resources (1), scopes (2) and items (2). `numbers` are those of trace, span and parent; 0 for none.
#[inline]
fn each_item<'a>(
    plain: &'a [u8],
    [trace, span, parent]: [u32; 3],
    mut each: impl FnMut(Ids<'a>) -> Result<(), WireError>,
) -> Result<u32, WireError> {
    let mut count = 0;
    for resource in below(plain, 0, 1) {
        let (resource, at) = resource?;
        for scope in below(resource, at, 2) {
            let (scope, at) = scope?;
            for item in below(scope, at, 2) {
                let (item, at) = item?;
                let mut ids = Ids { item: at..at + item.len(), ..Ids::default() };
                for field in fields(item) {
                    let field = field?;
                    if field.number == trace {
                        ids.trace = id(&field, at)?;
                    } else if field.number == span {
                        ids.span = id(&field, at)?;
                    } else if field.number == parent {
                        ids.parent = id(&field, at)?;
                    }
                }
                each(ids)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

#[inline]
fn id<'a>(field: &Field<'a>, base: usize) -> Result<Id<'a>, WireError> {
    let bytes = field.bytes()?;
    Ok(Id { bytes, at: base + field.end - bytes.len() })
}

/// The messages in field `number` of a message that begins at `base`, each with its own beginning.
#[inline]
fn below(message: &[u8], base: usize, number: u32) -> Below<'_> {
    Below { fields: fields(message), base, number }
}

struct Below<'a> {
    fields: Fields<'a>,
    base: usize,
    number: u32,
}

impl<'a> Iterator for Below<'a> {
    type Item = Result<(&'a [u8], usize), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        for field in self.fields.by_ref() {
            match field {
                Ok(field) if field.number == self.number => {
                    return Some(id(&field, self.base).map(|found| (found.bytes, found.at)));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
