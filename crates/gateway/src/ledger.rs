//! `tidegate ledger`: the books of a running gateway as a table.

use std::time::Duration;

use pipeline::Ledger;
use pipeline::ledger::Row;
use pipeline::settings::Period;
use tokio::time::Instant;

use crate::client::Client;
use crate::table::draw;

/// Where to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The gateway's front door.
    #[arg(long, default_value = crate::client::DEFAULT_URL)]
    url: String,
    /// Prints the answer of the API instead of a table.
    #[arg(long)]
    json: bool,
    /// Shows the table again and again, with how many items a second came and went.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// How often, with --watch.
    #[arg(long, default_value = "2s")]
    every: Period,
}

/// Prints the books; books that do not balance are an error.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let client = Client::new(&options.url)?;
    if options.watch {
        return watch(&client, options.every.0).await;
    }
    let answer = client.get("/api/v1/ledger").await?.ok()?;
    if options.json {
        crate::say(&answer.text());
        return Ok(());
    }
    let ledger: Ledger = answer.read()?;
    crate::say(table(&ledger, None).trim_end());
    if ledger.balanced {
        Ok(())
    } else {
        Err("the books do not balance: this is a defect, please report it with the table above".into())
    }
}

/// Shows the books until it is stopped, or the gateway is.
async fn watch(client: &Client, every: Duration) -> Result<(), String> {
    if every.is_zero() {
        return Err("every 0s is no pause; write for example 2s".into());
    }
    let mut before: Option<(Instant, Ledger)> = None;
    loop {
        let ledger: Ledger = client.get("/api/v1/ledger").await?.ok()?.read()?;
        let now = Instant::now();
        let drawn = table(&ledger, before.as_ref().map(|(then, before)| (before, now - *then)));
        // To the upper left corner, and what is below goes.
        crate::say(&format!("\u{1b}[H\u{1b}[J{}", drawn.trim_end()));
        before = Some((now, ledger));
        tokio::time::sleep(every).await; // waits for time: the operator's refresh
    }
}

/// The books as a table; `before` is what they were some time ago.
fn table(ledger: &Ledger, before: Option<(&Ledger, Duration)>) -> String {
    let mut head = vec![
        "sink",
        "signal",
        "source",
        "tenant",
        "accepted",
        "before",
        "held",
        "delivered",
        "refused",
        "dead letters",
        "replayed",
        "dropped",
    ];
    if before.is_some() {
        head.extend(["in/s", "out/s"]);
    }
    let right: Vec<&str> = head.iter().skip(4).filter(|name| **name != "dropped").copied().collect();
    let row = |row: &Row| {
        let mut cells = cells(row);
        if let Some((before, time)) = before {
            cells.extend(rates(row, before, time));
        }
        cells
    };
    let mut out = draw(&head, &right, ledger.rows.iter().map(row).collect());
    out.push_str(if ledger.balanced { "the books balance\n" } else { "the books do NOT balance\n" });
    out
}

/// Items accepted and delivered a second since `before`; replays count as delivered.
fn rates(row: &Row, before: &Ledger, time: Duration) -> [String; 2] {
    let key = |row: &Row| (row.sink.clone(), row.signal.clone(), row.tenant.clone(), row.source.clone());
    let then = before.rows.iter().find(|then| key(then) == key(row)).cloned().unwrap_or_default();
    let rate = |now: u64, then: u64| {
        let items = now.saturating_sub(then) as f64;
        format!("{:.0}", items / time.as_secs_f64().max(0.001))
    };
    [rate(row.accepted, then.accepted), rate(row.delivered + row.replayed, then.delivered + then.replayed)]
}

fn cells(row: &Row) -> Vec<String> {
    let dropped: Vec<String> =
        row.dropped.iter().map(|(reason, items)| format!("{items} {reason}")).collect();
    let refused = if row.peer_refused_at_most > 0 {
        format!("≤{}", row.peer_refused)
    } else {
        row.peer_refused.to_string()
    };
    let sink = if row.orphan { format!("{} (gone)", row.sink) } else { row.sink.clone() };
    vec![
        sink,
        row.signal.clone(),
        row.source.clone(),
        row.tenant.clone(),
        row.accepted.to_string(),
        row.before.to_string(),
        row.held.to_string(),
        row.delivered.to_string(),
        refused,
        row.dead_letters.to_string(),
        row.replayed.to_string(),
        if dropped.is_empty() { "0".into() } else { dropped.join(", ") },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_their_heads() {
        let row = Row {
            sink: "store".into(),
            signal: "logs".into(),
            tenant: "default".into(),
            source: "kong".into(),
            accepted: 1200,
            held: 7,
            delivered: 1193,
            ..Row::default()
        };
        let before =
            Ledger { balanced: true, rows: vec![Row { accepted: 1000, delivered: 1093, ..row.clone() }] };
        let ledger = Ledger { balanced: true, rows: vec![row] };
        let expected = "\
sink   signal  source  tenant   accepted  before  held  delivered  refused  dead letters  replayed  dropped
store  logs    kong    default      1200       0     7       1193        0             0         0  0
the books balance
";
        assert_eq!(table(&ledger, None), expected);
        let expected = "\
sink   signal  source  tenant   accepted  before  held  delivered  refused  dead letters  replayed  dropped  in/s  out/s
store  logs    kong    default      1200       0     7       1193        0             0         0  0         100     50
the books balance
";
        assert_eq!(table(&ledger, Some((&before, Duration::from_secs(2)))), expected);
    }
}
