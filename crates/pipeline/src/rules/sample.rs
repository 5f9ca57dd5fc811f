//! Head sampling by trace id: an item is kept when the low 56 bits of its trace id, which are random (W3C Trace Context Level 2,
//! "Random trace-id flag"), are at least a threshold. So every gateway and every tool that does the same keeps the same
//! traces, and what a smaller ratio keeps a larger one keeps too.

/// How many values the random bits have.
const ALL: u64 = 1 << 56;

/// A share of all traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    threshold: u64,
    /// Whether errors are kept whatever their trace id.
    pub(super) keep_errors: bool,
}

impl Sample {
    /// The share `ratio`; `None` unless it is from 0 to 1.
    pub(super) fn new(ratio: f64, keep_errors: bool) -> Option<Self> {
        // Both steps are exact enough: the threshold is off by less than one part in 2^52.
        let threshold = ((1.0 - ratio) * ALL as f64).round() as u64;
        (0.0..=1.0).contains(&ratio).then_some(Self { threshold, keep_errors })
    }

    /// Whether every trace is kept.
    pub(super) fn is_all(self) -> bool {
        self.threshold == 0
    }

    /// Whether a trace is kept; ids that are none are.
    pub(super) fn keeps(self, trace_id: &[u8]) -> bool {
        let Some(low) = trace_id.last_chunk::<8>().filter(|_| trace_id.len() == 16) else { return true };
        (u64::from_be_bytes(*low) & (ALL - 1)) >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(low: u64) -> [u8; 16] {
        // What stands above the 56 bits does not count.
        (u128::from(low) | 0xabcd << 56).to_be_bytes()
    }

    #[test]
    fn a_trace_is_kept_from_the_threshold_on() {
        let half = Sample::new(0.5, false).unwrap();
        assert!(half.keeps(&id(1 << 55)) && half.keeps(&id(ALL - 1)));
        assert!(!half.keeps(&id((1 << 55) - 1)) && !half.keeps(&id(0)));
        let tenth = Sample::new(0.1, false).unwrap();
        assert_eq!(tenth.threshold, 0xe6_6666_6666_6668, "within the rounding of a double");
        assert!(Sample::new(1.0, false).unwrap().is_all() && Sample::new(1.0, false).unwrap().keeps(&id(0)));
        assert!(!Sample::new(0.0, false).unwrap().keeps(&id(ALL - 1)));
    }

    #[test]
    fn what_has_no_trace_id_is_kept() {
        let none = Sample::new(0.0, false).unwrap();
        assert!(none.keeps(&[]) && none.keeps(&[0; 8]));
        assert!([-0.1, 1.1, f64::NAN].iter().all(|ratio| Sample::new(*ratio, false).is_none()));
    }
}
