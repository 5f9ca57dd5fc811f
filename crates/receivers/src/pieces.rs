//! Cuts a large body into pieces of whole lines, so that no more than a few pieces of it are in memory at once.
//!
//! Where a piece ends depends on the plain bytes alone, never on how they arrived: the same body sent again makes the same
//! pieces, and so the same batches. JSON that is not one record a line (an array, an envelope over several lines) stays
//! whole, up to a limit of its own.

use bytes::Bytes;
use memchr::{memchr, memrchr};

/// Largest piece of whole lines, and so the longest line.
pub(crate) const PIECE: usize = 4 << 20;
/// Largest body that cannot be cut at line ends.
pub(crate) const WHOLE: usize = 64 << 20;
/// How much of what is not taken is kept.
const HEAD: usize = 64 << 10;

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole lines, or a whole body.
    Records(Bytes),
    /// A line that is too long, or a whole that is too large: passed over.
    TooLong {
        /// Its first bytes.
        head: Bytes,
        /// Its length as far as it was seen.
        length: usize,
    },
    /// What follows the last whole line of a broken body.
    Rest {
        /// Its first bytes.
        head: Bytes,
    },
}

/// How much of the body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More will come.
    Coming,
    /// All of it.
    Ended,
    /// All that will: its end is missing or not to be used.
    Broken,
}

/// What cannot be cut, or not yet known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unknown,
    Lines,
    Whole,
}

#[derive(Debug)]
struct Skipped {
    head: Bytes,
    length: usize,
    /// Up to the next line end, or up to the end of the body.
    line: bool,
}

/// Bytes that came and were not cut yet.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// Append here, at most about a megabyte between two calls of `next`.
    pub(crate) held: Vec<u8>,
    shape: Shape,
    skipped: Option<Skipped>,
}

impl Cutter {
    pub(crate) fn new() -> Self {
        Self { held: Vec::new(), shape: Shape::Unknown, skipped: None }
    }

    /// The next piece, if one is ready. After `Ended` or `Broken`, `None` means that nothing is left.
    pub(crate) fn next(&mut self, progress: Progress) -> Option<Piece> {
        loop {
            if self.skipped.is_some() {
                return self.skip(progress);
            }
            match self.shape {
                Shape::Unknown if self.held.len() < PIECE && progress == Progress::Coming => return None,
                Shape::Unknown => self.shape = shape(&self.held),
                Shape::Whole if self.held.len() > WHOLE => self.begin_skip(false),
                Shape::Whole => return self.whole(progress),
                Shape::Lines if self.held.len() > PIECE => match memrchr(b'\n', &self.held[..PIECE]) {
                    Some(end) => return Some(self.records(end + 1)),
                    None => self.begin_skip(true),
                },
                Shape::Lines => return self.last_lines(progress),
            }
        }
    }

    fn last_lines(&mut self, progress: Progress) -> Option<Piece> {
        match progress {
            Progress::Coming => None,
            Progress::Ended => self.remainder().map(Piece::Records),
            Progress::Broken => match memrchr(b'\n', &self.held) {
                Some(end) => Some(self.records(end + 1)),
                None => self.rest(),
            },
        }
    }

    fn whole(&mut self, progress: Progress) -> Option<Piece> {
        match progress {
            Progress::Coming => None,
            Progress::Ended => self.remainder().map(Piece::Records),
            Progress::Broken => self.rest(),
        }
    }

    fn remainder(&mut self) -> Option<Bytes> {
        let bytes = Bytes::from(std::mem::take(&mut self.held));
        (!bytes.trim_ascii().is_empty()).then_some(bytes)
    }

    fn rest(&mut self) -> Option<Piece> {
        let bytes = self.remainder()?;
        Some(Piece::Rest { head: Bytes::copy_from_slice(&bytes[..bytes.len().min(HEAD)]) })
    }

    fn records(&mut self, end: usize) -> Piece {
        let after = self.held.split_off(end);
        Piece::Records(Bytes::from(std::mem::replace(&mut self.held, after)))
    }

    fn begin_skip(&mut self, line: bool) {
        let head = Bytes::copy_from_slice(&self.held[..self.held.len().min(HEAD)]);
        self.skipped = Some(Skipped { head, length: 0, line });
    }

    fn skip(&mut self, progress: Progress) -> Option<Piece> {
        let skipped = self.skipped.as_mut()?;
        let end = if skipped.line { memchr(b'\n', &self.held) } else { None };
        match end {
            Some(end) => {
                skipped.length += end;
                self.held.drain(..=end);
            }
            None => {
                skipped.length += self.held.len();
                self.held.clear();
                if progress == Progress::Coming {
                    return None;
                }
            }
        }
        let Skipped { head, length, .. } = self.skipped.take()?;
        Some(Piece::TooLong { head, length })
    }
}

/// Lines, unless the first of them is plainly not a record of its own.
fn shape(head: &[u8]) -> Shape {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match head.first() {
        Some(b'[') => Shape::Whole,
        Some(b'{') => {
            let line = &head[..memchr(b'\n', head).unwrap_or(head.len())];
            if closes(line) { Shape::Lines } else { Shape::Whole }
        }
        _ => Shape::Lines,
    }
}

