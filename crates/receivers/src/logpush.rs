//! Cloudflare Logpush. It retries a few times within minutes and then drops the batch, so nothing in a body makes it fail:
//! bad lines, and what is too large, are put aside and answered with 200.
//!
//! One exception: a compressed body that is cut off or damaged may be a broken transfer, so the first time it is refused with
//! nothing kept. When the same bytes come again they are what Cloudflare has: whole lines are taken, the rest is put aside.
//! Therefore a damaged end must be known before the first line is handed on: a small body is inflated whole, a large one twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use model::{ContentHash, Origin, Refusal, RefusalKind, Source};
use normalize::{Hint, Input, RawInput};
use pipeline::Lease;
use pipeline::settings::Size;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;
use wire::coding::{InflateError, Tail};

use crate::auth::Caller;
use crate::body::{Gathered, Reader};
use crate::decode::{self, Layer};
use crate::door::Routes;
use crate::kong::{by_content, refuse, set_aside, settle};
use crate::logpush_url;
use crate::otlp::POST;
use crate::pieces::{PIECE, Piece, Progress};
use crate::receiver::{Context, Receiver};
use crate::reply;
use crate::settings::Pace;
use crate::stream::{Next, Stream, survey};
use crate::table::{CheckedReceiver, ReceiverRow, check_plain};

const PATHS: &[&str] = &["/ingest/cloudflare/logpush"];
/// Bodies up to this are inflated whole and in one go; larger ones piece by piece.
const AT_ONCE: usize = 32 << 20;
/// Memory for cutting: what is held, the piece in flight, and what is made meanwhile.
const CUTTING: u64 = 3 * PIECE as u64;
/// Damaged bodies that are remembered.
const REMEMBERED: usize = 1024;
/// When a client with a damaged body may come back.
const DAMAGED_RETRY: Duration = Duration::from_secs(1);

/// The row of the Logpush receiver.
pub(crate) const ROW: ReceiverRow = ReceiverRow {
    name: "logpush",
    summary: "Cloudflare Logpush over HTTP, any dataset; name the dataset in the path or let its fields tell",
    paths: PATHS,
    schema: || schemars::schema_for!(Settings),
    check: |value| {
        let settings: Settings = pipeline::settings::read(value)?;
        let problems = check_plain(settings.max_body, settings.max_inflated, &settings.aliases);
        if problems.is_empty() { Ok(Box::new(settings)) } else { Err(problems) }
    },
    example: "logpush:\n  max_inflated: 256MiB\n  aliases: [/cloudflare]\n",
};

/// Settings of the Logpush receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Whether Logpush is taken.
    enabled: bool,
    /// Largest body as received; what exceeds it is put in the quarantine. Lower `max_upload_bytes` of the job instead.
    max_body: Size,
    /// Largest body after inflating; the lines before are kept, the rest is put in the quarantine.
    max_inflated: Size,
    /// Further paths, each served exactly as written and with a dataset behind it.
    aliases: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, max_body: Size(256 << 20), max_inflated: Size(256 << 20), aliases: Vec::new() }
    }
}

impl CheckedReceiver for Settings {
    fn enabled(&self) -> bool {
        self.enabled
    }

    fn paths(&self) -> Vec<String> {
        PATHS.iter().map(|path| (*path).to_owned()).chain(self.aliases.iter().cloned()).collect()
    }

    fn mount(self: Box<Self>, source: Source, context: &Context, routes: &mut Routes) {
        let logpush = Arc::new(Logpush {
            receiver: Receiver::new(context, source),
            pace: Pace { total: None, ..context.pace },
            most: self.max_body.0 as usize,
            most_plain: self.max_inflated.0 as usize,
            damaged: Mutex::new(VecDeque::new()),
        });

        for path in self.paths() {
            let (logpush, base) = (Arc::clone(&logpush), path.clone());
            routes.add_with_below(&path, POST, move |request| {
                let (logpush, base) = (Arc::clone(&logpush), base.clone());
                async move { logpush.handle(&base, request).await }
            });
        }
    }
}

struct Logpush {
    receiver: Receiver,
    /// Bodies may be large: the rate counts, not the time.
    pace: Pace,
    most: usize,
    most_plain: usize,
    /// Hashes of damaged bodies, oldest first.
    damaged: Mutex<VecDeque<ContentHash>>,
}

impl Logpush {
    async fn handle(&self, base: &str, request: Request<Body>) -> Response<Body> {
        self.receiver.meter.request();
        let mut origin = self.receiver.origin(&request);
        match self.take(base, &mut origin, request).await {
            Ok(()) => reply::empty(StatusCode::OK),
            Err(Refused { refusal, by_intake }) => {
                self.receiver.meter.refused(refusal.kind);
                if !by_intake {
                    self.receiver.context.intake.refused(&origin, &refusal);
                }
                refuse(&refusal)
            }
        }
    }

