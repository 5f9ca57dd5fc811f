//! Between the layouts of metrics: remote-write 1.0, 2.0 and OTLP.
//!
//! - `check`, `from_v2`: what comes in, checked and in the 1.0 layout with private fields
//! - `to_v2`, `strip`: what goes out to peers of 2.0, and of 1.0 alone
//! - `to_rw`, `points`, `names`, `text_of`: OTLP → remote-write, with Prometheus' own names
//! - `to_otlp`, `classic`, `otlp_points`: remote-write → OTLP
//! - `histogram`, `labels`, `limits`: the rules that both directions stand on
//! - `losses`: what a translation could not carry, by name
//!
//! No float is ever read from text or written as such: the 64 bits of every value pass untouched, the stale marker
//! among them. All arithmetic on outside numbers is checked, and nothing is expanded before it is validated.

mod check;
mod classic;
mod from_v2;
mod histogram;
mod labels;
pub mod limits;
mod losses;
mod names;
mod otlp_points;
mod points;
mod strip;
#[cfg(test)]
mod tests;
mod text_of;
mod to_otlp;
mod to_rw;
mod to_v2;

pub use check::{Checked, Rejected, v1_check};
pub use from_v2::v2_to_v1;
pub use losses::{Loss, Losses};
pub use names::Naming;
pub use strip::{has_private, strip_to_v1};
pub use text_of::append as append_text;
pub use to_otlp::rw_to_otlp;
pub use to_rw::{Histograms, Options, otlp_to_rw};
pub use to_v2::v1_to_v2;
