//! The HTTP client below the cloud stores: ours, so that connections, certificates and ceilings are those of every other sink.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use crate::client::Client;

/// Ceiling on an answer's body. The sink reads no objects, only what stores say about them.
const BODY_LIMIT: usize = 8 << 20;

/// Hands out one client.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Arc<Client>);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// An answer whose body is longer than anything that a store says.
#[derive(Debug)]
struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer could not be read, or is longer than {BODY_LIMIT} bytes")
    }
}

impl std::error::Error for TooLong {}

impl Connector {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let answer = self.0.send(http::Request::from_parts(head, body.into())).await.map_err(|error| {
            let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
            HttpError::new(kind, error)
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await;
        let body: Bytes = body.map_err(|_| HttpError::new(HttpErrorKind::Interrupted, TooLong))?.to_bytes();
        Ok(Response::from_parts(head, body.into()))
    }
}

impl HttpService for Connector {
    // The shape that the trait's macro gives its async function.
    fn call<'life, 'call>(
        &'life self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'call>>
    where
        'life: 'call,
        Self: 'call,
    {
        Box::pin(self.exchange(request))
    }
}
