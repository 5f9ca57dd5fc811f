//! One value of one row, and how it is written: in RowBinary, or as JSON for a column whose type only the server understands.

use std::io::Write;

use wire::otlp::{AnyValue, Attributes};
use wire::translate::append_text;
use wire::{WireError, put};

use super::kind::Kind;

/// A value, borrowed from the item's bytes.
#[derive(Debug, Clone)]
pub(super) enum Cell<'a> {
    /// Text as it is.
    Text(&'a str),
    /// An id, written in lower-case hex; one of zeros is empty.
    Id(&'a [u8]),
    /// A value as text.
    Any(AnyValue<'a>),
    /// Nanoseconds since 1970.
    Time(u64),
    Uint(u64),
    Int(i64),
    /// The bits of a double.
    Float(u64),
    /// No number: nothing where the column knows that, else 0.
    None,
    Map(Attributes<'a>),
    List(Vec<Cell<'a>>),
}

const SECOND: u64 = 1_000_000_000;

/// Appends `cell` in RowBinary to a column that takes it.
pub(super) fn binary(out: &mut Vec<u8>, kind: &Kind, cell: &Cell<'_>) -> Result<(), WireError> {
    match (kind, cell) {
        (Kind::Nullable(_), Cell::None) => out.push(1),
        (Kind::Nullable(inner), cell) => {
            out.push(0);
            binary(out, inner, cell)?;
        }
        (Kind::Array(inner), Cell::List(list)) => {
            put::varint(out, list.len() as u64);
            for cell in list {
                binary(out, inner, cell)?;
            }
        }
        (Kind::Map, Cell::Map(pairs)) => counted(out, |out| {
            let mut count = 0;
            for pair in pairs.clone() {
                let pair = pair?;
                put::varint(out, pair.key.len() as u64);
                out.extend_from_slice(pair.key.as_bytes());
                text(out, &Cell::Any(pair.value))?;
                count += 1;
            }
            Ok(count)
        })?,
        (Kind::String, cell) => text(out, cell)?,
        (Kind::DateTime, Cell::Time(at)) => {
            let seconds = u32::try_from(at / SECOND).unwrap_or(u32::MAX);
            out.extend_from_slice(&seconds.to_le_bytes());
        }
        (Kind::DateTime64(digits), Cell::Time(at)) => {
            let ticks = i64::try_from(at / 10u64.pow(9 - digits)).unwrap_or(i64::MAX);
            out.extend_from_slice(&ticks.to_le_bytes());
        }
        (Kind::Float64, Cell::Float(bits)) => out.extend_from_slice(&bits.to_le_bytes()),
        (Kind::Float64, cell) => out.extend_from_slice(&double(cell).to_le_bytes()),
        (Kind::Float32, cell) => out.extend_from_slice(&(double(cell) as f32).to_le_bytes()),
        (Kind::Int { bytes, signed }, cell) => {
            out.extend_from_slice(&whole(cell, *bytes, *signed).to_le_bytes()[..*bytes]);
        }
        // `Kind::takes` lets no other pair through.
        _ => debug_assert!(false, "{kind:?} does not take {cell:?}"),
    }
    Ok(())
}

/// A number in a column of whole numbers, cut to what it holds.
fn whole(cell: &Cell<'_>, bytes: usize, signed: bool) -> i128 {
    let value = match cell {
        Cell::Uint(value) => i128::from(*value),
        Cell::Int(value) => i128::from(*value),
        Cell::Float(bits) => f64::from_bits(*bits) as i128,
        _ => 0,
    };
    let bits = 8 * bytes as u32;
    let (low, high) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    value.clamp(low, high)
}

fn double(cell: &Cell<'_>) -> f64 {
    match cell {
        Cell::Uint(value) => *value as f64,
        Cell::Int(value) => *value as f64,
        Cell::Float(bits) => f64::from_bits(*bits),
        _ => 0.0,
    }
}

/// Appends text behind its length.
fn text(out: &mut Vec<u8>, cell: &Cell<'_>) -> Result<(), WireError> {
    match cell {
        Cell::Text(text) => {
            put::varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        cell => counted(out, |out| {
            let before = out.len();
            plain(out, cell)?;
            Ok(out.len() - before)
        }),
    }
}

/// Appends text as it is.
fn plain(out: &mut Vec<u8>, cell: &Cell<'_>) -> Result<(), WireError> {
    match cell {
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Any(value) => append_text(value, out)?,
        Cell::Id(id) if id.iter().any(|byte| *byte != 0) => {
            for byte in *id {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        _ => {}
    }
    Ok(())
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends what `write` appends behind the number that it answers.
fn counted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<usize, WireError>,
) -> Result<(), WireError> {
    let at = out.len();
    out.push(0);
    let count = write(out)?;
    if count < 0x80 {
        out[at] = count as u8;
    } else {
        let mut prefix = Vec::with_capacity(10);
        put::varint(&mut prefix, count as u64);
        out.splice(at..=at, prefix);
    }
    Ok(())
}

/// Appends `cell` as JSON, for JSONEachRow.
pub(super) fn json(out: &mut Vec<u8>, kind: &Kind, cell: &Cell<'_>) -> Result<(), WireError> {
    match (kind, cell) {
        (Kind::Nullable(_), Cell::None) => out.extend_from_slice(b"null"),
        (Kind::Nullable(inner), cell) => json(out, inner, cell)?,
        (_, Cell::None) => out.push(b'0'),
        (_, Cell::Text(text)) => quoted(out, text),
        (_, Cell::Id(_) | Cell::Any(_)) => {
            let mut text = Vec::new();
            plain(&mut text, cell)?;
            quoted(out, &String::from_utf8_lossy(&text));
        }
        (Kind::Int { .. }, Cell::Time(at)) => write(out, format_args!("{at}")),
        // Seconds since 1970 mean the same in every time zone; the server knows them by their ten digits.
        (Kind::DateTime, Cell::Time(at)) => {
            write(out, format_args!("\"{:010}\"", (at / SECOND).min(u32::MAX.into())));
        }
        (_, Cell::Time(at)) => {
            let at = (*at).min(i64::MAX as u64);
            write(out, format_args!("\"{:010}.{:09}\"", at / SECOND, at % SECOND));
        }
        (_, Cell::Uint(value)) => write(out, format_args!("{value}")),
        (_, Cell::Int(value)) => write(out, format_args!("{value}")),
        (_, Cell::Float(bits)) => {
            let value = f64::from_bits(*bits);
            if value.is_nan() {
                out.extend_from_slice(b"\"nan\"");
            } else if value.is_infinite() {
                out.extend_from_slice(if value > 0.0 { b"\"inf\"" } else { b"\"-inf\"" });
            } else {
                write(out, format_args!("{value:?}"));
            }
        }
        // A server without maps keeps them as text.
        (Kind::String, Cell::Map(pairs)) => {
            let mut text = Vec::new();
            object(&mut text, pairs.clone())?;
            quoted(out, &String::from_utf8_lossy(&text));
        }
        (_, Cell::Map(pairs)) => object(out, pairs.clone())?,
        (kind, Cell::List(list)) => {
            let inner = if let Kind::Array(inner) = kind { inner } else { &Kind::Other };
            out.push(b'[');
            for (place, cell) in list.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                json(out, inner, cell)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

fn object(out: &mut Vec<u8>, pairs: Attributes<'_>) -> Result<(), WireError> {
    out.push(b'{');
    for (place, pair) in pairs.enumerate() {
        let pair = pair?;
        if place > 0 {
            out.push(b',');
        }
        quoted(out, pair.key);
        out.push(b':');
        json(out, &Kind::String, &Cell::Any(pair.value))?;
    }
    out.push(b'}');
    Ok(())
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail, and text is always JSON.
    let _ = serde_json::to_writer(out, text);
}

fn write(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_json_that_the_server_reads_in_any_column() {
        let int = Kind::Int { bytes: 8, signed: false };
        for (kind, cell, expected) in [
            (Kind::DateTime64(9), Cell::Time(0), "\"0000000000.000000000\""),
            (Kind::DateTime64(3), Cell::Time(1_795_253_400_000_000_001), "\"1795253400.000000001\""),
            (Kind::DateTime64(9), Cell::Time(u64::MAX), "\"9223372036.854775807\""),
            (Kind::DateTime, Cell::Time(u64::MAX), "\"4294967295\""),
            (int, Cell::Time(u64::MAX), "18446744073709551615"),
            (Kind::Float64, Cell::Float(f64::NAN.to_bits()), "\"nan\""),
            (Kind::Float64, Cell::Float(f64::NEG_INFINITY.to_bits()), "\"-inf\""),
            (Kind::Float64, Cell::Float((-0.0f64).to_bits()), "-0.0"),
            (Kind::Float64, Cell::Float(5e-324f64.to_bits()), "5e-324"),
            (Kind::Float64, Cell::None, "0"),
            (Kind::Nullable(Box::new(Kind::Float64)), Cell::None, "null"),
            (Kind::String, Cell::Id(&[0; 8]), "\"\""),
            (Kind::Other, Cell::List(vec![Cell::Text("\"\n"), Cell::Id(&[0xab])]), "[\"\\\"\\n\",\"ab\"]"),
        ] {
            let mut out = Vec::new();
            json(&mut out, &kind, &cell).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{kind:?} {cell:?}");
        }
    }

    #[test]
    fn numbers_in_narrower_columns_are_the_nearest_that_they_hold() {
        let int = |bytes, signed| Kind::Int { bytes, signed };
        for (kind, cell, expected) in [
            (int(1, false), Cell::Uint(300), vec![255]),
            (int(1, false), Cell::Int(-1), vec![0]),
            (int(1, true), Cell::Int(-300), vec![0x80]),
            (int(8, true), Cell::Uint(u64::MAX), i64::MAX.to_le_bytes().to_vec()),
            (int(8, false), Cell::Uint(u64::MAX), vec![0xff; 8]),
            (int(4, true), Cell::Float(f64::NAN.to_bits()), vec![0; 4]),
            (Kind::Float32, Cell::Int(-3), (-3f32).to_le_bytes().to_vec()),
            (Kind::DateTime, Cell::Time(u64::MAX), vec![0xff; 4]),
            (Kind::DateTime64(9), Cell::Time(u64::MAX), i64::MAX.to_le_bytes().to_vec()),
            (Kind::DateTime64(0), Cell::Time(1_999_999_999), 1i64.to_le_bytes().to_vec()),
            (Kind::Nullable(Box::new(int(1, false))), Cell::Uint(7), vec![0, 7]),
            (Kind::Nullable(Box::new(int(1, false))), Cell::None, vec![1]),
        ] {
            let mut out = Vec::new();
            binary(&mut out, &kind, &cell).unwrap();
            assert_eq!(out, expected, "{kind:?} {cell:?}");
        }
    }

    #[test]
    fn long_text_and_many_attributes_stand_behind_long_counts() {
        let mut message = Vec::new();
        for _ in 0..200 {
            put::message(&mut message, 1, |pair| {
                put::bytes(pair, 1, b"k");
                put::message(pair, 2, |value| put::bytes(value, 1, &[b'x'; 300]));
            });
        }
        let mut out = Vec::new();
        binary(&mut out, &Kind::Map, &Cell::Map(Attributes::new(&message, 1))).unwrap();
        assert_eq!((out.len(), &out[..6]), (2 + 200 * (2 + 2 + 300), &[0xc8, 1, 1, b'k', 0xac, 2][..]));
    }
}