    async fn take(&self, base: &str, origin: &mut Origin, request: Request<Body>) -> Result<(), Refused> {
        let receiver = &self.receiver;
        let caller = request.extensions().get::<Caller>().cloned();
        let url = logpush_url::read(base, request.uri())?;
        if let Some(named) = url.tenant {
            origin.tenant = logpush_url::choose(caller, &named)?;
        }
        let (head, body) = request.into_parts();
        let reader = Reader::lenient(&head.headers, body, self.most, &receiver.context.memory, &self.pace)?;
        let (gathered, ended) = reader.up_to_limit().await?;
        receiver.meter.received(gathered.bytes.len());
        let part = Part { receiver, origin, hint: &url.hint };
        if !ended {
            return self.cut_off(&part, gathered, &head.headers).await;
        }
        match by_content(receiver, &head.headers, &gathered).first() {
            None => {
                let Gathered { bytes, mut lease } = gathered;
                part.plain(bytes, Progress::Ended, &mut lease, self.most_plain).await
            }
            Some(Layer::Coding(Coding::Gzip)) => self.gzip(&part, gathered).await,
            Some(layer) => self.other(&part, *layer, gathered).await,
        }
    }

    /// A body larger than any limit: its whole lines below the limit.
    async fn cut_off(&self, part: &Part<'_>, gathered: Gathered, headers: &HeaderMap) -> Result<(), Refused> {
        let refusal = crate::body::too_large(None, self.most);
        match by_content(part.receiver, headers, &gathered).first() {
            None => {
                let Gathered { bytes, mut lease } = gathered;
                part.plain(bytes, Progress::Broken, &mut lease, self.most_plain).await
            }
            Some(Layer::Coding(Coding::Gzip)) => {
                let Gathered { bytes, lease } = gathered;
                let stream = Stream::gzip(bytes, self.most_plain);
                part.stream(stream, lease, &refusal).await
            }
            Some(_) => {
                set_aside(part.receiver, part.origin, &refusal, &gathered.bytes);
                Ok(())
            }
        }
    }

    async fn gzip(&self, part: &Part<'_>, gathered: Gathered) -> Result<(), Refused> {
        let context = &part.receiver.context;
        let Gathered { bytes: body, mut lease } = gathered;
        // The usual case: whole, sound, and small enough to be inflated in one go.
        let held = lease.bytes();
        let (at_once, compressed) = (AT_ONCE.min(self.most_plain), body.clone());
        let (inflated, mut lease) = decode::off_worker(&context.workers, move || {
            let inflated = decode::widen(Coding::Gzip, &compressed, &mut lease, at_once);
            let made = inflated.as_ref().map_or(0, Vec::capacity);
            lease.shrink_to(held + made as u64);
            Ok((inflated, lease))
        })
        .await?;
        match inflated {
            Ok(plain) => {
                drop(body);
                return part.plain(Bytes::from(plain), Progress::Ended, &mut lease, self.most_plain).await;
            }
            Err(refusal) if refusal.kind == RefusalKind::Unavailable => return Err(refusal.into()),
            Err(_) => {}
        }
        let (compressed, most) = (body.clone(), self.most_plain);
        let end = decode::off_worker(&context.workers, move || Ok(survey(&compressed, most))).await?;
        match end {
            Ok(Tail::Clean) => {}
            Ok(Tail::Garbage) => part.receiver.meter.odd("trailing_bytes"),
            Err(InflateError::TooLarge { .. } | InflateError::Ratio { .. }) => {}
            Err(ref error) => self.remember(part.origin, &body, &error.to_string())?,
        }
        let refusal = match end {
            Ok(_) => Refusal::malformed("the body ends inside a record"),
            Err(error) => decode::refusal(&error),
        };
        part.stream(Stream::gzip(body, self.most_plain), lease, &refusal).await
    }

    /// zstd: not sent by Cloudflare, but by relays.
    async fn other(&self, part: &Part<'_>, layer: Layer, gathered: Gathered) -> Result<(), Refused> {
        let body = gathered.bytes.clone();
        match decode::inflate(&part.receiver.context.workers, vec![layer], gathered, self.most_plain).await {
            Ok(decoded) => {
                let (plain, mut lease) = (decoded.plain, decoded.lease);
                part.plain(plain, Progress::Ended, &mut lease, self.most_plain).await
            }
            Err(refusal) if refusal.kind == RefusalKind::Malformed => {
                self.remember(part.origin, &body, &refusal.message)?;
                set_aside(part.receiver, part.origin, &refusal, &body);
                Ok(())
            }
            Err(refusal) => Ok(settle(part.receiver, part.origin, refusal, &body)?),
        }
    }

