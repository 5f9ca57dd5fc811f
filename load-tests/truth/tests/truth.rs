//! Requests of random shape are stitched as they truly were.

#![allow(clippy::unwrap_used, reason = "a test may fail at any step")]

use truth::{Plan, run, table};

#[test]
fn what_is_decidable_is_right_and_nothing_is_joined_that_does_not_belong_together() {
    for seed in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let (verdict, seen) = run(Plan { requests: 500, seed }, folder.path()).unwrap();
        assert!(verdict.is_good(), "seed {seed}:\n{}", table::table(&verdict, &seen));
        // Nearly all of them ask something of stitching, and things went wrong on their way.
        assert!(verdict.decidable >= 450, "seed {seed}: {}", verdict.decidable);
        let [_, copies, _, _, revised, withdrawn] = seen.counts;
        assert!(copies > 0 && revised > 0 && withdrawn > 0, "seed {seed}: {:?}", seen.counts);
    }
}
