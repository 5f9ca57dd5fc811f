//! The gateway's dead letters, asked for one by one, by the items that they hold.

use std::collections::HashMap;

use crate::cannot_hold::{CannotHold, held};
use crate::content::{self, Run};
use crate::gateway::Gateway;
use crate::item::Id;
use crate::read::{Found, otlp_json};
use crate::value::differences;

/// The dead letters of one sink.
#[derive(Debug, Clone, Default)]
pub struct Letters {
    /// The reasons of each item's letters.
    pub reasons: HashMap<Id, Vec<String>>,
    /// How many letters of one item may be there more than it was kept: a gateway that is killed between a letter and its
    /// checkpoint writes the letter again.
    pub spare: u64,
    /// Letters that hold no item, or say something else of it than was sent.
    pub strange: Vec<String>,
}

/// Most letters of one page.
const PAGE: usize = 500;

/// Every dead letter of a sink of a gateway that was killed so often.
pub fn letters(gateway: &Gateway, run: &Run, sink: &str, kills: u64) -> Result<Letters, String> {
    let (mut letters, mut after) = (Letters { spare: kills, ..Letters::default() }, String::new());
    loop {
        let page = gateway.get(&format!("/api/v1/dead-letters?sink={sink}&limit={PAGE}{after}"))?;
        for listed in page["letters"].as_array().into_iter().flatten() {
            let name = listed["id"].as_str().ok_or_else(|| format!("a letter without a name: {listed}"))?;
            let shown = gateway.get(&format!("/api/v1/dead-letters/{name}"))?;
            let reason = shown["reason"].as_str().unwrap_or_default();
            if shown["otlp"].is_null() {
                letters.strange.push(format!("{name}, {reason}: {shown}"));
                continue;
            }
            for fields in otlp_json::items(&shown["otlp"])? {
                letters.take(run, &Found::item(run, fields), name, reason);
            }
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(letters),
        }
    }
}

impl Letters {
    /// The reasons of an item's letters.
    pub fn of(&self, id: Id) -> &[String] {
        self.reasons.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    fn take(&mut self, run: &Run, found: &Found, name: &str, reason: &str) {
        let Some(id) = found.id else {
            return self.strange.push(format!("{name}, {reason}: {:?}", found.fields));
        };
        let expected = held(&[CannotHold::NanPayloads], content::as_item(run, id));
        let wrong = differences(&expected, &found.fields, content::strictness(id.stream));
        if !wrong.is_empty() {
            self.strange.push(format!("{name}, {}: {}", id.name(), wrong.join("; ")));
        }
        self.reasons.entry(id).or_default().push(reason.to_owned());
    }
}
