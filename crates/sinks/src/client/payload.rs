//! A request's body: one piece of bytes, or a frame's head and its content, sent without being copied together.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The pieces that are still to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    head: Bytes,
    rest: Bytes,
}

impl Payload {
    /// `head`, then `rest`.
    pub(crate) fn framed(head: Bytes, rest: Bytes) -> Self {
        Self { head, rest }
    }
}

impl From<Bytes> for Payload {
    fn from(rest: Bytes) -> Self {
        Self { head: Bytes::new(), rest }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut piece = std::mem::take(&mut self.head);
        if piece.is_empty() {
            piece = std::mem::take(&mut self.rest);
        }
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.head.len() + self.rest.len()) as u64)
    }
}
