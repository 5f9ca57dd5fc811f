//! A peer that takes everything: HTTP/1.1 on loopback, each request read and answered with what its protocol says for success.
//! It costs little, so that what is measured is the sink.

use std::io::Read;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts the peer on the current `LocalSet` and answers its port.
pub(crate) async fn start() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A gateway that was stopped ends its connections; that is all that can go wrong here.
            tokio::task::spawn_local(async move {
                let _ = serve(stream).await;
            });
        }
    });
    Ok(port)
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 20);
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let whole = end + length.unwrap_or(0);
        while buffer.len() < whole {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        stream.write_all(answer(path, &head, &buffer[end..whole]).as_bytes()).await?;
        buffer.drain(..whole);
    }
}

fn answer(path: &str, head: &str, body: &[u8]) -> String {
    let json = |body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    match path {
        _ if body.starts_with(b"DESCRIBE TABLE") => json(&spans_table()),
        _ if path.contains("/_bulk") => {
            let items = vec![r#"{"create":{"status":201}}"#; documents(head, body)].join(",");
            json(&format!(r#"{{"errors":false,"items":[{items}]}}"#))
        }
        _ if path.contains("/loki/") => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        "/" => json(r#"{"version":{"number":"7.10.2"}}"#),
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into(),
    }
}

/// The columns of ClickHouse's table of spans, by type; a line each.
fn spans_table() -> String {
    const MAP: &str = "Map(LowCardinality(String), String)";
    const COLUMNS: [(&str, &[&str]); 9] = [
        ("DateTime64(9)", &["Timestamp"]),
        (
            "String",
            &[
                "TraceId",
                "SpanId",
                "ParentSpanId",
                "TraceState",
                "ScopeName",
                "ScopeVersion",
                "StatusMessage",
            ],
        ),
        ("LowCardinality(String)", &["SpanName", "SpanKind", "ServiceName", "StatusCode"]),
        (MAP, &["ResourceAttributes", "SpanAttributes"]),
        ("UInt64", &["Duration"]),
        ("Array(DateTime64(9))", &["Events.Timestamp"]),
        ("Array(String)", &["Links.TraceId", "Links.SpanId", "Links.TraceState"]),
        ("Array(LowCardinality(String))", &["Events.Name"]),
        ("Array(Map(LowCardinality(String), String))", &["Events.Attributes", "Links.Attributes"]),
    ];
    let line = |kind: &str, name: &str| {
        format!("{{\"name\":\"{name}\",\"type\":\"{kind}\",\"default_type\":\"\"}}\n")
    };
    COLUMNS.iter().flat_map(|(kind, names)| names.iter().map(move |name| line(kind, name))).collect()
}

/// How many documents a bulk request has: two lines each.
fn documents(head: &str, body: &[u8]) -> usize {
    let mut plain = Vec::new();
    let is_zipped = head.contains("content-encoding: gzip");
    let text = if is_zipped && flate2::read::GzDecoder::new(body).read_to_end(&mut plain).is_ok() {
        plain.as_slice()
    } else {
        body
    };
    text.iter().filter(|byte| **byte == b'\n').count() / 2
}
