//! The table, and the same as JSON.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::backend::Copies;
use crate::drive::Outcome;

/// The heading of the table.
pub fn heading() -> String {
    format!(
        "{:<20} {:<14} {:>8} {:>8} {:>9} {:>10} {:>9} {:>8} {:>6} {:>6} {:>12}  {}",
        "scenario",
        "back end",
        "claimed",
        "acked",
        "delivered",
        "duplicated",
        "corrupted",
        "spurious",
        "lost",
        "dead",
        "peer_refused",
        "verdict"
    )
}

/// The lines of one scenario.
pub fn lines(outcome: &Outcome) -> String {
    let mut out = String::new();
    for (row, counts, booked) in &outcome.rows {
        let verdict = match (counts.is_good(row.copies), row.copies) {
            (false, _) => "WRONG",
            (true, Copies::Once) => "exactly once",
            (true, Copies::AtLeastOnce) => "at least once",
        };
        let _ = writeln!(
            out,
            "{:<20} {:<14} {:>8} {:>8} {:>9} {:>10} {:>9} {:>8} {:>6} {:>6} {:>12}  {verdict}",
            outcome.scenario,
            row.name,
            counts.claimed,
            counts.acknowledged,
            counts.delivered,
            counts.duplicated,
            counts.corrupted,
            counts.spurious,
            counts.lost,
            booked.dead_letters,
            booked.peer_refused
        );
    }
    for (row, counts, _) in &outcome.rows {
        for example in &counts.examples {
            let _ = writeln!(out, "    {}: {example}", row.name);
        }
        for problem in &counts.misbooked {
            let _ = writeln!(out, "    {}: misbooked: {problem}", row.name);
        }
    }
    for problem in &outcome.problems {
        let _ = writeln!(out, "    PROBLEM: {problem}");
    }
    out
}

/// One scenario as JSON.
pub fn json(outcome: &Outcome) -> Json {
    let rows: Vec<Json> = outcome
        .rows
        .iter()
        .map(|(row, counts, booked)| {
            json!({
                "back_end": row.name,
                "claimed": counts.claimed,
                "acknowledged": counts.acknowledged,
                "delivered": counts.delivered,
                "duplicated": counts.duplicated,
                "corrupted": counts.corrupted,
                "spurious": counts.spurious,
                "lost": counts.lost,
                "unexplained": counts.unexplained,
                "accounted": counts.accounted,
                "left_out": counts.left_out,
                "misbooked": counts.misbooked,
                "dead_letters": booked.dead_letters,
                "peer_refused": booked.peer_refused,
                "good": counts.is_good(row.copies),
                "examples": counts.examples,
            })
        })
        .collect();
    json!({
        "scenario": outcome.scenario,
        "good": outcome.is_good(),
        "seconds": outcome.took.as_secs_f64(),
        "rows": rows,
        "problems": outcome.problems,
    })
}
