//! Integers from JSON literals, exactly: nanosecond times exceed the 53 bits of a double, so none is made here.

/// The value of a number literal such as `12`, `-3`, `1.5e3` or `20e-1`; `None` when it is no integer or does not
/// fit. The grammar of `literal` has been checked.
pub(super) fn integer(literal: &str) -> Option<i128> {
    let (negative, rest) = match literal.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, literal),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, ""));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().all(|digit| digit == b'0') {
        return Some(0);
    }
    let exponent = if exponent.is_empty() { 0 } else { exponent.parse::<i64>().ok()? };
    // The value is `digits` × 10^shift; a negative shift cuts digits off, which must be zeros.
    let shift = exponent.checked_sub(fraction.len() as i64)?;
    let kept =
        (whole.len() + fraction.len()).saturating_sub(usize::try_from(shift.min(0).unsigned_abs()).ok()?);
    if digits().skip(kept).any(|digit| digit != b'0') {
        return None;
    }
    let mut value = 0i128;
    let zeros = std::iter::repeat_n(b'0', usize::try_from(shift.clamp(0, 40)).ok()?);
    for digit in digits().take(kept).chain(zeros) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    Some(if negative { -value } else { value })
}

/// Whether a string is a JSON number literal that `integer` may be given.
pub(super) fn is_literal(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= super::text::LONGEST_NUMBER
        && all_digits(whole)
        && all_digits(fraction)
        && all_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(literal: &str, expected: Option<i128>) {
        assert!(is_literal(literal), "{literal}");
        assert_eq!(integer(literal), expected, "{literal}");
    }

    #[test]
    fn integers_are_exact_in_every_spelling() {
        check("0", Some(0));
        check("-0", Some(0));
        check("-0.000e5", Some(0));
        check("1732181462123456789", Some(1_732_181_462_123_456_789));
        check("1.732181462123456789e18", Some(1_732_181_462_123_456_789));
        check("18446744073709551615", Some(i128::from(u64::MAX)));
        check("-9223372036854775808", Some(i128::from(i64::MIN)));
        check("1e3", Some(1000));
        check("2000e-3", Some(2));
        check("12.0", Some(12));
        check("-1.50E+1", Some(-15));
        check("00012", Some(12));
    }

    #[test]
    fn fractions_and_huge_powers_are_no_integers() {
        check("1.5", None);
        check("1e-1", None);
        check("1e40", None);
        check("1e999999", None);
        check("1e99999999999999999999", None);
        check("1e-999999", None);
        check("0e999999", Some(0));
    }

    #[test]
    fn other_texts_are_no_literals() {
        for text in ["", "-", "+1", "1.", ".5", "1e", "0x10", " 1", "1 ", "NaN", "1_000", "--1", "1e+-2"] {
            assert!(!is_literal(text), "{text:?}");
        }
    }
}
