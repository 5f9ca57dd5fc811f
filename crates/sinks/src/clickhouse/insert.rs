//! One sheet into its table. An insert that fails because of its data is halved here, not by the courier: the tables of one parcel are
//! separate inserts, and the courier's halves would have other names, under which what is stored already would be stored again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Failure, RefusedItem, Signal};
use wire::Coding;

use super::answer::{Trouble, verdict};
use super::layout::Layout;
use super::sheet::Made;
use super::tables::Table;
use super::{ClickHouse, lock, quoted};

/// A row that the server refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) item: RefusedItem,
}

/// What is known of the inserts of one parcel, so that the next attempt goes on where this one ended, whether or not the
/// server remembers tokens. There are at most twice as many as the parcel has rows.
#[derive(Debug, Default)]
pub(super) struct Progress {
    range: String,
    known: HashMap<String, Known>,
    /// Whether the tables were described anew for this parcel.
    described: bool,
}

#[derive(Debug, Clone)]
enum Known {
    Stored,
    Split,
    Refused(String),
}

impl ClickHouse {
    /// Stores the rows of one table; answers those that the server refuses.
    pub(super) async fn insert(
        &self,
        signal: Signal,
        range: &str,
        made: &Arc<Made>,
        table: Table,
        layout: &Arc<Layout>,
    ) -> Result<Vec<Refusal>, Failure> {
        let sheet = &made.sheets[&table];
        let mut refusals = Vec::new();
        let mut todo: Vec<_> = std::iter::once(0..sheet.len()).collect();
        while let Some(rows) = todo.pop() {
            let token = format!("{range}{}-{}-{}", table.suffix(), rows.start, rows.end);
            let known = self.progress(signal, range, |progress| progress.known.get(&token).cloned());
            let known = match known {
                Some(known) => known,
                None => {
                    let known =
                        self.attempt(signal, range, made, table, layout, rows.clone(), &token).await?;
                    self.progress(signal, range, |progress| progress.known.insert(token, known.clone()));
                    known
                }
            };
            match known {
                Known::Stored => {}
                Known::Split => {
                    let middle = rows.start + rows.len() / 2;
                    todo.push(middle..rows.end);
                    todo.push(rows.start..middle);
                }
                Known::Refused(reason) => {
                    refusals.push(Refusal { item: RefusedItem { index: sheet.items[rows.start], reason } });
                }
            }
        }
        Ok(refusals)
    }

    /// One insert.
    #[allow(clippy::too_many_arguments, reason = "what to insert, where, and under which name")]
    async fn attempt(
        &self,
        signal: Signal,
        range: &str,
        made: &Arc<Made>,
        table: Table,
        layout: &Arc<Layout>,
        rows: Range<usize>,
        token: &str,
    ) -> Result<Known, Failure> {
        let alone = rows.len() == 1;
        let body = self.body(made, table, layout, rows).await?;
        let statement = format!(
            "INSERT INTO {} ({}) FORMAT {}",
            quoted(&self.checked.tables.name(table)),
            layout.names(),
            layout.format()
        );
        let mut parameters = vec![("database", self.checked.database.as_str()), ("query", &statement)];
        if self.checked.deduplicate {
            parameters.push(("insert_deduplication_token", token));
            parameters.push(("deduplicate_blocks_in_dependent_materialized_views", "1"));
        }
        if self.checked.async_insert {
            parameters.extend([("async_insert", "1"), ("wait_for_async_insert", "1")]);
            if self.checked.deduplicate {
                parameters.push(("async_insert_deduplicate", "1"));
            }
        }
        let answer = self.post(&parameters, body, self.checked.coding).await?;
        let refused = |reason| if alone { Known::Refused(reason) } else { Known::Split };
        match verdict(&answer) {
            Ok(()) => Ok(Known::Stored),
            Err(Trouble::Data(reason)) => Ok(refused(reason)),
            Err(Trouble::Layout(reason)) => {
                let before =
                    self.progress(signal, range, |progress| std::mem::replace(&mut progress.described, true));
                if before {
                    return Ok(refused(reason));
                }
                lock(&self.layouts).remove(&table);
                let reason = format!("the table may have changed; it is described anew: {reason}");
                Err(Failure::Retry { after: Some(Duration::ZERO), reason })
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::NoTable(_)) {
                    lock(&self.layouts).remove(&table);
                    lock(&self.put).remove(&signal);
                }
                Err(trouble.into())
            }
        }
    }

    async fn body(
        &self,
        made: &Arc<Made>,
        table: Table,
        layout: &Arc<Layout>,
        rows: Range<usize>,
    ) -> Result<Bytes, Failure> {
        let (made, layout, coding) = (Arc::clone(made), Arc::clone(layout), self.checked.coding);
        let body = self.workers.run(move || {
            let plain = [&layout.head[..], made.sheets[&table].bytes(rows)].concat();
            Bytes::from(match coding {
                Coding::Plain => plain,
                // The fastest level: CPU is what it costs.
                coding => wire::coding::compress(coding, 1, &plain),
            })
        });
        body.await.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })
    }

    /// Works on what is known of the parcel `range`, and forgets every other.
    fn progress<R>(&self, signal: Signal, range: &str, work: impl FnOnce(&mut Progress) -> R) -> R {
        let mut all = lock(&self.progress);
        let progress = all.entry(signal).or_default();
        if progress.range != range {
            *progress = Progress { range: range.to_owned(), ..Progress::default() };
        }
        work(progress)
    }
}
