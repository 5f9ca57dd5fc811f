//! What a peer answered, as far as anybody may look at it: its body up to a ceiling, and how long it asks to be left alone.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::UnixNanos;

/// Ceiling on what is read of an answer's body, unless the request was made for a longer one.
pub(crate) const BODY_LIMIT: usize = 64 << 10;
/// How much of what a peer says is passed on.
const EXCERPT: usize = 1 << 10;

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty unless `whole`.
    pub(crate) trailers: HeaderMap,
    /// The body's first bytes, at most as many as the request's limit.
    pub(crate) body: Bytes,
    /// Whether the body was read to its end.
    pub(crate) whole: bool,
    /// What Retry-After asks for.
    pub(crate) after: Option<Duration>,
}

impl Answer {
    /// Reads the body under the ceiling. The rest of a longer one is not read: its connection (or stream) is given up.
    pub(super) async fn read(response: Response<Incoming>, limit: usize, now: UnixNanos) -> Self {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let mut trailers = HeaderMap::new();
        let whole = loop {
            match incoming.frame().await {
                None => break true,
                Some(Err(_)) => break false,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let room = limit - body.len();
                        body.extend_from_slice(&data[..data.len().min(room)]);
                        if data.len() > room {
                            break false;
                        }
                    }
                    Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
                },
            }
        };
        let after = head.headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value, now));
        Self { status: head.status, headers: head.headers, trailers, body: body.freeze(), whole, after }
    }

    /// The first KiB of the body as one line of text.
    pub(crate) fn text(&self) -> String {
        excerpt(&self.body)
    }
}

/// At most 1 KiB of `bytes` as one line: what is not UTF-8 is replaced, control characters become spaces, so that a peer
/// cannot write into our log or terminal.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(EXCERPT)];
    let line: String =
        String::from_utf8_lossy(cut).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = line.trim().to_owned();
    if line.len() > EXCERPT {
        // A replacement character takes three bytes where the bad one took one.
        line.truncate(line.floor_char_boundary(EXCERPT));
    }
    line
}

/// Reads Retry-After (RFC 9110, 10.2.3): seconds, or a date, which is compared with `now`; a date gone by asks for no wait.
fn retry_after(value: &HeaderValue, now: UnixNanos) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit ask for longer than any courier waits.
        return (!text.is_empty()).then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_nanos(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_reads_seconds_and_dates_and_nothing_else() {
        // 1994-11-06T08:49:07Z, half a minute before the date of RFC 9110.
        let now = UnixNanos(784_111_747_000_000_000);
        let cases = [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("", None),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
        ];
        for (text, expected) in cases {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(retry_after(&value, now), expected.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn an_excerpt_is_one_printable_line_of_at_most_a_kibibyte() {
        assert_eq!(excerpt(b" bad\r\n\x1b[31mred\x00 \xff "), "bad   [31mred  \u{fffd}");
        assert!(excerpt(&[0xff; 5000]).len() <= EXCERPT);
        assert_eq!(excerpt(&[b'a'; 5000]).len(), EXCERPT);
    }
}
