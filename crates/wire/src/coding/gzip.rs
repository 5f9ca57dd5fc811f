//! gzip and deflate: whole bodies by libdeflate under a ceiling, everything else by a stream that counts as it goes.

use flate2::{Decompress, DecompressError, FlushDecompress, Status};
use memchr::memmem;

use super::{Ceiling, Coding, InflateError};

/// The smallest gzip member: a header of 10 bytes, an empty block of 2, a trailer of 8.
const MIN_MEMBER: usize = 20;

/// Bytes made at a time by the stream.
const CHUNK: usize = 64 << 10;

const fn corrupt(coding: Coding, reason: &'static str) -> InflateError {
    InflateError::Corrupt { coding, reason }
}

/// The most members of one stream: each costs a new state, however empty it is.
const MAX_MEMBERS: u32 = 16_384;

/// What a member begins with: the magic and the only method there is.
const MEMBER: &[u8] = &[0x1f, 0x8b, 0x08];

/// Names what a stream breaks.
fn broken(coding: Coding, error: &DecompressError) -> InflateError {
    match error.message() {
        Some("incorrect data check" | "incorrect length check") => InflateError::Checksum { coding },
        _ => corrupt(coding, "its blocks do not decode"),
    }
}

/// How a gzip stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With the last byte of a member.
    Clean,
    /// With bytes behind the last whole member that are not gzip; they were ignored.
    Garbage,
}

/// Inflates a gzip stream piece by piece, any number of members as one stream, making no more output than asked for.
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    ceiling: Ceiling,
    read: usize,
    made: usize,
    members: u32,
    place: Place,
}

/// Where in the stream the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first byte of all.
    Start,
    /// Inside a member.
    Member,
    /// Behind a whole member, perhaps with the first byte of another's magic.
    Between { magic: bool },
    /// In garbage behind the last member.
    Garbage,
}

/// The largest window that deflate has, plus 16 for a gzip wrapper, is zlib's convention; flate2 takes the window alone.
const WINDOW_BITS: u8 = 15;

impl Inflater {
    /// An inflater for one stream.
    pub fn new(ceiling: Ceiling) -> Self {
        Self {
            state: Decompress::new_gzip(WINDOW_BITS),
            ceiling,
            read: 0,
            made: 0,
            members: 1,
            place: Place::Start,
        }
    }

    /// Bytes made so far.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Reads from `input` and appends at most `room` bytes to `out`; answers how many bytes of `input` it took. Less than
    /// all means that `room` is used up: call again with the rest.
    ///
    /// # Errors
    /// The stream is corrupt, does not match a checksum, or exceeds the ceiling. What was made before has been appended;
    /// of a member that does not match its checksum that is all of it.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<usize, InflateError> {
        let (mut at, target) = (0, out.len().saturating_add(room));
        loop {
            match self.place {
                Place::Garbage => return Ok(input.len()),
                Place::Between { magic } => {
                    let Some(&byte) = input.get(at) else { return Ok(at) };
                    if byte != if magic { 0x8b } else { 0x1f } {
                        self.place = Place::Garbage;
                        continue;
                    }
                    if !magic {
                        self.place = Place::Between { magic: true };
                        at += 1;
                        self.read += 1;
                        continue;
                    }
                    if self.members == MAX_MEMBERS {
                        return Err(corrupt(Coding::Gzip, "it has more than 16384 members"));
                    }
                    self.members += 1;
                    self.state = Decompress::new_gzip(WINDOW_BITS);
                    // The first magic byte may have come with an earlier piece, so it is fed from here.
                    self.feed(&[0x1f], &mut Vec::new(), 0)?;
                    self.place = Place::Member;
                }
                Place::Start | Place::Member => {
                    if at == input.len() && out.len() >= target {
                        return Ok(at);
                    }
                    let before = (at, out.len());
                    let room = target - out.len();
                    let (taken, ended) = self.feed(&input[at..], out, room)?;
                    at += taken;
                    self.read += taken;
                    self.place = if ended { Place::Between { magic: false } } else { Place::Member };
                    if !ended && (at, out.len()) == before {
                        return Ok(at);
                    }
                }
            }
        }
    }

    /// One step of the inner stream: at most a chunk of output.
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(usize, bool), InflateError> {
        let (before_in, before_out, start) = (self.state.total_in(), self.state.total_out(), out.len());
        out.resize(start + CHUNK.min(room), 0);
        let status = self.state.decompress(input, &mut out[start..], FlushDecompress::None);
        let made = (self.state.total_out() - before_out) as usize;
        out.truncate(start + made);
        self.made += made;
        let taken = (self.state.total_in() - before_in) as usize;
        self.ceiling.check(self.made, self.read + taken)?;
        match status {
            Ok(Status::StreamEnd) => Ok((taken, true)),
            Ok(Status::Ok | Status::BufError) => Ok((taken, false)),
            Err(error) => Err(broken(Coding::Gzip, &error)),
        }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// `Truncated` inside a member or when nothing came at all.
    pub fn finish(self) -> Result<Tail, InflateError> {
        match self.place {
            Place::Start | Place::Member => Err(InflateError::Truncated { coding: Coding::Gzip }),
            Place::Between { magic: false } => Ok(Tail::Clean),
            Place::Between { magic: true } | Place::Garbage => Ok(Tail::Garbage),
        }
    }
}

