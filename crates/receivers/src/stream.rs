//! A large Logpush body on its way through the cutter, inflated step by step, and the look at how a body ends.

use bytes::Bytes;
use wire::coding::{Ceiling, InflateError, Inflater, Tail};

use crate::decode::{RATIO, RATIO_AFTER};
use crate::pieces::{Cutter, Piece, Progress};

/// Bytes handed to the cutter at a time.
const STEP: usize = 1 << 20;

fn ceiling(most: usize) -> Ceiling {
    Ceiling { bytes: most, ratio_after: RATIO_AFTER, ratio: RATIO }
}

/// Inflates a body to see how it ends, keeping nothing.
pub(crate) fn survey(body: &[u8], most: usize) -> Result<Tail, InflateError> {
    let mut inflater = Inflater::new(ceiling(most));
    let mut out = Vec::new();
    let mut rest = body;
    loop {
        out.clear();
        let taken = inflater.push(rest, &mut out, STEP)?;
        rest = &rest[taken..];
        if rest.is_empty() && out.is_empty() {
            return inflater.finish();
        }
    }
}

/// A body on its way through the cutter.
pub(crate) struct Stream {
    source: Feed,
    cutter: Cutter,
    progress: Progress,
}

enum Feed {
    Plain { rest: Bytes, end: Progress },
    Gzip { rest: Bytes, inflater: Option<Inflater>, most: usize },
}

/// What comes next of a body.
pub(crate) enum Next {
    /// A piece of it.
    Piece(Piece),
    /// Nothing yet: ask again.
    More,
    /// Nothing any more.
    End,
}

impl Stream {
    /// A body that is in memory and ends like `end`.
    pub(crate) fn plain(plain: Bytes, end: Progress) -> Self {
        Self { source: Feed::Plain { rest: plain, end }, cutter: Cutter::new(), progress: Progress::Coming }
    }

    /// A gzip body, of which at most `most` plain bytes are used.
    pub(crate) fn gzip(body: Bytes, most: usize) -> Self {
        let inflater = Some(Inflater::new(ceiling(most)));
        Self {
            source: Feed::Gzip { rest: body, inflater, most },
            cutter: Cutter::new(),
            progress: Progress::Coming,
        }
    }

    /// Memory that what is not cut yet takes.
    pub(crate) fn held(&self) -> u64 {
        self.cutter.held.capacity() as u64
    }

    /// The next piece, after at most a few megabytes of work.
    pub(crate) fn next(&mut self) -> Next {
        for _ in 0..8 {
            if let Some(piece) = self.cutter.next(self.progress) {
                return Next::Piece(piece);
            }
            if self.progress != Progress::Coming {
                return Next::End;
            }
            self.progress = self.source.fill(&mut self.cutter.held);
        }
        Next::More
    }
}

impl Feed {
    /// Adds the next bytes to `held`.
    fn fill(&mut self, held: &mut Vec<u8>) -> Progress {
        match self {
            Self::Plain { rest, end } => {
                let step = rest.split_to(rest.len().min(STEP));
                held.extend_from_slice(&step);
                if rest.is_empty() { *end } else { Progress::Coming }
            }
            Self::Gzip { rest, inflater, most } => {
                let Some(active) = inflater.as_mut() else { return Progress::Ended };
                let before = held.len();
                match active.push(rest, held, STEP) {
                    Ok(taken) => {
                        let _ = rest.split_to(taken);
                    }
                    Err(_) => {
                        // The last step may have gone beyond the limit.
                        let over = active.made().saturating_sub(*most);
                        held.truncate(held.len().saturating_sub(over));
                        return Progress::Broken;
                    }
                }
                if !rest.is_empty() || held.len() > before {
                    return Progress::Coming;
                }
                match inflater.take().map(Inflater::finish) {
                    Some(Err(_)) => Progress::Broken,
                    Some(Ok(_)) | None => Progress::Ended,
                }
            }
        }
    }
}