/// Whether an object that begins with a line also ends with it.
fn closes(line: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth == 0 && !quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(body: &[u8], step: usize, end: Progress) -> Vec<Piece> {
        let mut cutter = Cutter::new();
        let mut pieces = Vec::new();
        for part in body.chunks(step) {
            cutter.held.extend_from_slice(part);
            while let Some(piece) = cutter.next(Progress::Coming) {
                pieces.push(piece);
            }
        }
        while let Some(piece) = cutter.next(end) {
            pieces.push(piece);
        }
        pieces
    }

    fn line(length: usize) -> Vec<u8> {
        let mut line = b"{\"a\":\"".to_vec();
        line.resize(length - 3, b'x');
        line.extend_from_slice(b"\"}\n");
        line
    }

    #[test]
    fn a_small_body_is_one_piece() {
        for body in [&b"{}\n{}\n"[..], b"{}", b"[1,2]", b"{\n}", b"a,b\n"] {
            let expected = vec![Piece::Records(Bytes::from_static(body))];
            assert_eq!(cut(body, 1, Progress::Ended), expected);
        }
        assert_eq!(cut(b" \n\r\n", 1, Progress::Ended), []);
        assert_eq!(cut(b"", 1, Progress::Broken), []);
    }

    #[test]
    fn large_bodies_are_cut_at_line_ends() {
        let mut body = Vec::new();
        for _ in 0..10 {
            body.extend(line(1 << 20));
            body.extend_from_slice(b"\n");
        }
        let pieces = cut(&body, 100_000, Progress::Ended);
        let lengths: Vec<_> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Records(bytes) => bytes.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        let three = 3 * ((1 << 20) + 1);
        assert_eq!(lengths, [three, three, three, (1 << 20) + 1]);
        for step in [1 << 16, 1 << 20] {
            assert_eq!(cut(&body, step, Progress::Ended), pieces, "pieces depend on the bytes alone");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let body = [line(10), line(PIECE + 5), line(20)].concat();
        let pieces = cut(&body, 1 << 20, Progress::Ended);
        let [Piece::Records(bytes), Piece::TooLong { head, length }, last] = &pieces[..] else {
            panic!("{pieces:?}")
        };
        assert_eq!((bytes.len(), head.len(), *length), (10, HEAD, PIECE + 4));
        assert_eq!(*last, Piece::Records(line(20).into()));
        let body = [line(10), line(PIECE + 5)].concat();
        assert!(matches!(cut(&body[..body.len() - 1], 1 << 20, Progress::Ended)[1], Piece::TooLong { .. }));
    }

    #[test]
    fn a_broken_body_keeps_its_whole_lines() {
        let expected = vec![
            Piece::Records(Bytes::from_static(b"{}\n{}\n")),
            Piece::Rest { head: Bytes::from_static(b"{\"a\":") },
        ];
        assert_eq!(cut(b"{}\n{}\n{\"a\":", 3, Progress::Broken), expected);
        let whole = vec![Piece::Rest { head: Bytes::from_static(b"[1,\n2") }];
        assert_eq!(cut(b"[1,\n2", 3, Progress::Broken), whole);
    }

    #[test]
    fn what_is_not_lines_stays_whole_up_to_its_limit() {
        let mut array = b"[".to_vec();
        array.resize(2 * PIECE, b' ');
        array.extend_from_slice(b"\n{}\n]");
        let pieces = cut(&array, 1 << 20, Progress::Ended);
        assert_eq!(pieces, [Piece::Records(array.into())]);
        let mut huge = b"{\"events\":[\n".to_vec();
        huge.resize(WHOLE + (3 << 20), b'\n');
        let pieces = cut(&huge, 1 << 20, Progress::Ended);
        let [Piece::TooLong { length, .. }] = &pieces[..] else { panic!("{}", pieces.len()) };
        assert_eq!(*length, huge.len());
    }

    #[test]
    fn braces_inside_strings_do_not_count() {
        for (line, expected) in [
            (&b"{\"a\":\"}{\\\"{\"}"[..], true),
            (b"{\"a\":{}}\r", true),
            (b"{\"events\":[{\"info\":{}}", false),
            (b"{", false),
        ] {
            assert_eq!(closes(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_is_lost_and_nothing_is_added(body in proptest::collection::vec(prop::sample::select(b"{}[]\"\\\n\r ab".to_vec()), 0..200), step in 1usize..50, broken: bool) {
            let end = if broken { Progress::Broken } else { Progress::Ended };
            let mut joined = Vec::new();
            for piece in cut(&body, step, end) {
                match piece {
                    Piece::Records(bytes) => joined.extend_from_slice(&bytes),
                    Piece::Rest { head, .. } => joined.extend_from_slice(&head),
                    Piece::TooLong { .. } => prop_assert!(false),
                }
            }
            prop_assert!(body.starts_with(&joined) && body[joined.len()..].trim_ascii().is_empty());
        }
    }
}