pub(super) fn inflate(body: &[u8], ceiling: Ceiling) -> Result<Vec<u8>, InflateError> {
    if let Some(out) = single_member(body, ceiling) {
        return Ok(out);
    }
    let mut inflater = Inflater::new(ceiling);
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(ceiling.bytes));
    let mut at = 0;
    while at < body.len() {
        at += inflater.push(&body[at..], &mut out, CHUNK)?;
    }
    // Output may be left when the last input byte was taken with the room just used up.
    while inflater.place == Place::Member {
        let before = out.len();
        inflater.push(&[], &mut out, CHUNK)?;
        if out.len() == before {
            break;
        }
    }
    inflater.finish()?;
    Ok(out)
}

/// The fast path: one member whose trailer tells the truth. `None` for everything else, which the stream judges.
fn single_member(body: &[u8], ceiling: Ceiling) -> Option<Vec<u8>> {
    if body.len() < MIN_MEMBER || !body.starts_with(&[0x1f, 0x8b]) {
        return None;
    }
    let trailer = body.last_chunk::<8>()?;
    let crc = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
    let length = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]) as usize;
    // Deflate expands at most 1,032 times, so a larger claim is a lie or several members; the stream finds out which.
    if length > body.len().saturating_mul(1032) {
        return None;
    }
    ceiling.check(length, body.len()).ok()?;
    // libdeflate stops behind the first member without a word, and the last trailer cannot tell two equal members from
    // one: where another may begin, the stream must look.
    if memmem::find(&body[MEMBER.len()..], MEMBER).is_some() {
        return None;
    }
    let mut out = vec![0; length];
    let made = libdeflater::Decompressor::new().gzip_decompress(body, &mut out).ok()?;
    // With garbage behind the member the last bytes are not its trailer.
    (made == length && libdeflater::crc32(&out) == crc).then_some(out)
}

/// Deflate as HTTP has it: zlib-wrapped by the specification (RFC 9110 §8.4.1.2), raw by some senders.
pub(super) fn inflate_deflate(body: &[u8], ceiling: Ceiling) -> Result<Vec<u8>, InflateError> {
    let wrapped = matches!(body, [a, b, ..] if a & 0x0f == 8 && a >> 4 <= 7 && (u16::from(*a) << 8 | u16::from(*b)) % 31 == 0);
    if !wrapped {
        return deflate_stream(Decompress::new(false), body, ceiling);
    }
    match deflate_stream(Decompress::new(true), body, ceiling) {
        // A raw stream looks wrapped only when it begins with a stored block whose padding is not zero: rare, but legal.
        Err(error @ InflateError::Corrupt { .. }) => {
            deflate_stream(Decompress::new(false), body, ceiling).map_err(|_| error)
        }
        result => result,
    }
}

fn deflate_stream(mut state: Decompress, body: &[u8], ceiling: Ceiling) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(ceiling.bytes));
    loop {
        let (read, made) = (state.total_in() as usize, out.len());
        out.resize(made + CHUNK.min(ceiling.bytes.saturating_add(1).saturating_sub(made)), 0);
        let status = state.decompress(&body[read..], &mut out[made..], FlushDecompress::None);
        let end = state.total_out() as usize;
        out.truncate(end);
        ceiling.check(end, state.total_in() as usize)?;
        match status {
            Ok(Status::StreamEnd) if (state.total_in() as usize) < body.len() => {
                return Err(corrupt(Coding::Deflate, "bytes follow its end"));
            }
            Ok(Status::StreamEnd) => return Ok(out),
            Ok(_) if end > made || state.total_in() as usize > read => {}
            Ok(_) => return Err(InflateError::Truncated { coding: Coding::Deflate }),
            Err(error) => return Err(broken(Coding::Deflate, &error)),
        }
    }
}

fn level(level: i32) -> libdeflater::CompressionLvl {
    libdeflater::CompressionLvl::new(level.clamp(0, 12)).unwrap_or_default()
}

pub(super) fn compress(plain: &[u8], at: i32) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(level(at));
    let mut out = vec![0; compressor.gzip_compress_bound(plain.len())];
    let made = compressor.gzip_compress(plain, &mut out).expect("the bound is large enough for any input");
    out.truncate(made);
    out
}

pub(super) fn compress_zlib(plain: &[u8], at: i32) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(level(at));
    let mut out = vec![0; compressor.zlib_compress_bound(plain.len())];
    let made = compressor.zlib_compress(plain, &mut out).expect("the bound is large enough for any input");
    out.truncate(made);
    out
}
