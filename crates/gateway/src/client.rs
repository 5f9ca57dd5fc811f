//! A small HTTP client for the commands that talk to a running gateway.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Where a gateway on its defaults listens.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:4318";

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// A client of one gateway.
pub(crate) struct Client {
    base: String,
    inner: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// An answer.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The same when the gateway did what it was asked; else what it says, as an error.
    pub(crate) fn ok(self) -> Result<Self, String> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let told: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let reason = told.as_ref().and_then(|told| told.get("error")).and_then(serde_json::Value::as_str);
        Err(reason.map_or_else(|| format!("status {}: {}", self.status, self.text()), str::to_owned))
    }

    /// The body as JSON.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("the answer is unreadable: {error}"))
    }

    /// The body as text, for a person.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

impl Client {
    /// A client for `url`, which must be `http://HOST[:PORT]`.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            return Err(format!("url {url:?} does not start with http://; write for example {DEFAULT_URL}"));
        }
        Ok(Self {
            base,
            inner: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// GETs a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(http::Method::GET, path, &[], Vec::new()).await
    }

    /// DELETEs a path.
    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, String> {
        self.send(http::Method::DELETE, path, &[], Vec::new()).await
    }

    /// POSTs a body.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        self.send(http::Method::POST, path, headers, body).await
    }

    async fn send(
        &self,
        method: http::Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let url = format!("{}{path}", self.base);
        let mut request = http::Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| format!("{url}: {error}"))?;
        let answer = self.inner.request(request).await.map_err(|error| {
            let cause =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("{url} cannot be reached: {cause}; is a gateway running there? Start one with: tidegate")
        })?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| format!("{url}: the answer ended early: {error}"))?.to_bytes();
        Ok(Answer { status, body })
    }
}

/// Percent-encodes a segment of a path or a value of a query.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~:,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = std::fmt::Write::write_fmt(&mut out, format_args!("%{byte:02X}"));
        }
        out
    })
}
