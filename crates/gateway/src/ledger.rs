//! `tidegate ledger`: the books of a running gateway as a table.

use pipeline::Ledger;
use pipeline::ledger::Row;

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
}

/// Prints the books; books that do not balance are an error.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let answer = Client::new(&options.url)?.get("/api/v1/ledger").await?;
    if answer.status != 200 {
        return Err(answer.text());
    }
    if options.json {
        crate::say(&answer.text());
        return Ok(());
    }
    let ledger: Ledger =
        serde_json::from_slice(&answer.body).map_err(|error| format!("the answer is unreadable: {error}"))?;
    crate::say(table(&ledger).trim_end());
    if ledger.balanced {
        Ok(())
    } else {
        Err("the books do not balance: this is a defect, please report it with the table above".into())
    }
}

fn table(ledger: &Ledger) -> String {
    let head = [
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
        "dropped",
    ];
    let right = &head[4..10];
    let mut out = draw(&head, right, ledger.rows.iter().map(cells).collect());
    out.push_str(if ledger.balanced { "the books balance\n" } else { "the books do NOT balance\n" });
    out
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
        let drawn = table(&Ledger { balanced: true, rows: vec![row] });
        let expected = "\
sink   signal  source  tenant   accepted  before  held  delivered  refused  dead letters  dropped
store  logs    kong    default      1200       0     7       1193        0             0  0
the books balance
";
        assert_eq!(drawn, expected);
    }
}
