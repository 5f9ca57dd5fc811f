//! Numbers as they are written: exact, whatever their size. A double holds no nanosecond of this century.

use super::JsonError;

/// The offset behind the number that starts at `at` (RFC 8259, section 6).
pub(super) fn end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let digits = |mut at: usize| {
        let start = at;
        while matches!(text.get(at), Some(b'0'..=b'9')) {
            at += 1;
        }
        if at > start {
            Ok(at)
        } else if at >= text.len() {
            Err(JsonError::Truncated)
        } else {
            Err(JsonError::Syntax(at))
        }
    };
    let start = at + usize::from(text.get(at) == Some(&b'-'));
    let mut at = if text.get(start) == Some(&b'0') { start + 1 } else { digits(start)? };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Ok(at)
}

/// A decimal number, exactly: `mantissa` × 10^`exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) mantissa: i64,
    pub(crate) exponent: i32,
}

impl Decimal {
    /// The number times 10^`shift`, its fraction cut off; `None` when that does not fit.
    pub(crate) fn scaled(self, shift: i32) -> Option<i64> {
        let exponent = self.exponent.checked_add(shift)?;
        if self.mantissa == 0 {
            return Some(0);
        }
        match u32::try_from(exponent) {
            Ok(up) => 10i64.checked_pow(up)?.checked_mul(self.mantissa),
            Err(_) => {
                Some(10i64.checked_pow(exponent.unsigned_abs()).map_or(0, |power| self.mantissa / power))
            }
        }
    }

    /// The number, when it is whole and fits.
    pub(crate) fn whole(self) -> Option<i64> {
        let whole = self.scaled(0)?;
        match self.exponent {
            0.. => Some(whole),
            down => (10i64.checked_pow(down.unsigned_abs())?.checked_mul(whole)? == self.mantissa)
                .then_some(whole),
        }
    }
}

/// Reads a number's text; `None` when it has more than 18 significant digits besides zeros at its end, or is none.
pub(crate) fn decimal(text: &[u8]) -> Option<Decimal> {
    if end(text, 0).ok()? != text.len() {
        return None;
    }
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut mantissa: i64 = 0;
    let mut exponent: i32 = 0;
    let mut in_fraction = false;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let digit = i64::from(byte - b'0');
                match mantissa.checked_mul(10).and_then(|m| m.checked_add(digit)) {
                    Some(longer) => {
                        mantissa = longer;
                        exponent -= i32::from(in_fraction);
                    }
                    None if digit == 0 => exponent += i32::from(!in_fraction),
                    None => return None,
                }
            }
            b'.' => in_fraction = true,
            _ => {
                let power = digits[at + 1..].strip_prefix(b"+").unwrap_or(&digits[at + 1..]);
                let power: i32 = std::str::from_utf8(power).ok()?.parse().ok()?;
                exponent = exponent.checked_add(power)?;
                break;
            }
        }
    }
    Some(Decimal { mantissa: if negative { -mantissa } else { mantissa }, exponent })
}
