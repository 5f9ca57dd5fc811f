//! What an answer means for the courier: by its status alone, as HTTP has it or as the operator says.

use std::collections::BTreeMap;

use http::StatusCode;
use model::Failure;

use crate::client::Answer;

/// What a status stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The peer has all of it.
    Delivered,
    /// Later again.
    Retry,
    /// Something in it is bad: it is halved until that is found.
    Refused,
    /// It is too much at once.
    TooLarge,
}

/// The statuses whose meaning the operator changed.
pub(super) type Changed = BTreeMap<u16, Class>;

/// What `status` stands for.
pub(super) fn class(status: StatusCode, changed: &Changed) -> Class {
    let number = status.as_u16();
    match (changed.get(&number), number) {
        (Some(class), _) => *class,
        (None, 200..=299) => Class::Delivered,
        (None, 413) => Class::TooLarge,
        (None, 401 | 403 | 408 | 425 | 429) => Class::Retry,
        (None, 400..=499) => Class::Refused,
        // Redirects, 5xx, and what is no status of HTTP: nothing was judged.
        (None, _) => Class::Retry,
    }
}

/// Judges an answer.
pub(super) fn verdict(answer: &Answer, changed: &Changed) -> Result<(), Failure> {
    let status = answer.status;
    let reason = match (status.as_u16(), answer.text()) {
        (300..=399, _) => format!("{status}: redirects are not followed; set the final URL"),
        (401 | 403, text) => {
            format!("the peer refuses our credentials, data is held until they are mended: {status}: {text}")
        }
        (_, text) if text.is_empty() => status.to_string(),
        (_, text) => format!("{status}: {text}"),
    };
    match class(status, changed) {
        Class::Delivered => Ok(()),
        Class::Retry => Err(Failure::Retry { after: answer.after, reason }),
        Class::Refused => Err(Failure::RefusedWhole { reason }),
        Class::TooLarge => Err(Failure::TooLarge { reason }),
    }
}
