//! Items that some back ends refuse for good, in the runs that have them: each back end says which are poison to it.

use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::{Run, otlp::words};
use crate::item::{Id, SAMPLES_PER_SERIES, Signal, Stream};

/// What is wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// It has text in the attribute [`CONFLICT`], of which others know that it is a number.
    Conflict,
    /// It is larger than many protocols' messages may be, however it is compressed.
    Huge,
    /// Its time has passed long ago.
    Old,
}

/// The attribute of [`Poison::Conflict`].
pub const CONFLICT: &str = "conflict";
/// Its value.
pub const NO_NUMBER: &str = "no number";

/// Every so-manieth span and log record is at odds with others …
const CONFLICTS: u64 = 50;
/// … is huge …
const HUGE: u64 = 200;
/// … and every so-manieth series is old.
const OLD: u64 = 16;
/// How large: characters of six random bits.
const HUGE_CHARS: usize = 300 << 10;
/// How old, in milliseconds.
const OLD_MS: i64 = 3 * 3_600_000;

/// What is wrong with an item, if anything.
pub fn poison(run: &Run, id: Id) -> Option<Poison> {
    if !run.is_poisoned {
        return None;
    }
    match id.stream {
        Stream::Samples1 | Stream::Samples2 => {
            (id.number / SAMPLES_PER_SERIES % OLD == 5).then_some(Poison::Old)
        }
        Stream::SpansHttp | Stream::SpansGrpc | Stream::LogsHttp | Stream::LogsGrpc => {
            match (id.number % HUGE, id.number % CONFLICTS) {
                (33, _) => Some(Poison::Huge),
                (_, 17) => Some(Poison::Conflict),
                _ => None,
            }
        }
        Stream::PointsHttp | Stream::PointsGrpc | Stream::Logpush | Stream::Kong => None,
    }
}

/// The attribute that makes a span or log record poison.
pub(super) fn attribute(run: &Run, id: Id) -> Option<KeyValue> {
    match poison(run, id)? {
        Poison::Conflict => Some(words(CONFLICT, NO_NUMBER)),
        Poison::Huge if id.stream.signal() == Signal::Traces => Some(words("huge", &huge(run, id))),
        Poison::Huge | Poison::Old => None,
    }
}

/// The body that makes a log record poison.
pub(super) fn body(run: &Run, id: Id) -> Option<String> {
    (poison(run, id) == Some(Poison::Huge)).then(|| huge(run, id))
}

fn huge(run: &Run, id: Id) -> String {
    let mut random = run.random(id, 10);
    std::iter::repeat_with(|| random.alphanumeric()).take(HUGE_CHARS).collect()
}

/// How much earlier than others a sample is, in milliseconds.
pub(super) fn age(run: &Run, id: Id) -> i64 {
    if poison(run, id) == Some(Poison::Old) { OLD_MS } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_poisoned_run_has_each_kind_and_another_has_none() {
        let run = Run { seed: 1, epoch: 1_790_000_000_000_000_000, is_poisoned: true };
        let ids = |stream| (0..400).map(move |number| Id { stream, number });
        let count = |run: &Run, stream, kind| ids(stream).filter(|id| poison(run, *id) == Some(kind)).count();
        assert_eq!(count(&run, Stream::LogsGrpc, Poison::Conflict), 8);
        assert_eq!(count(&run, Stream::SpansHttp, Poison::Huge), 2);
        assert_eq!(count(&run, Stream::Samples2, Poison::Old), 24);
        let sound = Run { is_poisoned: false, ..run };
        assert!(Stream::ALL.into_iter().flat_map(ids).all(|id| poison(&sound, id).is_none()));
        let spans = Id { stream: Stream::SpansHttp, number: 33 };
        assert_eq!(attribute(&run, spans).map(|attribute| attribute.key), Some("huge".to_owned()));
        let text = body(&run, Id { stream: Stream::LogsHttp, ..spans }).unwrap();
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap().len();
        assert!(packed > 200 << 10, "{packed}");
    }
}
