//! The bounds on what one remote-write request may hold. Beyond one, the series or point at hand is rejected and
//! its neighbours are kept, unless the bound is on the request as a whole.

/// Labels of one series or exemplar.
pub const LABELS: usize = 128;

/// Bytes of a label's name.
pub const NAME_BYTES: usize = 1 << 10;

/// Bytes of a label's value.
pub const VALUE_BYTES: usize = 16 << 10;

/// Series of one request.
pub const SERIES: u32 = 100_000;

/// Symbols of one 2.0 request; more refuse the request.
pub const SYMBOLS: usize = 1_000_000;

/// Buckets, or spans, of one side of a native histogram.
pub const BUCKETS: usize = 4096;

/// Bytes that the symbols of one 2.0 request may make when every reference to them is written out.
pub const MATERIALISED_BYTES: usize = 64 << 20;

/// How many of a request's rejections carry a message; the rest carry a reason only.
pub const MESSAGES: usize = 64;
