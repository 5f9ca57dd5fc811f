//! Writing a request anew without its bad ids. Everything else is copied as it stands, unknown fields included.

use model::Signal;
use wire::walk::fields;
use wire::{WireError, put};

use super::look::{self, Ids, Look};
use super::{Verdict, verdict};

/// The request without rejected items, and the rest mended.
pub(super) fn request(plain: &[u8], signal: Signal) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(plain.len());
    let mut index = 0;
    copy(&mut out, plain, 1, &mut |out, resource| {
        copy(out, resource, 2, &mut |out, scope| {
            for field in fields(scope) {
                let field = field?;
                let raw = &scope[field.start..field.end];
                if field.number != 2 {
                    out.extend_from_slice(raw);
                    continue;
                }
                let item = field.bytes()?;
                match verdict(item, signal, index)? {
                    Verdict::Keep => out.extend_from_slice(raw),
                    Verdict::Mend => {
                        let mended = if signal == Signal::Traces { span(item)? } else { record(item)? };
                        put::bytes(out, 2, &mended);
                    }
                    Verdict::Reject(..) => {}
                }
                index += 1;
            }
            Ok(())
        })
    })?;
    Ok(out)
}

type Inner<'f> = &'f mut dyn FnMut(&mut Vec<u8>, &[u8]) -> Result<(), WireError>;

/// Copies a message; its sub-messages of `number` are written by `inner`.
fn copy(out: &mut Vec<u8>, message: &[u8], number: u32, inner: Inner<'_>) -> Result<(), WireError> {
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            let bytes = field.bytes()?;
            put::message(out, number, |out| inner(out, bytes))?;
        } else {
            out.extend_from_slice(&message[field.start..field.end]);
        }
    }
    Ok(())
}

fn span(raw: &[u8]) -> Result<Vec<u8>, WireError> {
    let look = Look::span(raw)?;
    let keep_parent = look.parent_is_good();
    let mut out = Vec::with_capacity(raw.len() + 4);
    let mut dropped_links = 0;
    for field in fields(raw) {
        let field = field?;
        let keep = match field.number {
            4 => keep_parent,
            13 => look::link_is_good(field.bytes()?)?,
            14 => {
                dropped_links = field.varint()?;
                false
            }
            _ => true,
        };
        if keep {
            out.extend_from_slice(&raw[field.start..field.end]);
        }
    }
    dropped_links = dropped_links.saturating_add(u64::from(look.bad_links)).min(u64::from(u32::MAX));
    if dropped_links > 0 {
        put::uint(&mut out, 14, dropped_links);
    }
    Ok(out)
}

fn record(raw: &[u8]) -> Result<Vec<u8>, WireError> {
    let ids = Ids::of_record(raw)?;
    let (keep_trace, keep_span) = (ids.trace_is_good(), ids.span_is_good());
    let mut out = Vec::with_capacity(raw.len());
    for field in fields(raw) {
        let field = field?;
        let keep = match field.number {
            9 => keep_trace,
            10 => keep_span,
            _ => true,
        };
        if keep {
            out.extend_from_slice(&raw[field.start..field.end]);
        }
    }
    Ok(out)
}
