//! Takes everything and keeps nothing: for measuring what the gateway itself costs, and for trying a configuration out.

use std::sync::Arc;
use std::time::Duration;

use model::{Failure, Problem, Signal};
use pipeline::{BoxFuture, CheckedSink, Cut, Parcel, Receipt, Sink, SinkContext, SinkRow, settings};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::signals;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "blackhole",
    summary: "Takes everything and keeps nothing; for measuring the gateway itself.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "nothing:\n  type: blackhole\n  signals: [traces, logs, metrics]\n",
    page: "## What becomes of it

Everything is taken and nothing is kept. For measuring the gateway alone.",
};

/// A sink that books everything as delivered without looking at it. Whatever only it receives is lost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Which signals it takes. Default: all.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let signals = signals::checked(&settings.signals, &mut problems);
    if problems.is_empty() { Ok(Box::new(Blackhole { signals })) } else { Err(problems) }
}

#[derive(Debug)]
struct Blackhole {
    signals: Vec<Signal>,
}

impl CheckedSink for Blackhole {
    fn open(self: Box<Self>, _: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move { Ok(Arc::new(*self) as Arc<dyn Sink>) })
    }
}

impl Sink for Blackhole {
    fn signals(&self) -> &[Signal] {
        &self.signals
    }

    fn cut(&self) -> Cut {
        Cut { max_items: 100_000, max_bytes: 16 << 20, max_stored_bytes: 16 << 20, max_wait: Duration::ZERO }
    }

    fn deliver<'a>(&'a self, _: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(std::future::ready(Ok(Receipt::Delivered)))
    }
}
