//! Finding credentials, e-mail addresses and card numbers in plain text. Each finder goes over the text once and looks only a
//! bounded way around what it stops at, or onward from it.

use std::ops::Range;

/// Takes what was found.
pub(super) type Found<'f> = &'f mut dyn FnMut(Range<usize>);

/// Names of headers that carry credentials, lower case, with `-`.
pub(super) const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-goog-api-key",
    "cf-access-client-secret",
    "cf-access-jwt-assertion",
];

/// Names of headers and members that hold cookies.
pub(super) const COOKIES: &[&str] = &["cookie", "cookies", "set-cookie", "cookie2", "set-cookie2"];

/// The longest of these names.
const LONGEST_NAME: usize = 23;
/// The longest name of a mailbox (RFC 5321, 4.5.3.1).
const LONGEST_LOCAL: usize = 64;
/// The longest name of a host.
const LONGEST_DOMAIN: usize = 255;

/// Whether the last part of an attribute's name is one of `names`: `http.request.header.set_cookie` is `set-cookie`.
pub(super) fn is_named(key: &str, names: &[&str]) -> bool {
    let last = key.rsplit(['.', '/', ':']).next().unwrap_or(key).as_bytes();
    let same = |name: &&str| {
        name.len() == last.len()
            && name.bytes().zip(last).all(|(a, b)| a == b.to_ascii_lowercase() || (a == b'-' && *b == b'_'))
    };
    last.len() <= LONGEST_NAME && names.iter().any(same)
}

/// Values of headers of these names, as `Name: value`, `name=value`, `"name":"value"` and the like, to the end of the value where
/// quotes or brackets tell it, else of the line, or for `=` of the word.
pub(super) fn headers(text: &str, names: &[&str], found: Found<'_>) {
    let bytes = text.as_bytes();
    let mut behind = 0;
    for at in memchr::memchr2_iter(b':', b'=', bytes) {
        if at < behind || !ends_in_name(&bytes[..at], names) {
            continue;
        }
        let value = value_behind(bytes, at + 1, bytes[at] == b'=');
        if !value.is_empty() {
            behind = value.end;
            found(value);
        }
    }
}

/// Whether `before` ends in one of `names`, quoted or not.
fn ends_in_name(before: &[u8], names: &[&str]) -> bool {
    let spare = |b: &u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b'`');
    let window = &before[before.len().saturating_sub(LONGEST_NAME + 8)..];
    let trimmed = window.len() - window.iter().rev().take_while(|b| spare(b)).count();
    let window = &window[..trimmed];
    let length =
        window.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
    std::str::from_utf8(&window[trimmed - length..]).is_ok_and(|name| is_named(name, names))
}

fn value_behind(bytes: &[u8], from: usize, is_word: bool) -> Range<usize> {
    let skip =
        |from: usize, what: fn(u8) -> bool| from + bytes[from..].iter().take_while(|b| what(**b)).count();
    let start = skip(from, |b| matches!(b, b' ' | b'\t'));
    let open = skip(start, |b| b == b'\\');
    let to = |close: &[u8], from: usize| {
        let end = bytes[from..].iter().position(|b| close.contains(b) || matches!(b, b'\r' | b'\n'));
        end.map_or(bytes.len(), |end| from + end)
    };
    match bytes.get(open) {
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            let escaped = open > start;
            let mut end = open + 1;
            loop {
                end = to(&[*quote], end);
                let slashes = bytes[open + 1..end].iter().rev().take_while(|b| **b == b'\\').count();
                // In a quoted value an escaped quote is part of it; where the quotes themselves are escaped it ends it.
                if escaped {
                    return open + 1..end - slashes;
                }
                if slashes % 2 == 0 || bytes.get(end) != Some(quote) {
                    return open + 1..end;
                }
                end += 1;
            }
        }
        Some(b'[') => open..(to(b"]", open) + 1).min(bytes.len()),
        Some(b'{') => open..(to(b"}", open) + 1).min(bytes.len()),
        _ if is_word => {
            let end = to(b" \t&;,\"'", start);
            let is_scheme = bytes.get(end) == Some(&b' ')
                && [&b"bearer"[..], b"basic", b"digest", b"token"]
                    .iter()
                    .any(|s| bytes[start..end].eq_ignore_ascii_case(s));
            start..if is_scheme { to(b" \t&;,\"'", end + 1) } else { end }
        }
        _ => start..to(b"", start),
    }
}

