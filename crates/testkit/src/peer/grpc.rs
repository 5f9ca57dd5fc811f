//! gRPC answers for the fake peer, and the frame of a unary message (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::Bytes;

use super::Reply;

/// Puts the 5-byte head in front of a message: not compressed, big-endian length.
pub fn frame(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).expect("a scripted message is shorter than 4 GiB");
    let mut out = Vec::with_capacity(message.len() + 5);
    out.push(0);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(message);
    out.into()
}

/// The compressed flag and the message of a body that holds exactly one; `None` for anything else.
pub fn unframe(body: &[u8]) -> Option<(bool, &[u8])> {
    let (head, message) = body.split_at_checked(5)?;
    let len = u32::from_be_bytes(head[1..].try_into().ok()?);
    (message.len() == len as usize && head[0] < 2).then_some((head[0] == 1, message))
}

/// Status OK with `message`.
pub fn ok(message: &[u8]) -> Reply {
    Reply::body(200, frame(message)).header("content-type", "application/grpc").trailer("grpc-status", "0")
}

/// A failure in trailers behind an empty body.
pub fn failed(code: u32, message: &str) -> Reply {
    Reply::status(200)
        .header("content-type", "application/grpc")
        .trailer("grpc-status", &code.to_string())
        .trailer("grpc-message", message)
}

/// A failure as Trailers-Only: status and message stand in the headers.
pub fn trailers_only(code: u32, message: &str) -> Reply {
    Reply::status(200)
        .header("content-type", "application/grpc")
        .header("grpc-status", &code.to_string())
        .header("grpc-message", message)
}
