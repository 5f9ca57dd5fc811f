//! Reading a request's body: never more than the memory pool, the protocol's limit and the clock allow.

use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use model::Refusal;
use pipeline::settings::Size;
use pipeline::{Lease, Memory};
use tokio::time::{Instant, timeout_at};

use crate::settings::Pace;

/// What is taken from the pool at first for a body of unknown or large size; what is declared is not believed beyond it.
const FIRST: usize = 1 << 20;
/// When a client whose body was too slow or cut off may come back.
const SLOW_RETRY: Duration = Duration::from_secs(1);

/// A body as received, with the memory it is held in.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// The memory; covers at least `bytes`.
    pub(crate) lease: Lease,
}

/// A body that is being read.
pub(crate) struct Reader<'a> {
    body: Body,
    declared: Option<usize>,
    cap: usize,
    bytes: Vec<u8>,
    lease: Lease,
    pace: &'a Pace,
    started: Instant,
}

impl<'a> Reader<'a> {
    /// Takes the first memory for a body of at most `cap` bytes. A body that declares more is refused unread.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        cap: usize,
        memory: &Memory,
        pace: &'a Pace,
    ) -> Result<Self, Refusal> {
        let declared = declared(headers);
        if let Some(length) = declared.filter(|length| *length > cap) {
            return Err(too_large(Some(length), cap));
        }
        Self::lenient(headers, body, cap, memory, pace)
    }

    /// Like `new`, for protocols that keep the part of a body below `cap`.
    pub(crate) fn lenient(
        headers: &HeaderMap,
        body: Body,
        cap: usize,
        memory: &Memory,
        pace: &'a Pace,
    ) -> Result<Self, Refusal> {
        let declared = declared(headers);
        let first = declared.unwrap_or(FIRST).min(FIRST).min(cap);
        let lease = memory.lease(first as u64)?;
        let bytes = Vec::with_capacity(if declared.is_some() { first } else { 0 });
        Ok(Self { body, declared, cap, bytes, lease, pace, started: Instant::now() })
    }

    /// What has been read.
    pub(crate) fn so_far(&self) -> &[u8] {
        &self.bytes
    }

    /// Sets a limit that became known while reading; at least what is already there.
    pub(crate) fn limit(&mut self, cap: usize) {
        self.cap = cap.max(self.bytes.len());
        self.declared = Some(self.cap);
    }

    /// Reads until at least `length` bytes are there; `false` when the body ended before. More than the limit is an error,
    /// and what came up to the limit is then kept.
    pub(crate) async fn until(&mut self, length: usize) -> Result<bool, Refusal> {
        while self.bytes.len() < length {
            if !self.frame().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads to the end.
    pub(crate) async fn all(mut self) -> Result<Gathered, Refusal> {
        while self.frame().await? {}
        Ok(self.close())
    }

    /// Reads to the end or the limit, whichever comes first; says whether that was the end.
    pub(crate) async fn up_to_limit(mut self) -> Result<(Gathered, bool), Refusal> {
        loop {
            match self.frame().await {
                Ok(true) => {}
                Ok(false) => return Ok((self.close(), true)),
                Err(refusal) if refusal.kind == model::RefusalKind::TooLarge => {
                    return Ok((self.close(), false));
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Reads one frame; `false` at the end.
    async fn frame(&mut self) -> Result<bool, Refusal> {
        let frame = match timeout_at(self.deadline(), pin!(self.body.frame())).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let message = format!("body broke off after {} bytes: {error}", self.bytes.len());
                return Err(Refusal::unavailable(message, SLOW_RETRY));
            }
            Ok(None) => return Ok(false),
            Err(_) => {
                let (read, seconds) = (self.bytes.len(), self.started.elapsed().as_secs_f32());
                let message = format!("body of {read} bytes so far is too slow after {seconds:.1} s");
                return Err(Refusal::unavailable(message, SLOW_RETRY));
            }
        };
        let Ok(data) = frame.into_data() else { return Ok(true) };
        let room = self.cap - self.bytes.len();
        if data.len() > room {
            self.push(&data[..room])?;
            return Err(too_large(None, self.cap));
        }
        self.push(&data)?;
        Ok(true)
    }

    fn deadline(&self) -> Instant {
        let earned = Duration::from_secs_f64(self.bytes.len() as f64 / self.pace.rate as f64);
        let allowed = self.pace.grace + earned;
        self.started + self.pace.total.map_or(allowed, |total| total.min(allowed))
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let needed = self.bytes.len() + data.len();
        if needed > self.bytes.capacity() {
            let doubled = (self.bytes.capacity() * 2).max(4 << 10);
            let wanted = doubled.min(self.declared.unwrap_or(self.cap).min(self.cap)).max(needed);
            let more = (wanted as u64).saturating_sub(self.lease.bytes());
            self.lease.grow(more)?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn close(mut self) -> Gathered {
        // A body of unknown length ends with up to half its room unused.
        if self.bytes.capacity() > self.bytes.len() + self.bytes.len() / 8 {
            self.bytes.shrink_to_fit();
        }
        self.lease.shrink_to(self.bytes.capacity() as u64);
        Gathered { bytes: Bytes::from(self.bytes), lease: self.lease }
    }
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// A body above its limit.
pub(crate) fn too_large(length: Option<usize>, cap: usize) -> Refusal {
    let cap = Size(cap as u64);
    Refusal::too_large(match length {
        Some(length) => format!("body of {} exceeds the limit of {cap}", Size(length as u64)),
        None => format!("body exceeds the limit of {cap}"),
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use model::RefusalKind;

    use super::*;

    const PACE: Pace =
        Pace { grace: Duration::from_secs(10), rate: 1000, total: Some(Duration::from_secs(60)) };

    fn chunks(sizes: &[usize]) -> Body {
        let parts: Vec<_> =
            sizes.iter().map(|size| Ok::<_, Infallible>(Bytes::from(vec![7; *size]))).collect();
        Body::from_stream(stream::iter(parts))
    }

    fn with_length(length: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_LENGTH, length.parse().unwrap())])
    }

    #[tokio::test]
    async fn memory_is_held_for_what_is_there_and_given_back() {
        let memory = Memory::new(64 << 20);
        let cases: [(&[usize], Option<&str>); 5] = [
            (&[], None),
            (&[1], None),
            (&[100; 3], Some("300")),
            (&[1 << 20; 5], None),
            (&[1 << 20; 5], Some("5242880")),
        ];
        for (sizes, length) in cases {
            let total: usize = sizes.iter().sum();
            let headers = length.map(with_length).unwrap_or_default();
            let reader = Reader::new(&headers, chunks(sizes), 32 << 20, &memory, &PACE).unwrap();
            let gathered = reader.all().await.unwrap();
            assert_eq!(gathered.bytes, vec![7; total]);
            assert!(
                memory.used() >= total as u64 && memory.used() <= total as u64 * 9 / 8,
                "{}",
                memory.used()
            );
            drop(gathered);
            assert_eq!(memory.used(), 0);
        }
    }

    #[tokio::test]
    async fn a_declared_length_takes_no_memory_that_does_not_come() {
        let memory = Memory::new(4 << 20);
        let reader = Reader::new(&with_length("30000000"), chunks(&[10]), 32 << 20, &memory, &PACE).unwrap();
        assert_eq!(memory.used(), 1 << 20);
        drop(reader);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused_before_or_while_reading() {
        let memory = Memory::new(64 << 20);
        let Err(refusal) = Reader::new(&with_length("1025"), chunks(&[]), 1024, &memory, &PACE) else {
            panic!()
        };
        assert_eq!(refusal.kind, RefusalKind::TooLarge);
        assert_eq!(refusal.message, "body of 1025B exceeds the limit of 1KiB");
        // An endless body: only what fits is read.
        let endless =
            Body::from_stream(stream::repeat(Bytes::from_static(&[1; 100])).map(Ok::<_, Infallible>));
        let reader = Reader::new(&HeaderMap::new(), endless, 1024, &memory, &PACE).unwrap();
        assert_eq!(reader.all().await.unwrap_err().message, "body exceeds the limit of 1KiB");
        let endless =
            Body::from_stream(stream::repeat(Bytes::from_static(&[1; 100])).map(Ok::<_, Infallible>));
        let reader = Reader::lenient(&HeaderMap::new(), endless, 1024, &memory, &PACE).unwrap();
        let (kept, ended) = reader.up_to_limit().await.unwrap();
        assert_eq!((kept.bytes.len(), ended), (1024, false));
        drop(kept);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_full_pool_refuses_with_a_time_to_come_back() {
        let memory = Memory::new(3 << 20);
        let reader = Reader::new(&HeaderMap::new(), chunks(&[1 << 20; 8]), 32 << 20, &memory, &PACE).unwrap();
        let refusal = reader.all().await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Unavailable);
        assert!(refusal.retry_after.is_some());
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_must_keep_the_pace() {
        let memory = Memory::new(64 << 20);
        let check = async |every: Duration, size: usize, count: usize| {
            let parts = stream::unfold(0, move |sent| async move {
                if sent == count {
                    return None;
                }
                tokio::time::sleep(every).await; // waits for time: on a paused clock
                Some((Ok::<_, Infallible>(Bytes::from(vec![0; size])), sent + 1))
            });
            let reader =
                Reader::new(&HeaderMap::new(), Body::from_stream(parts), 32 << 20, &memory, &PACE).unwrap();
            let begun = Instant::now();
            let result = reader.all().await.map(|g| g.bytes.len()).map_err(|r| r.kind);
            (result, begun.elapsed().as_secs())
        };
        let second = Duration::from_secs(1);
        assert_eq!(check(second, 1, 9).await, (Ok(9), 9));
        assert_eq!(check(second, 1, 1000).await, (Err(RefusalKind::Unavailable), 10));
        assert_eq!(check(second, 2000, 30).await, (Ok(60_000), 30));
        assert_eq!(check(second, 500, 1000).await, (Err(RefusalKind::Unavailable), 19));
        assert_eq!(check(second, 1 << 20, 1000).await.1, 33, "the limit ends it");
        assert_eq!(check(second, 10_000, 1000).await, (Err(RefusalKind::Unavailable), 60));
        assert_eq!(memory.used(), 0);
    }
}
