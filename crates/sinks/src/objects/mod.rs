//! Parquet files in an object store: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, a folder.
//!
//! A parcel becomes one object for each hour of event time in it. Objects are named by what is in them (`Parcel::range_id`), the
//! courier records a parcel's range before its first attempt and brings exactly it again after a restart, and equal rows make
//! equal bytes: so however often a parcel comes, its objects are there once. An object that is there already is not written again.
//!
//! | file | what |
//! |---|---|
//! | `place.rs` | the URL and options of a store, checked and opened |
//! | `make.rs` | a parcel to objects |
//! | `connector.rs` | our HTTP client below the cloud stores |
//! | `put.rs` | an object to its store, once |

mod connector;
mod make;
mod place;
mod put;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Failure, Problem, Signal};
use pipeline::settings::{self, Period, Secret, Size};
use pipeline::{BoxFuture, CheckedSink, Cut, Edges, Parcel, Receipt, Sink, SinkContext, SinkRow};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::client::{Plan, Tls, Written};
use crate::signals;
use place::Place;
use put::Putter;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "object_store",
    summary: "Writes Parquet files to S3-compatible stores, Google Cloud Storage, Azure Blob Storage or a folder, each item once.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "lake:\n  type: object_store\n  url: s3://telemetry/tidegate\n  options:\n    region: eu-central-1\n    access_key_id: GATEWAY\n    secret_access_key: SECRET\n  max_wait: 1m\n",
    page: include_str!("page.md"),
};

/// Writes Parquet files to an object store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where objects go: `s3://BUCKET/PREFIX` (with the option `endpoint` for any S3-compatible store), `gs://BUCKET/PREFIX`,
    /// `az://CONTAINER/PREFIX`, or `file:///FOLDER`.
    url: String,
    /// Options of that store, by the names that its own tools use, such as `region`, `endpoint`, `access_key_id`, `secret_access_key`,
    /// `virtual_hosted_style_request` for `s3`; `service_account` for `gs`; `account_name`, `access_key` for `az`. Values are kept secret.
    #[serde(default)]
    options: BTreeMap<String, Secret>,
    /// How TLS is spoken with an `https` endpoint. Left out: the machine's certificate authorities are trusted.
    tls: Option<Tls>,
    /// The HTTP proxy through which the peer is reached, `http://USER:PASSWORD@HOST:PORT`; `environment` takes those of HTTPS_PROXY, HTTP_PROXY
    /// and NO_PROXY. Default: none, whatever the environment says.
    #[serde(default)]
    proxy: Option<Secret>,
    /// Hosts, domains (with all below) and address ranges that are reached without the proxy, for example `intern.example` or `10.0.0.0/8`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// Which signals it takes. Default: all.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// A parcel is written when it holds so many plain bytes of one tenant and signal; an object is about a tenth of that. Takes as much
    /// memory for each signal. Default: `64MiB`; from `1MiB` to `1GiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// A parcel is written when its oldest item has waited so long. Default: `5m`; from `1s` to `1h`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// Objects larger than this go up in parts of this size. Default: `16MiB`; from `5MiB`, the least that S3 takes, to `1GiB`.
    #[serde(default = "part_size")]
    part_size: Size,
}

fn max_bytes() -> Size {
    Size(64 << 20)
}

fn max_wait() -> Period {
    Period(Duration::from_mins(5))
}

fn part_size() -> Size {
    Size(16 << 20)
}

struct Checked {
    place: Place,
    plan: Plan,
    signals: Vec<Signal>,
    cut: Cut,
    part_size: usize,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let place = Place::check(&settings.url, settings.options, &mut problems);
    let signals = signals::checked(&settings.signals, &mut problems);
    let Size(max_bytes) = settings.max_bytes;
    settings::within("max_bytes", settings.max_bytes, Size(1 << 20)..=Size(1 << 30), "64MiB", &mut problems);
    let Period(max_wait) = settings.max_wait;
    settings::within(
        "max_wait",
        settings.max_wait,
        Period(Duration::from_secs(1))..=Period(Duration::from_hours(1)),
        "5m",
        &mut problems,
    );
    let Size(part_size) = settings.part_size;
    settings::within("part_size", settings.part_size, Size(5 << 20)..=Size(1 << 30), "16MiB", &mut problems);
    let written = Written {
        headers: &BTreeMap::new(),
        tenant_header: None,
        auth: None,
        tls: settings.tls.as_ref(),
        proxy: settings.proxy.as_ref(),
        no_proxy: &settings.no_proxy,
    };
    let plan = Plan::check(&written, &mut problems);
    let Some(place) = place.filter(|_| problems.is_empty()) else { return Err(problems) };
    let cut = Cut { max_items: 1_000_000, max_bytes, max_stored_bytes: max_bytes, max_wait };
    Ok(Box::new(Checked { place, plan, signals, cut, part_size: part_size as usize }))
}

impl CheckedSink for Checked {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let opened = self.place.open(self.plan, &context)?;
            let putter = Putter::new(opened, self.part_size);
            let (signals, cut) = (self.signals, self.cut);
            Ok(Arc::new(Objects { signals, cut, putter, context }) as Arc<dyn Sink>)
        })
    }
}

struct Objects {
    signals: Vec<Signal>,
    cut: Cut,
    putter: Putter,
    context: SinkContext,
}

impl Sink for Objects {
    fn signals(&self) -> &[Signal] {
        &self.signals
    }

    fn cut(&self) -> Cut {
        self.cut
    }

    fn edges(&self) -> Edges {
        Edges::Recorded
    }

    fn adaptive(&self) -> bool {
        true
    }

    fn in_flight(&self, _: Signal) -> usize {
        // The tenants of one range.
        4
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(async move {
            // Where each item lies, and the file that is made of them: about half of the plain bytes again. It must not wait for
            // room, since only what is delivered makes any.
            let plain: u64 = parcel.parts.iter().map(pipeline::Part::plain_share).sum();
            let _lease = self.context.memory.overdraw(plain / 2);
            let owned = parcel.clone();
            let made = self.context.workers.run(move || make::objects(&owned)).await;
            let objects = made.map_err(|gone| put::retry(gone.to_string()))??;
            for object in objects {
                self.putter.put(object).await?;
            }
            Ok(Receipt::Delivered)
        })
    }
}

#[cfg(test)]
mod tests;