    /// Refuses a damaged body unless it has come before.
    fn remember(&self, origin: &Origin, body: &[u8], what: &str) -> Result<(), Refusal> {
        let hash = ContentHash::of(origin, body);
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.contains(&hash) {
            return Ok(());
        }
        if damaged.len() == REMEMBERED {
            damaged.pop_front();
        }
        damaged.push_back(hash);
        Err(Refusal::unavailable(format!("{what}; nothing was kept, send it again"), DAMAGED_RETRY))
    }
}

/// A refusal, and who spoke it: the intake counts its own.
struct Refused {
    refusal: Refusal,
    by_intake: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, by_intake: false }
    }
}

/// What pieces of one request share.
struct Part<'a> {
    receiver: &'a Receiver,
    origin: &'a Origin,
    hint: &'a Hint,
}

impl Part<'_> {
    /// Takes a body that is in memory.
    async fn plain(
        &self,
        plain: Bytes,
        end: Progress,
        lease: &mut Lease,
        most: usize,
    ) -> Result<(), Refused> {
        let (plain, end) =
            if plain.len() > most { (plain.slice(..most), Progress::Broken) } else { (plain, end) };
        if end == Progress::Ended && plain.len() <= PIECE {
            self.receiver.meter.inflated(plain.len());
            if !is_validation(&plain) {
                self.submit(0, plain).await?;
            }
            return Ok(());
        }
        lease.grow(CUTTING)?;
        let refusal = crate::body::too_large(None, most);
        self.cut(Stream::plain(plain, end), lease, &refusal).await
    }

    /// Takes a body that is inflated piece by piece; `broken` says what is wrong with what cannot be used.
    async fn stream(&self, stream: Stream, mut lease: Lease, broken: &Refusal) -> Result<(), Refused> {
        lease.grow(CUTTING)?;
        self.cut(stream, &mut lease, broken).await
    }

    async fn cut(&self, mut stream: Stream, lease: &mut Lease, broken: &Refusal) -> Result<(), Refused> {
        let base = lease.bytes();
        let mut index = 0u32;
        loop {
            let piece;
            (stream, piece) = decode::off_worker(&self.receiver.context.workers, move || {
                let piece = stream.next();
                Ok((stream, piece))
            })
            .await?;
            // Only a body that cannot be cut holds more than what is leased.
            let held = stream.held();
            lease.grow((base + held.saturating_sub(CUTTING)).saturating_sub(lease.bytes()))?;
            match piece {
                Next::More => {}
                Next::End => return Ok(()),
                Next::Piece(Piece::Records(bytes)) => {
                    self.receiver.meter.inflated(bytes.len());
                    index = index.saturating_add(self.submit(index, bytes).await?);
                }
                Next::Piece(Piece::TooLong { head, length }) => {
                    let (length, most) = (Size(length as u64), Size(PIECE as u64));
                    let message = format!("record {index} of {length} exceeds the limit of {most}");
                    set_aside(self.receiver, self.origin, &Refusal::too_large(message), &head);
                    index = index.saturating_add(1);
                }
                Next::Piece(Piece::Rest { head }) => {
                    let message = format!("from record {index} on: {}", broken.message);
                    let refusal = Refusal { message, ..broken.clone() };
                    set_aside(self.receiver, self.origin, &refusal, &head);
                }
            }
        }
    }

    /// Submits one piece; answers how many records were met in it.
    async fn submit(&self, first_index: u32, bytes: Bytes) -> Result<u32, Refused> {
        if bytes.trim_ascii().is_empty() {
            return Ok(0);
        }
        let hint = Hint { first_index, ..self.hint.clone() };
        let input = RawInput { origin: self.origin.clone(), hint, bytes: bytes.clone() };
        match self.receiver.context.intake.submit(Input::Raw(input)).await {
            Ok(accepted) => {
                self.receiver.count_rejected(&accepted.rejected);
                Ok(accepted.seen)
            }
            Err(refusal) => match settle(self.receiver, self.origin, refusal, &bytes) {
                Ok(()) => Ok(0),
                Err(refusal) => Err(Refused { refusal, by_intake: true }),
            },
        }
    }
}

/// Cloudflare's upload when a job is made, which is no data.
fn is_validation(plain: &[u8]) -> bool {
    matches!(
        plain.trim_ascii(),
        b"" | b"test" | b"tests" | b"{\"content\":\"tests\"}" | b"{\"content\":\"test\"}"
    )
}