/// What follows `Bearer` or `Basic`, where it looks like a credential.
pub(super) fn schemes(text: &str, found: Found<'_>) {
    let bytes = text.as_bytes();
    for space in memchr::memchr_iter(b' ', bytes) {
        let word = &bytes[..space];
        let ends = |scheme: &[u8]| {
            let start = word.len().checked_sub(scheme.len());
            start.is_some_and(|start| {
                word[start..].eq_ignore_ascii_case(scheme)
                    && !start.checked_sub(1).is_some_and(|before| word[before].is_ascii_alphanumeric())
            })
        };
        let (bearer, basic) = (ends(b"bearer"), ends(b"basic"));
        if !bearer && !basic {
            continue;
        }
        let start = space + bytes[space..].iter().take_while(|b| **b == b' ').count();
        let is_token = |b: &&u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        let token = &bytes[start..start + bytes[start..].iter().take_while(is_token).count()];
        let is_credential = if bearer { is_bearer(token) } else { is_basic(token) };
        if is_credential {
            found(start..start + token.len());
        }
    }
}

/// A word is not a token: tokens are long, and nearly all have a digit.
fn is_bearer(token: &[u8]) -> bool {
    token.len() >= 20 || (token.len() >= 8 && token.iter().any(u8::is_ascii_digit))
}

/// Base64 of `user:password` (RFC 7617).
fn is_basic(token: &[u8]) -> bool {
    use base64::Engine as _;
    let unpadded = token.len() - token.iter().rev().take_while(|b| **b == b'=').count();
    let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(&token[..unpadded]);
    decoded.is_ok_and(|decoded| decoded.contains(&b':'))
}

/// E-mail addresses, `%40` for `@` included.
pub(super) fn emails(text: &str, found: Found<'_>) {
    let bytes = text.as_bytes();
    let mut behind = 0;
    let plain = memchr::memchr_iter(b'@', bytes).map(|at| (at, 1));
    let encoded =
        memchr::memchr_iter(b'%', bytes).filter(|at| bytes[*at..].starts_with(b"%40")).map(|at| (at, 3));
    let mut places: Vec<(usize, usize)> = plain.chain(encoded).collect();
    places.sort_unstable();
    for (at, width) in places {
        // Of what RFC 5322 allows beside these, most stands before an address more often than in it.
        let is_local = |b: &&u8| b.is_ascii_alphanumeric() || **b >= 0x80 || b"._+-!#$*^~".contains(b);
        let local = bytes[behind.min(at)..at].iter().rev().take(LONGEST_LOCAL).take_while(is_local).count();
        let is_domain = |b: &&u8| b.is_ascii_alphanumeric() || **b >= 0x80 || matches!(**b, b'.' | b'-');
        let rest = &bytes[at + width..];
        let domain = &rest[..rest.iter().take(LONGEST_DOMAIN).take_while(is_domain).count()];
        let domain = host(domain);
        let (mut start, mut end) = (at - local, at + width + domain.len());
        while !text.is_char_boundary(start) {
            start += 1;
        }
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if start < at && end > at + width {
            found(start..end);
            behind = end;
        }
    }
}

/// What of `domain` is the name of a host: it has a dot, and its last label begins with a letter. What follows a name
/// without a break counts as the name's, since too much is better than too little.
fn host(mut domain: &[u8]) -> &[u8] {
    loop {
        let spare = domain.iter().rev().take_while(|b| matches!(b, b'.' | b'-')).count();
        domain = &domain[..domain.len() - spare];
        let Some(dot) = domain.iter().rposition(|b| *b == b'.').filter(|dot| *dot > 0) else { return &[] };
        let last = &domain[dot + 1..];
        if last.len() >= 2 && (last[0].is_ascii_alphabetic() || last[0] >= 0x80) {
            return domain;
        }
        domain = &domain[..dot];
    }
}

