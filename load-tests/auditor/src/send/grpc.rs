//! Unary gRPC over one kept connection, opened again when it broke.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// How long an answer may take; the tests' patience.
const PATIENCE: Duration = testkit::process::PATIENCE;

/// What a call was answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// `grpc-status`.
    pub(super) status: u16,
    /// `grpc-message`.
    pub(super) text: String,
    /// Whether details (RetryInfo) came along.
    pub(super) has_details: bool,
    /// The message without its frame.
    pub(super) message: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Nobody listens: nothing was sent.
    NotSent,
    /// It broke later.
    Sent,
}

/// A connection that is made when it is needed.
#[derive(Debug)]
pub(super) struct Link {
    port: u16,
    runtime: Runtime,
    connection: Option<SendRequest<Bytes>>,
}

impl Link {
    pub(super) fn new(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        Self { port, runtime, connection: None }
    }

    /// Calls `method` with one message.
    pub(super) fn call(&mut self, method: &str, message: &[u8]) -> Result<Answer, Broken> {
        let (port, known) = (self.port, self.connection.take());
        self.runtime.block_on(async {
            let connection = match known {
                Some(connection) => connection,
                None => connect(port).await?,
            };
            let url = format!("http://127.0.0.1:{port}{method}");
            let (answer, connection) = tokio::time::timeout(PATIENCE, call(connection, url, frame(message)))
                .await
                .map_err(|_| Broken::Sent)?
                .map_err(|_| Broken::Sent)?;
            self.connection = Some(connection);
            Ok(answer)
        })
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut out = vec![0];
    out.extend_from_slice(&u32::try_from(message.len()).expect("messages are small").to_be_bytes());
    out.extend_from_slice(message);
    out.into()
}

async fn connect(port: u16) -> Result<SendRequest<Bytes>, Broken> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Broken::NotSent,
        _ => Broken::Sent,
    };
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(refused)?;
    let (send, connection) = h2::client::handshake(stream).await.map_err(|_| Broken::NotSent)?;
    tokio::spawn(async move {
        // Its end shows in the calls made over it.
        let _ = connection.await;
    });
    Ok(send)
}

async fn call(
    connection: SendRequest<Bytes>,
    url: String,
    body: Bytes,
) -> Result<(Answer, SendRequest<Bytes>), Box<dyn std::error::Error + Send + Sync>> {
    let request = http::Request::post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let mut connection = connection.ready().await?;
    let (answer, mut stream) = connection.send_request(request, false)?;
    stream.send_data(body, true)?;
    let answer = answer.await?;
    let mut fields = answer.headers().clone();
    let mut flow = answer.into_body();
    let mut message = Vec::new();
    while let Some(chunk) = flow.data().await {
        let chunk = chunk?;
        flow.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    fields.extend(flow.trailers().await?.unwrap_or_default());
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    let answer = Answer {
        status: text("grpc-status").and_then(|status| status.parse().ok()).ok_or("no grpc-status")?,
        text: text("grpc-message").unwrap_or_default().to_owned(),
        has_details: fields.contains_key("grpc-status-details-bin"),
        message: message.get(5..).unwrap_or_default().to_vec(),
    };
    Ok((answer, connection))
}
