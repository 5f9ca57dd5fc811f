//! zstd frames. The window is capped, so that a frame of a few bytes cannot claim gigabytes of memory.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{Ceiling, Coding, InflateError};

/// Windows up to 8 MiB, as RFC 8878 recommends decoders to support.
const MAX_WINDOW_LOG: u32 = 23;

/// The least room made for output at a time.
const CHUNK: usize = 64 << 10;

const fn corrupt(reason: &'static str) -> InflateError {
    InflateError::Corrupt { coding: Coding::Zstd, reason }
}

pub(super) fn inflate(body: &[u8], ceiling: Ceiling) -> Result<Vec<u8>, InflateError> {
    if body.is_empty() {
        return Err(InflateError::Truncated { coding: Coding::Zstd });
    }
    let mut decoder = Decoder::new().map_err(|_| corrupt("no decoder could be made"))?;
    decoder
        .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
        .map_err(|_| corrupt("no decoder could be made"))?;
    let mut out: Vec<u8> = Vec::with_capacity(expected(body).min(ceiling.bytes));
    let mut input = InBuffer::around(body);
    let mut hint;
    loop {
        let made = out.len();
        if out.capacity() == made {
            // As much again, and one byte beyond the ceiling at most, which tells that it is passed.
            let room = ceiling.bytes.saturating_add(1).saturating_sub(made);
            out.reserve_exact(made.max(CHUNK).min(room));
        }
        let mut output = OutBuffer::around_pos(&mut out, made);
        hint = decoder.run(&mut input, &mut output).map_err(|error| broken(&error))?;
        let end = output.pos();
        ceiling.check(end, input.pos())?;
        let progressed = end > made;
        if input.pos() == body.len() && (hint == 0 || !progressed) {
            break;
        }
    }
    if hint == 0 { Ok(out) } else { Err(InflateError::Truncated { coding: Coding::Zstd }) }
}

/// How many bytes come of a body, by what its first frame says and as far as that can be believed.
fn expected(body: &[u8]) -> usize {
    let told = zstd::zstd_safe::get_frame_content_size(body).ok().flatten();
    let told = told.and_then(|size| usize::try_from(size).ok());
    told.map_or(body.len().saturating_mul(4), |size| size.min(body.len().saturating_mul(64)))
}

/// Names what the decoder met; zstd tells it by text alone.
fn broken(error: &std::io::Error) -> InflateError {
    let text = error.to_string();
    if text.contains("checksum") {
        InflateError::Checksum { coding: Coding::Zstd }
    } else if text.contains("too much memory") {
        corrupt("a frame needs a window above 8 MiB")
    } else if text.contains("Dictionary") {
        corrupt("a frame needs a dictionary")
    } else {
        corrupt("its frames do not decode")
    }
}

pub(super) fn compress(plain: &[u8], level: i32) -> Vec<u8> {
    zstd::bulk::compress(plain, level.clamp(1, 19))
        .expect("zstd compresses any slice into a buffer of its own bound")
}
