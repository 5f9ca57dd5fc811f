//! `tidegate dead-letters`: what peers refused for good, in an operator's hands.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{Answer, Client, encode};
use crate::table::{draw, one_line};

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
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
    /// Lists dead letters, oldest first, a sink after the other.
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most, up to 1000.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Goes on behind this id, which the page before has named.
        #[arg(long)]
        after: Option<String>,
    },
    /// Shows one with its item.
    Show {
        /// Its id, as the list has it.
        id: String,
    },
    /// Delivers them again, to the sink that refused them.
    Replay(Chosen),
    /// Drops them for good.
    Drop(Chosen),
}

/// Which ones; each field that is given narrows it.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Refused by this sink.
    #[arg(long)]
    sink: Option<String>,
    /// Of this signal: traces, logs or metrics.
    #[arg(long)]
    signal: Option<String>,
    /// On behalf of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Taken by this receiver.
    #[arg(long)]
    source: Option<String>,
    /// Whose answer holds this text.
    #[arg(long)]
    reason: Option<String>,
    /// Given up since: 2026-03-02T08:00:00Z, or a time back like -1h.
    #[arg(long, allow_hyphen_values = true)]
    since: Option<String>,
    /// Given up before.
    #[arg(long, allow_hyphen_values = true)]
    until: Option<String>,
    /// waiting or replaying.
    #[arg(long)]
    state: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Chosen {
    /// These ids.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Every dead letter of every sink.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Deserialize)]
struct Page {
    letters: Vec<Letter>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Letter {
    id: String,
    sink: String,
    state: String,
    signal: String,
    tenant: String,
    source: String,
    buried: u64,
    received: u64,
    offset: u64,
    first: u32,
    items: u32,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Taken {
    letters: u64,
    left: u64,
    because: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let client = Client::new(&options.url)?;
    match options.what {
        What::List { filter, limit, after } => {
            let mut asked = filter.fields();
            asked.push(("limit", limit.to_string()));
            asked.extend(after.map(|after| ("after", after)));
            let answer = client.get(&format!("/api/v1/dead-letters{}", query(&asked))).await?.ok()?;
            if options.json {
                crate::say(&answer.text());
                return Ok(());
            }
            crate::say(list(&answer.read::<Page>()?).trim_end());
        }
        What::Show { id } => {
            let answer = client.get(&format!("/api/v1/dead-letters/{}", encode(&id))).await?.ok()?;
            if options.json {
                crate::say(&answer.text());
                return Ok(());
            }
            crate::say(shown(&answer)?.trim_end());
        }
        What::Replay(chosen) => {
            let asked = serde_json::to_vec(&chosen.body()).map_err(|error| error.to_string())?;
            let json = [("content-type", "application/json")];
            let answer = client.post("/api/v1/dead-letters/replay", &json, asked).await?.ok()?;
            told(&answer, options.json, "on the way to the sinks that refused them")?;
        }
        What::Drop(chosen) if !chosen.ids.is_empty() => {
            for id in &chosen.ids {
                let answer = client.delete(&format!("/api/v1/dead-letters/{}", encode(id))).await?.ok()?;
                told(&answer, options.json, "dropped")?;
            }
        }
        What::Drop(chosen) => {
            let mut asked = chosen.filter.fields();
            if chosen.all {
                asked.push(("all", "true".to_owned()));
            }
            let answer = client.delete(&format!("/api/v1/dead-letters{}", query(&asked))).await?.ok()?;
            told(&answer, options.json, "dropped")?;
        }
    }
    Ok(())
}

impl Filter {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let fields = [
            ("sink", &self.sink),
            ("signal", &self.signal),
            ("tenant", &self.tenant),
            ("source", &self.source),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
            ("state", &self.state),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

impl Chosen {
    fn body(&self) -> Value {
        let mut body: Map<String, Value> =
            self.filter.fields().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        if !self.ids.is_empty() {
            body.insert("ids".to_owned(), json!(self.ids));
        }
        if self.all {
            body.insert("all".to_owned(), json!(true));
        }
        Value::Object(body)
    }
}

fn query(fields: &[(&str, String)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn list(page: &Page) -> String {
    if page.letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let head = ["id", "given up", "signal", "tenant", "source", "items", "state", "the peer's answer"];
    let row = |letter: &Letter| {
        vec![
            letter.id.clone(),
            model::UnixNanos(letter.buried).to_string(),
            letter.signal.clone(),
            letter.tenant.clone(),
            letter.source.clone(),
            letter.items.to_string(),
            letter.state.clone(),
            one_line(&letter.reason),
        ]
    };
    let mut text = draw(&head, &["items"], page.letters.iter().map(row).collect());
    if let Some(next) = &page.next {
        text.push_str(&format!("there are more: add --after {next}\n"));
    }
    text
}

fn shown(answer: &Answer) -> Result<String, String> {
    let letter: Letter = answer.read()?;
    let whole: Value = answer.read()?;
    let mut text = format!(
        "{} refused by {} at {}\n{} of tenant {} through {}, received {}, offset {} item {}, {}\nthe peer's answer: {}\n",
        letter.id,
        letter.sink,
        model::UnixNanos(letter.buried),
        letter.signal,
        letter.tenant,
        letter.source,
        model::UnixNanos(letter.received),
        letter.offset,
        letter.first,
        letter.state,
        one_line(&letter.reason),
    );
    if let Some(otlp) = whole.get("otlp") {
        text.push_str(&serde_json::to_string_pretty(otlp).map_err(|error| error.to_string())?);
    } else if let Some(lines) = whole.get("text").and_then(Value::as_str) {
        lines.lines().for_each(|line| text.push_str(&format!("{}\n", one_line(line))));
    } else if let Some(bytes) = whole.get("base64").and_then(Value::as_str) {
        text.push_str(&format!("its bytes cannot be read; as base64:\n{bytes}"));
    }
    Ok(text)
}

fn told(answer: &Answer, json: bool, done: &str) -> Result<(), String> {
    if json {
        crate::say(&answer.text());
        return Ok(());
    }
    let taken: Taken = answer.read()?;
    crate::say(&format!("{} dead letters are {done}", taken.letters));
    if let Some(because) = taken.because {
        crate::say(&format!("{} stay: {}", taken.left, one_line(&because)));
    }
    Ok(())
}
