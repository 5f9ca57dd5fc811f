//! Kong's http-log plugin: one record, or an array of them. Kong resends whatever is not a success for a minute, head of
//! line, and then drops the batch; so what can never be taken is put aside and answered with 200.

use axum::body::Body;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use model::{Origin, Refusal, RefusalKind, Source};
use normalize::{Hint, Input, RawInput, Shape};
use pipeline::settings::Size;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;

use crate::body::{Gathered, Reader};
use crate::decode::{self, Decoded, Layer};
use crate::door::Routes;
use crate::receiver::{Context, Receiver};
use crate::reply;
use crate::table::{CheckedReceiver, ReceiverRow, check_plain};

const PATHS: &[&str] = &["/ingest/kong/http-log"];
const METHODS: &[Method] = &[Method::POST, Method::PUT, Method::PATCH];
/// How much of a body that is put aside is kept.
pub(crate) const ASIDE: usize = 64 << 10;

/// The row of the Kong receiver.
pub(crate) const ROW: ReceiverRow = ReceiverRow {
    name: "kong",
    summary: "records of Kong's http-log plugin, single or in batches",
    paths: PATHS,
    schema: || schemars::schema_for!(Settings),
    check: |value| {
        let settings: Settings = pipeline::settings::read(value)?;
        let problems = check_plain(settings.max_body, settings.max_inflated, &settings.aliases);
        if problems.is_empty() { Ok(Box::new(settings)) } else { Err(problems) }
    },
    example: "kong:\n  max_body: 32MiB\n  aliases: [/kong-logs]\n",
};

/// Settings of the Kong receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Whether Kong's records are taken.
    enabled: bool,
    /// Largest body as received; a larger one is put in the quarantine.
    max_body: Size,
    /// Largest body after inflating; a larger one is put in the quarantine.
    max_inflated: Size,
    /// Further paths, each served exactly as written.
    aliases: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, max_body: Size(32 << 20), max_inflated: Size(64 << 20), aliases: Vec::new() }
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
        let receiver = Receiver::new(context, source);
        let (most, most_plain) = (self.max_body.0 as usize, self.max_inflated.0 as usize);
        for path in self.paths() {
            let receiver = receiver.clone();
            routes.add(&path, METHODS, move |request| {
                let receiver = receiver.clone();
                async move {
                    receiver.meter.request();
                    let origin = receiver.origin(&request);
                    let read = read(&receiver, &origin, most, most_plain, request).await;
                    let taken = match read {
                        Ok(None) => Ok(()),
                        Ok(Some(decoded)) => submit(&receiver, &origin, decoded).await,
                        Err(refusal) => {
                            receiver.context.intake.refused(&origin, &refusal);
                            Err(refusal)
                        }
                    };
                    match taken {
                        Ok(()) => reply::empty(StatusCode::OK),
                        Err(refusal) => {
                            receiver.meter.refused(refusal.kind);
                            refuse(&refusal)
                        }
                    }
                }
            });
        }
    }
}

/// Reads a body; `None` when there is nothing to submit, because it is empty or was put aside.
async fn read(
    receiver: &Receiver,
    origin: &Origin,
    most: usize,
    most_plain: usize,
    request: Request<Body>,
) -> Result<Option<Decoded>, Refusal> {
    let context = &receiver.context;
    let (head, body) = request.into_parts();
    // Of what cannot be taken anyway only the part that is put aside is read.
    let cap = if declares_more(&head.headers, most) { ASIDE.min(most) } else { most };
    let reader = Reader::lenient(&head.headers, body, cap, &context.memory, &context.pace)?;
    let (gathered, ended) = reader.up_to_limit().await?;
    receiver.meter.received(gathered.bytes.len());
    let body = gathered.bytes.clone();
    if !ended {
        set_aside(receiver, origin, &crate::body::too_large(None, most), &body);
        return Ok(None);
    }
    let layers = by_content(receiver, &head.headers, &gathered);
    match decode::inflate(&context.workers, layers, gathered, most_plain).await {
        Ok(decoded) => {
            receiver.meter.inflated(decoded.plain.len());
            Ok(if decoded.plain.trim_ascii().is_empty() { None } else { Some(decoded) })
        }
        Err(refusal) => settle(receiver, origin, refusal, &body).map(|()| None),
    }
}

async fn submit(receiver: &Receiver, origin: &Origin, decoded: Decoded) -> Result<(), Refusal> {
    let hint = Hint { shape: Shape::Kong, ..Hint::default() };
    let input = RawInput { origin: origin.clone(), hint, bytes: decoded.plain.clone() };
    match receiver.context.intake.submit(Input::Raw(input)).await {
        Ok(accepted) => {
            receiver.count_rejected(&accepted.rejected);
            Ok(())
        }
        Err(refusal) => settle(receiver, origin, refusal, &decoded.plain),
    }
}

/// Whether a body says that it is longer than `most`.
pub(crate) fn declares_more(headers: &HeaderMap, most: usize) -> bool {
    let declared =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse::<usize>().ok());
    declared.is_some_and(|length| length > most)
}

/// The coding of a body by its first bytes; a header that says otherwise is counted.
pub(crate) fn by_content(receiver: &Receiver, headers: &HeaderMap, gathered: &Gathered) -> Vec<Layer> {
    let coding = wire::coding::sniff(&gathered.bytes);
    let claimed =
        headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase());
    let agrees = match claimed.as_deref() {
        Some(b"gzip" | b"x-gzip") => coding == Some(Coding::Gzip),
        Some(b"zstd") => coding == Some(Coding::Zstd),
        Some(b"" | b"identity") | None => coding.is_none(),
        Some(_) => false,
    };
    if !agrees && !gathered.bytes.is_empty() {
        receiver.meter.odd("content_encoding");
    }
    coding.map(Layer::Coding).into_iter().collect()
}

/// Lets the sender come back where that can help; otherwise puts the body aside, which ends the matter for the sender.
pub(crate) fn settle(
    receiver: &Receiver,
    origin: &Origin,
    refusal: Refusal,
    body: &[u8],
) -> Result<(), Refusal> {
    match refusal.kind {
        RefusalKind::Malformed | RefusalKind::TooLarge | RefusalKind::Unsupported => {
            set_aside(receiver, origin, &refusal, body);
            Ok(())
        }
        _ => Err(refusal),
    }
}

/// Puts the head of a body aside for the operator.
pub(crate) fn set_aside(receiver: &Receiver, origin: &Origin, refusal: &Refusal, body: &[u8]) {
    receiver.meter.rejected(refusal.kind.as_str(), 1);
    let head = &body[..body.len().min(ASIDE)];
    receiver.context.intake.quarantine(origin, refusal.kind.as_str(), &refusal.message, head);
}

/// What Kong and Logpush are answered when coming back can help, or when nobody let them in.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Body> {
    let status = match refusal.kind {
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Quota => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        // Of the URL, not of the records: those are never refused for what they are.
        RefusalKind::Malformed | RefusalKind::Unsupported | RefusalKind::TooLarge => StatusCode::BAD_REQUEST,
    };
    let mut response = reply::text(status, &refusal.message);
    reply::retry_after(&mut response, refusal.retry_after);
    response
}
