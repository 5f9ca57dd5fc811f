//! Elasticsearch and OpenSearch: each item is a document, created by `_bulk` under the item's own id. What stitching tells again is written over
//! what it told first, by external versions.
//! (Elasticsearch reference, "Bulk API"; OpenSearch documentation, "Bulk".)
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what the operator writes, and its check |
//! | `index.rs` | names of indices: dates of the event, fields of the item |
//! | `bulk.rs` | a request's body |
//! | `answer.rs` | what the server's answers mean, item by item |
//! | `notes.rs` | what is known of the items of a parcel that comes again |
//! | `setup.rs` | index templates and lifecycle policies |

mod answer;
mod bulk;
mod index;
mod notes;
#[cfg(test)]
mod real;
mod settings;
mod setup;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header};
use model::{Failure, RefusedItem, Signal, Tenant};
use pipeline::{BoxFuture, CheckedSink, Cut, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};
use tokio::sync::OnceCell;
use wire::Coding;

use crate::client::{Answer, Client, Endpoints, Payload, Speak};
use bulk::{Bulk, Form};
use notes::Notes;
use settings::{Checked, Settings};
use setup::{Peers, Puts};

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "elasticsearch",
    summary: "Stores each log record, span and metric point as a document in Elasticsearch 7 to 9 or OpenSearch 2 and 3.",
    schema: || schemars::schema_for!(Settings),
    check: |value| settings::check(value).map(|checked| Box::new(checked) as Box<dyn CheckedSink>),
    example: include_str!("example.yaml"),
    page: include_str!("page.md"),
};

impl CheckedSink for Checked {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let setup = match &self.setup {
                Some(puts) => Some(Peers::open(puts, &self.plan)?),
                None => None,
            };
            let client = Client::of(Speak::Http, self.plan, context.clock)?;
            let form = Arc::new(self.form);
            let sink = Documents {
                signals: self.signals,
                cut: Cut {
                    max_items: self.max_items,
                    max_bytes: self.max_bytes,
                    max_stored_bytes: self.max_bytes,
                    max_wait: self.max_wait,
                },
                in_flight: self.in_flight,
                nodes: self.nodes,
                form,
                client,
                workers: context.workers,
                notes: Notes::default(),
                setup: self.setup.zip(setup),
                ready: OnceCell::new(),
            };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

struct Documents {
    signals: Vec<Signal>,
    cut: Cut,
    in_flight: usize,
    nodes: Endpoints,
    form: Arc<Form>,
    client: Client,
    workers: Workers,
    notes: Notes,
    setup: Option<(Puts, Peers)>,
    /// Set when everything that was asked for is on the server.
    ready: OnceCell<()>,
}

impl Sink for Documents {
    fn signals(&self) -> &[Signal] {
        &self.signals
    }

    fn cut(&self) -> Cut {
        self.cut
    }

    fn adaptive(&self) -> bool {
        true
    }

    fn shows_revisions(&self) -> bool {
        self.form.revises
    }

    fn in_flight(&self, _: Signal) -> usize {
        self.in_flight
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.store(parcel))
    }
}

impl Documents {
    /// Sends what nothing is known of yet. An item that the server cannot take now makes the parcel come again, with notes of all others.
    async fn store(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        self.set_up(parcel).await?;
        let mut noted = self.notes.of(parcel);
        if noted.open() > 0 {
            let (form, there, known) = (Arc::clone(&self.form), parcel.clone(), noted.clone());
            let made = self.workers.run(move || form.make(&there, &known)).await;
            let Bulk { body, items } = made.map_err(|gone| retry(gone.to_string()))??;
            let answer = self.post(&parcel.tenant, body, items.len()).await?;
            let mut again = None;
            for (item, said) in items.iter().zip(answer::judge(&answer, items.len(), self.form.ids)?) {
                match said {
                    Ok(fate) => noted.set(*item, fate),
                    Err(reason) => again = again.or(Some(reason)),
                }
            }
            if let Some(reason) = again {
                self.notes.keep(parcel, &noted);
                let reason =
                    format!("{} of {} items are to be sent again: {reason}", noted.open(), items.len());
                return Err(Failure::Retry { after: answer.after, reason });
            }
        }
        self.notes.forget(parcel);
        let refused: Vec<RefusedItem> =
            noted.refused().map(|(index, reason)| RefusedItem { index, reason: reason.to_owned() }).collect();
        if refused.is_empty() { Ok(Receipt::Delivered) } else { Err(Failure::Refused { items: refused }) }
    }

    /// Puts templates and policies, once.
    async fn set_up(&self, parcel: &Parcel) -> Result<(), Failure> {
        let Some((puts, peers)) = &self.setup else { return Ok(()) };
        self.ready.get_or_try_init(|| puts.put(peers, &self.client, &parcel.sink)).await?;
        Ok(())
    }

    /// Posts to one node after the other until one answers.
    async fn post(&self, tenant: &Tenant, body: bytes::Bytes, items: usize) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if self.form.coding == Coding::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.client.name_tenant(&mut headers, tenant);
        let limit = answer::ceiling(items);
        // A node that is starting, or has lost its cluster, says so.
        let away = |answer: &Answer| matches!(answer.status.as_u16(), 502..=504);
        let body = Payload::from(body);
        self.nodes.send_within(limit, &self.client, &Method::POST, &headers, &body, away).await
    }
}

fn retry(reason: String) -> Failure {
    Failure::Retry { after: None, reason }
}
