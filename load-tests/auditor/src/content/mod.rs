//! What each item says: a pure function of the run and the item's number, used to send it and again to judge what a back
//! end has. Nothing is remembered in between.
//!
//! | file | what |
//! |---|---|
//! | `otlp.rs` | spans and log records, and what encloses every OTLP item |
//! | `point.rs` | OTLP metrics |
//! | `sample.rs` | remote-write series and their samples |
//! | `poison.rs` | what some back ends refuse for good |
//! | `access.rs` | Logpush lines and Kong records |
//! | `expected.rs` | what must be found where items are kept |
//! | `series.rs` | what must be found where Prometheus series are kept |

pub mod access;
mod expected;
pub mod otlp;
pub mod point;
pub mod poison;
pub mod sample;
mod series;

pub use expected::{as_item, strictness};
pub use series::{as_samples, largest};
pub(crate) use series::{native, sample_name, series};

use fastrand::Rng;

use crate::item::Id;

/// What the content of all items depends on beside their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Chooses the content.
    pub seed: u64,
    /// Where times begin: nanoseconds since 1970, a whole second, shortly before now.
    pub epoch: u64,
    /// Whether some items are such as back ends refuse for good.
    pub is_poisoned: bool,
}

impl Run {
    /// A run whose times begin a minute ago, so that none lies in the future while it is sent.
    #[allow(
        clippy::disallowed_methods,
        reason = "the auditor shares no code with the gateway, its clock included"
    )]
    pub fn beginning_now(seed: u64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { seed, epoch: now.as_secs().saturating_sub(60) * 1_000_000_000, is_poisoned: false }
    }

    /// The item's own source of choices.
    fn random(&self, id: Id, purpose: u64) -> Rng {
        let mut mixed = self.seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for part in [id.stream as u64 + 1, id.number + 1] {
            mixed = (mixed ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd);
            mixed ^= mixed >> 32;
        }
        Rng::with_seed(mixed)
    }
}

/// Texts that are easily spoilt: other scripts, combining marks, line ends, quotes, what looks like a number or like JSON.
const TEXTS: [&str; 10] = [
    "Ünïcödé €uro",
    "Tiếng Việt: cửa thủy triều",
    "e\u{301} is not \u{e9}",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag",
    "tab\tline\nreturn\r\nend",
    "\"quoted\" \\back\\slash\\ 'single' `tick`",
    "00012345678901234567890",
    "{\"not\":\"json\"}",
    "مرحبا שלום",
    "\u{1}\u{7f}\u{fffd}<&>",
];

fn text(random: &mut Rng) -> &'static str {
    TEXTS[random.usize(..TEXTS.len())]
}

/// Whole numbers at the edges.
const INTS: [i64; 8] = [0, -1, 1, i64::MAX, i64::MIN, (1 << 53) + 1, -(1 << 53) - 1, 4_294_967_296];

/// Doubles at the edges that every notation of numbers has.
const DOUBLES: [f64; 9] =
    [0.1, -0.0, 1.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1.0 / 3.0, 123_456_789.125];

/// A NaN with a payload that is neither Prometheus' stale marker nor its ordinary NaN.
const NAN_WITH_PAYLOAD: u64 = 0x7ff8_0000_dead_beef;

fn bytes<const N: usize>(random: &mut Rng) -> Vec<u8> {
    let mut out = vec![0; N];
    random.fill(&mut out);
    out[0] |= 1; // an id of nothing but zeros is none
    out
}
