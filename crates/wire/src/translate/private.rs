//! Numbers of the private fields in the 1.0 layout (see `wire::rw::private`).

pub(super) use crate::rw::private::{CUSTOM_HISTOGRAM, FIRST, SERIES_METADATA, START};
