//! The table.

use std::fmt::Write;

use crate::Verdict;
use crate::feed::Seen;
use crate::listen::Shown;

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.3} %", 100.0 * part as f64 / whole as f64) }
}

/// A verdict as people read it.
pub fn table(verdict: &Verdict, seen: &Seen) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: String, note: String| {
        let _ = writeln!(out, "{name:<44} {value:>10}  {note}");
    };
    let Verdict { requests, decidable, whole, exact, false_joins, .. } = *verdict;
    row("requests", requests.to_string(), String::new());
    row("of which something is decidable", decidable.to_string(), percent(decidable, requests));
    row("of which everything is", whole.to_string(), percent(whole, requests));
    row(
        "stitched exactly, of the decidable",
        exact.to_string(),
        format!("{} (target: 99 %)", percent(exact, decidable)),
    );
    row("false joins", false_joins.to_string(), "(target: 0)".to_owned());
    let (copied, unharmed) = verdict.copied;
    let note = format!("right all the same: {unharmed}");
    row("not decidable: copied from within minutes", copied.to_string(), note);
    for (name, sureness) in &verdict.joins {
        let right = format!("parent right in {} of {} that can be checked", sureness.right, sureness.checked);
        row(&format!("spans marked {name}"), sureness.told.to_string(), right);
    }
    for (cause, (times, serial)) in &verdict.causes {
        row(&format!("wrong: {cause}"), times.to_string(), format!("such as request {serial}"));
    }
    let names = ["records taken in", "copies", "records without room", "spans told", "revised", "withdrawn"];
    for (name, count) in names.into_iter().zip(seen.counts) {
        row(name, count.to_string(), String::new());
    }
    row("engine opened", seen.opened.to_string(), "times".to_owned());
    out
}

/// What requests were, for whoever looks for the fault.
pub fn stories(plan: crate::Plan, serials: &[u32]) -> Vec<String> {
    let last = serials.iter().max().copied().unwrap_or(0);
    let mut drawer = crate::draw::Drawer::new(plan.seed, plan.requests);
    let cases = (0..plan.requests.min(last)).map(|_| drawer.draw().1);
    cases.filter(|case| serials.contains(&case.serial)).map(|case| format!("{case:#x?}")).collect()
}

/// What is told of it.
pub fn told(serial: u32, seen: &Seen) -> String {
    let mut told: Vec<_> = seen.told.iter().filter(|(_, shown)| shown.mark.serial == serial).collect();
    told.sort_by_key(|(_, shown)| shown.mark);
    let line = |((_, trace, span), shown): (&(u8, u128, u64), &Shown)| {
        let Shown { mark, parent, join, links } = shown;
        format!("{:?}: {trace:032x} {span:016x} below {parent:016x}, {join}, links {links:x?}\n", mark.hop)
    };
    told.into_iter().map(line).collect()
}
