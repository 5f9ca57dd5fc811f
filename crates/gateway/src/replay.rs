//! `tidegate replay` and `tidegate cursor`: delivering a part of the journal once more, and who holds it.

use clap::Subcommand;
use pipeline::operate::{CursorStatus, Dropped, Owner};
use serde::Deserialize;
use serde_json::json;

use crate::client::{Client, encode};
use crate::table::draw;

/// What is to be delivered once more.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// To this sink.
    #[arg(long)]
    sink: String,
    /// What was received from here on: earliest, a time back like -1h, or 2026-03-02T08:00:00Z.
    #[arg(long, allow_hyphen_values = true)]
    from: String,
    /// Up to here; the same forms, and now.
    #[arg(long, allow_hyphen_values = true, default_value = "now")]
    to: String,
    /// Only this signal: traces, logs or metrics. May be given several times.
    #[arg(long)]
    signal: Vec<String>,
    /// The gateway's front door.
    #[arg(long, default_value = crate::client::DEFAULT_URL)]
    url: String,
    /// Prints the answer of the API instead of text.
    #[arg(long)]
    json: bool,
}

/// What to do with cursors.
#[derive(Debug, clap::Args)]
pub(crate) struct CursorOptions {
    #[command(subcommand)]
    what: What,
    /// The gateway's front door.
    #[arg(long, global = true, default_value = crate::client::DEFAULT_URL)]
    url: String,
    /// Prints the answer of the API instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists every cursor: how far it is, and what it still holds on disk.
    List,
    /// Drops the cursor of a sink that is gone, or ends a replay. What it had not done is booked and told.
    Drop {
        /// Its name, as the list has it.
        name: String,
        /// Only in this log: traces, logs or metrics.
        #[arg(long)]
        signal: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Replays {
    replays: Vec<Begun>,
}

#[derive(Debug, Deserialize)]
struct Begun {
    signal: String,
    cursor: Option<String>,
    items: u64,
    kept_since: Option<String>,
    incomplete: bool,
}

#[derive(Debug, Deserialize)]
struct Cursors {
    cursors: Vec<CursorStatus>,
}

#[derive(Debug, Deserialize)]
struct Gone {
    dropped: Vec<Dropped>,
}

/// Starts a replay.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let asked = json!({ "from": options.from, "to": options.to, "signals": options.signal });
    let path = format!("/api/v1/sinks/{}/replay", encode(&options.sink));
    let headers = [("content-type", "application/json")];
    let answer =
        Client::new(&options.url)?.post(&path, &headers, asked.to_string().into_bytes()).await?.ok()?;
    if options.json {
        crate::say(&answer.text());
        return Ok(());
    }
    for begun in answer.read::<Replays>()?.replays {
        match &begun.cursor {
            Some(cursor) => crate::say(&format!(
                "{}: {} items are on their way to {} again, as {cursor}",
                begun.signal, begun.items, options.sink
            )),
            None => crate::say(&format!("{}: nothing was received in that time", begun.signal)),
        }
        match begun.kept_since {
            Some(since) if begun.incomplete => {
                crate::say(&format!(
                    "  the journal keeps nothing from before {since}: what was older is not delivered"
                ));
            }
            None if begun.incomplete => crate::say("  the journal keeps nothing any more"),
            _ => {}
        }
    }
    crate::say("watch it with: tidegate cursor list");
    Ok(())
}

/// Lists or drops cursors.
pub(crate) async fn cursor(options: CursorOptions) -> Result<(), String> {
    let client = Client::new(&options.url)?;
    let answer = match &options.what {
        What::List => client.get("/api/v1/cursors").await?.ok()?,
        What::Drop { name, signal } => {
            let only =
                signal.as_ref().map_or_else(String::new, |signal| format!("?signal={}", encode(signal)));
            client.delete(&format!("/api/v1/cursors/{}{only}", encode(name))).await?.ok()?
        }
    };
    if options.json {
        crate::say(&answer.text());
        return Ok(());
    }
    match options.what {
        What::List => crate::say(list(&answer.read::<Cursors>()?.cursors).trim_end()),
        What::Drop { .. } => {
            for gone in answer.read::<Gone>()?.dropped {
                let dropped: Vec<String> =
                    gone.dropped.iter().map(|(reason, items)| format!("{items} {reason}")).collect();
                let dropped = if dropped.is_empty() { "nothing".to_owned() } else { dropped.join(", ") };
                crate::say(&format!(
                    "{} {} is dropped: {} items were delivered; given up: {dropped}",
                    gone.name, gone.signal, gone.delivered
                ));
            }
        }
    }
    Ok(())
}

fn list(cursors: &[CursorStatus]) -> String {
    let head = ["cursor", "signal", "of", "next", "to", "frames left", "items left", "holds", "delivered"];
    let row = |cursor: &CursorStatus| {
        let owner = match (cursor.owner, &cursor.since) {
            (Owner::Sink, _) => "a running sink".to_owned(),
            (Owner::Replay, _) => "a replay".to_owned(),
            (Owner::Orphan, Some(since)) => format!("nobody since {since}"),
            (Owner::Orphan, None) => "nobody".to_owned(),
        };
        vec![
            cursor.name.clone(),
            cursor.signal.clone(),
            owner,
            cursor.low.to_string(),
            cursor.until.map_or_else(|| "-".to_owned(), |until| until.to_string()),
            cursor.held_frames.to_string(),
            cursor.held_items.to_string(),
            mib(cursor.held_bytes),
            cursor.delivered.to_string(),
        ]
    };
    draw(
        &head,
        &["next", "to", "frames left", "items left", "holds", "delivered"],
        cursors.iter().map(row).collect(),
    )
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