/// Payment card numbers: digits alone or in the groups that cards show, of a known issuer, with a right check digit.
pub(super) fn cards(text: &str, found: Found<'_>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    // Where the card found last ends: what follows its full stop is no fraction of it.
    let mut card_end = None;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) {
        at = run(bytes, start);
        let stands_alone = |b: Option<&u8>| !b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        // Digits and a full stop before it make it a fraction; those of a word, such as an address, do not.
        let before = bytes[..start].strip_suffix(b".").filter(|before| card_end != Some(before.len()));
        let is_fraction = before.is_some_and(|before| {
            let digits = before.iter().rev().take_while(|b| b.is_ascii_digit()).count();
            digits > 0 && stands_alone(before[..before.len() - digits].last())
        });
        if start > 0 && !stands_alone(bytes.get(start - 1)) || is_fraction {
            continue;
        }
        let is_good = |end: &usize| stands_alone(bytes.get(*end)) && is_card(&bytes[start..*end]);
        let ends = SHAPES.iter().filter_map(|shape| grouped(bytes, start, shape)).chain([at]);
        if let Some(end) = ends.into_iter().find(is_good) {
            found(start..end);
            at = end;
            card_end = Some(end);
        }
    }
}

/// The end of the digits at `start`.
fn run(bytes: &[u8], start: usize) -> usize {
    start + bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count()
}

/// How cards group their digits.
const SHAPES: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

/// The end of digits in groups of these sizes, with the same space or dash between all.
fn grouped(bytes: &[u8], start: usize, shape: &[usize]) -> Option<usize> {
    let mut at = start;
    let mut separator = None;
    for (number, size) in shape.iter().enumerate() {
        if number > 0 {
            let here = bytes.get(at).filter(|b| matches!(b, b' ' | b'-'))?;
            if separator.is_some_and(|before| before != here) {
                return None;
            }
            separator = Some(here);
            at += 1;
        }
        let end = run(bytes, at);
        if end != at + size {
            return None;
        }
        at = end;
    }
    Some(at)
}

fn is_card(text: &[u8]) -> bool {
    let mut digits = [0u8; 19];
    let mut count = 0;
    for digit in text.iter().filter(|b| b.is_ascii_digit()) {
        let Some(place) = digits.get_mut(count) else { return false };
        *place = digit - b'0';
        count += 1;
    }
    let digits = &digits[..count];
    issued(digits) && luhn(digits)
}

