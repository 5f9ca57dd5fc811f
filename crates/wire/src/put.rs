//! Writing protobuf fields: the counterpart of the walker, used where bytes must be made anew.

/// Appends a base-128 varint.
#[inline]
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes `varint` would append.
#[inline]
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a varint field, zero included.
#[inline]
pub fn uint(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

/// Appends a `sint32`/`sint64` field (ZigZag), zero included.
#[inline]
pub fn sint(out: &mut Vec<u8>, field: u32, value: i64) {
    uint(out, field, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a fixed64, sfixed64 or double field by its bits, zero included.
#[inline]
pub fn fixed64(out: &mut Vec<u8>, field: u32, bits: u64) {
    varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a fixed32 field by its bits, zero included.
#[inline]
pub fn fixed32(out: &mut Vec<u8>, field: u32, bits: u32) {
    varint(out, u64::from(field) << 3 | 5);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a length-delimited field, empty included.
#[inline]
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a sub-message whose content `write` appends. The length is put in afterwards, so nesting costs one
/// short move of the content when its length needs more than one byte.
#[inline]
pub fn message<R>(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    varint(out, u64::from(field) << 3 | 2);
    let at = out.len();
    out.push(0);
    let result = write(out);
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
    } else {
        let mut prefix = Vec::with_capacity(10);
        varint(&mut prefix, len as u64);
        out.splice(at..=at, prefix);
    }
    result
}
