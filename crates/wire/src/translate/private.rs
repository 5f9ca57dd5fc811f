//! Numbers of the private fields in the 1.0 layout (see `wire::rw`).

/// In TimeSeries: the 2.0 metadata of this series.
pub(super) const SERIES_METADATA: u32 = 1001;
/// In TimeSeries: a histogram with custom buckets, which 1.0 has no place for.
pub(super) const CUSTOM_HISTOGRAM: u32 = 1002;
/// In Sample and Histogram: the start timestamp, int64 milliseconds.
pub(super) const START: u32 = 1003;
/// The first private number.
pub(super) const FIRST: u32 = 1001;
