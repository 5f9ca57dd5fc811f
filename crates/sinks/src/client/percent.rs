//! Percent-encoding undone (RFC 3986, 2.1).

/// Undoes the escapes; a broken one stays as it is.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        (rest, _) = match escaped {
            Some((high, low)) => (&tail[2..], out.push(high << 4 | low)),
            None => (tail, out.push(*first)),
        };
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
