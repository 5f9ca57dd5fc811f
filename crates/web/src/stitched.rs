//! Requests as stitching knows them: one trace out of everything that was received for it under whatever id, with the log records
//! where they belong.

use model::TraceId;
use rows::{LogRow, Span};
use stitch::{Found, Names, Sought};

use crate::traces::Trouble;
use store::{Reader, Request, Trace};

/// A request with everything that the store has of it.
#[derive(Debug)]
pub(crate) struct Stitched {
    /// The id under which it is shown.
    pub(crate) id: String,
    /// Other ids under which parts of it were received.
    pub(crate) aliases: Vec<String>,
    /// Its spans and log records. They keep the ids that they were received with, but for the spans that log records belong to and the
    /// parents of received roots.
    pub(crate) trace: Trace,
}

/// The requests that a name may mean; none where nothing of it was stitched.
pub(crate) async fn stitched(
    store: &Reader,
    names: &Names,
    sought: Sought,
) -> Result<Vec<Stitched>, Trouble> {
    let mut all = Vec::new();
    for found in names.look(sought).await.map_err(Trouble::Nameless)? {
        let request = Request {
            tenant: found.tenant.clone(),
            ids: std::iter::once(&found.canonical).chain(&found.aliases).filter_map(trace_id).collect(),
            logs: found.rows.iter().map(|(row, ..)| (row.time as i64, row.offset, row.index)).collect(),
        };
        let trace = store.request(request).await.map_err(Trouble::Broken)?;
        if !trace.spans.is_empty() || !trace.logs.is_empty() {
            all.push(Stitched {
                id: hex(&found.canonical),
                aliases: found.aliases.iter().map(|id| hex(id)).collect(),
                trace: placed(trace, &found),
            });
        }
    }
    Ok(all)
}

fn trace_id(bytes: &[u8; 16]) -> Option<TraceId> {
    TraceId::from_otlp(bytes)
}

/// Puts log records below their spans, and received roots below what caused them.
fn placed(mut trace: Trace, found: &Found) -> Trace {
    for log in &mut trace.logs {
        let row = found.rows.iter().find(|(row, ..)| (row.offset, row.index) == (log.offset, log.index));
        if let Some((_, _, span)) = row {
            place(log, span);
        }
    }
    for span in &mut trace.spans {
        let parent = found.parents.iter().find(|(of, id, _)| is(span, of, id));
        if let Some((_, _, parent)) = parent {
            span.parent_span_id = hex(parent);
        }
    }
    trace
}

fn place(log: &mut LogRow, span: &[u8; 8]) {
    if *span != [0; 8] {
        log.span_id = hex(span);
    }
}

fn is(span: &Span, trace: &[u8; 16], id: &[u8; 8]) -> bool {
    span.span_id == hex(id) && span.trace_id == hex(trace)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