/// Whether an issuer has numbers that begin and are as long as this (ISO/IEC 7812 ranges of the large networks).
fn issued(digits: &[u8]) -> bool {
    let head = digits.iter().take(4).fold(0u32, |head, digit| head * 10 + u32::from(*digit));
    matches!(
        (head, digits.len()),
        (4000..=4999, 13 | 16 | 19)
            | (5000..=5999 | 2221..=2720, 16)
            | (3400..=3499 | 3700..=3799, 15)
            | (3000..=3059 | 3095 | 3600..=3699 | 3800..=3999, 14 | 16..=19)
            | (3528..=3589 | 6000..=6999, 16..=19)
    )
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .zip([false, true].iter().cycle())
        .map(|(digit, double)| {
            let digit = u32::from(*digit) * if *double { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, find: impl Fn(&str, Found<'_>)) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut |range| found.push(range));
        found.into_iter().map(|range| &text[range]).collect()
    }

    fn check(find: impl Fn(&str, Found<'_>), cases: &[(&str, &[&str])]) {
        for (text, expected) in cases {
            assert_eq!(&all(text, &find), expected, "{text}");
        }
    }

    #[test]
    fn names_are_known_by_their_last_part() {
        for key in ["authorization", "Authorization", "http.request.header.proxy_authorization", "X-API-KEY"]
        {
            assert!(is_named(key, CREDENTIALS), "{key}");
        }
        for key in ["authorization.kind", "unauthorization", "", "x api key"] {
            assert!(!is_named(key, CREDENTIALS), "{key}");
        }
        assert!(is_named("http.response.header.set-cookie", COOKIES));
        assert!([CREDENTIALS, COOKIES].concat().iter().all(|name| name.len() <= LONGEST_NAME));
    }

    #[test]
    fn headers_are_found_in_every_spelling() {
        check(
            |text, found| headers(text, CREDENTIALS, found),
            &[
                ("GET /\r\nAuthorization: Bearer abc def\r\nHost: x", &["Bearer abc def"]),
                ("authorization:abc", &["abc"]),
                ("curl -H 'X-Api-Key: k1' -H 'b: c'", &["k1' -H 'b: c'"]),
                (r#"in {"Authorization":"Basic a\"b","x":1}"#, &[r#"Basic a\"b"#]),
                (r#"in {\"authorization\":\"Bearer t\",\"x\":1}"#, &["Bearer t"]),
                (r#"x "api_key" : ["a","b"], c"#, &[r#"["a","b"]"#]),
                ("q?api_key=k&b=c", &["k"]),
                ("authorization=Bearer tok user=1", &["Bearer tok"]),
                ("authorization=", &[]),
                ("Authorization:\nnext", &[]),
                ("unauthorized: x, reauthorization: y", &[]),
            ],
        );
        check(|text, found| headers(text, COOKIES, found), &[("Cookie: a=b; cookie=c", &["a=b; cookie=c"])]);
    }

    #[test]
    fn credentials_are_found_by_their_scheme() {
        check(
            schemes,
            &[
                ("sent bearer eyJhbGciOi.J9-_x now", &["eyJhbGciOi.J9-_x"]),
                ("basic dXNlcjpwYXNz", &["dXNlcjpwYXNz"]),
                ("Basic dXNlcjpwYXM=, x", &["dXNlcjpwYXM="]),
                ("a basic authentication, a bearer certificate, forbearer abc12345", &[]),
                ("bearer ", &[]),
            ],
        );
    }

    #[test]
    fn mail_addresses_are_found() {
        check(
            emails,
            &[
                ("from bob.b+x@example.co.uk, eve@x.io.", &["bob.b+x@example.co.uk", "eve@x.io"]),
                ("?mail=bob%40example.com&x=1", &["bob%40example.com"]),
                ("<jürgen@münchen.de>", &["jürgen@münchen.de"]),
                ("https://u:secret@host.example/x", &["secret@host.example"]),
                ("a@b, @x.de, x@, root@10.0.0.1, x@y.1", &[]),
                ("a@b.com@c.de", &["a@b.com"]),
                ("a@b.com.123, a@b.com123", &["a@b.com", "a@b.com123"]),
            ],
        );
    }

    #[test]
    fn card_numbers_are_found_and_others_are_not() {
        check(
            cards,
            &[
                ("card 4111111111111111.", &["4111111111111111"]),
                ("4111111111111111.4111111111111111", &["4111111111111111", "4111111111111111"]),
                ("a@b.com4111111111111111.4111111111111111", &["4111111111111111"]),
                ("1.4111111111111111 and 2.5.4111111111111111", &[]),
                ("4111 1111 1111 1111, 5500-0000-0000-0004", &["4111 1111 1111 1111", "5500-0000-0000-0004"]),
                ("3782 822463 10005 and 378282246310005", &["3782 822463 10005", "378282246310005"]),
                ("12 4111 1111 1111 1111 123", &["4111 1111 1111 1111"]),
                ("4111111111111112", &[]),
                ("1772438400124000000 x4111111111111111 4111111111111111a 0.4111111111111111", &[]),
                ("4111 1111-1111 1111", &[]),
                ("41111111111111111111111111111", &[]),
            ],
        );
    }
}
