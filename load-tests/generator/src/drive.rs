//! Closed loops: each connection (or stream) sends its next request when the answer to the last one is there. Requests are
//! prebuilt and answers barely parsed, so that the generator costs little beside the gateway.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::body::{Case, Protocol};
use crate::request::Body;

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) last_status: u16,
    pub(crate) elapsed: Duration,
}

/// Streams open at once on one gRPC connection.
const STREAMS: usize = 16;

/// Drives `case` for `time`.
pub(crate) async fn run(case: &Case, port: u16, connections: usize, time: Duration) -> Result<Done, String> {
    let begun = Instant::now();
    let until = begun + time;
    let local = LocalSet::new();
    let loops: Vec<_> = match case.protocol {
        Protocol::Http => {
            let request = request(case);
            (0..connections).map(|_| local.spawn_local(http(port, request.clone(), until))).collect()
        }
        Protocol::Grpc => {
            let connection = local.run_until(connect(port)).await?;
            let (path, body) = (case.path, case.body.clone());
            (0..STREAMS)
                .map(|_| local.spawn_local(grpc(connection.clone(), port, path, body.clone(), until)))
                .collect()
        }
    };
    let mut done = Done { accepted: 0, refused: 0, last_status: 0, elapsed: time };
    local
        .run_until(async {
            for one in loops {
                let (accepted, refused, status) = one.await.map_err(|error| error.to_string())??;
                done.accepted += accepted;
                done.refused += refused;
                done.last_status = done.last_status.max(status);
            }
            Ok::<_, String>(())
        })
        .await?;
    done.elapsed = begun.elapsed();
    Ok(done)
}

type Tally = Result<(u64, u64, u16), String>;

fn request(case: &Case) -> Bytes {
    let mut out =
        format!("POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n", case.path, case.body.len());
    for (name, value) in case.headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(&case.body);
    out.into()
}

async fn http(port: u16, request: Bytes, until: Instant) -> Tally {
    let mut stream = open(port).await?;
    let (mut accepted, mut refused, mut last) = (0, 0, 0);
    let mut answer = Vec::with_capacity(4096);
    while Instant::now() < until {
        stream.write_all(&request).await.map_err(|error| format!("sending: {error}"))?;
        let status = read_answer(&mut stream, &mut answer).await?;
        if (200..300).contains(&status) {
            accepted += 1;
        } else {
            refused += 1;
            last = status;
        }
    }
    Ok((accepted, refused, last))
}

/// Opens a connection for HTTP/1.1.
pub(crate) async fn open(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Sends a body, again and again while the gateway asks for a pause. `headers` are further lines.
pub(crate) async fn send(
    stream: &mut TcpStream,
    (path, kind, body): Body,
    headers: &str,
) -> Result<(), String> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    let mut answer = Vec::new();
    loop {
        stream.write_all(&request).await.map_err(|error| format!("sending: {error}"))?;
        match read_answer(stream, &mut answer).await? {
            200..=299 => return Ok(()),
            429 | 503 => pause().await,
            status => return Err(format!("{path}: {status} {}", String::from_utf8_lossy(&answer))),
        }
    }
}

/// The pause between two looks at the gateway, or two tries.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(200)).await; // waits for time: another process gives no signal
}

/// Reads one answer with a `content-length` (or none, for 204) and gives its status.
pub(crate) async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16, String> {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.map_err(|error| format!("reading: {error}"))?;
        if read == 0 {
            return Err("the gateway closed the connection".into());
        }
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).map_err(|error| error.to_string())?;
        let status = head.get(9..12).and_then(|s| s.parse().ok()).ok_or("an answer without a status")?;
        let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
        });
        let whole = end + 4 + length.unwrap_or(0);
        while buffer.len() < whole {
            if stream.read_buf(buffer).await.map_err(|error| format!("reading: {error}"))? == 0 {
                return Err("the gateway closed the connection inside an answer".into());
            }
        }
        return Ok(status);
    }
}

async fn connect(port: u16) -> Result<h2::client::SendRequest<Bytes>, String> {
    let stream = open(port).await?;
    let (send, connection) = h2::client::Builder::new()
        .max_frame_size(1 << 20)
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            eprintln!("http/2 connection: {error}");
        }
    });
    Ok(send)
}

async fn grpc(
    send: h2::client::SendRequest<Bytes>,
    port: u16,
    path: &'static str,
    body: Bytes,
    until: Instant,
) -> Tally {
    let (mut accepted, mut refused, mut last) = (0, 0, 0);
    while Instant::now() < until {
        let request = http::Request::post(format!("http://127.0.0.1:{port}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| error.to_string())?;
        let mut ready = send.clone().ready().await.map_err(|error| error.to_string())?;
        let (answer, mut stream) = ready.send_request(request, false).map_err(|error| error.to_string())?;
        stream.send_data(body.clone(), true).map_err(|error| error.to_string())?;
        let mut answer = answer.await.map_err(|error| error.to_string())?;
        let in_headers = answer.headers().get("grpc-status").cloned();
        let flow = answer.body_mut();
        while let Some(chunk) = flow.data().await {
            let chunk = chunk.map_err(|error| error.to_string())?;
            flow.flow_control().release_capacity(chunk.len()).map_err(|error| error.to_string())?;
        }
        let trailers = flow.trailers().await.map_err(|error| error.to_string())?;
        let status = in_headers.or_else(|| trailers.and_then(|t| t.get("grpc-status").cloned()));
        match status.as_ref().map(http::HeaderValue::as_bytes) {
            Some(b"0") => accepted += 1,
            other => {
                refused += 1;
                last = other.and_then(|s| std::str::from_utf8(s).ok()?.parse().ok()).unwrap_or(u16::MAX);
            }
        }
    }
    Ok((accepted, refused, last))
}
