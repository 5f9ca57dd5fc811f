//! Requests as stitching knows them: one trace out of everything that was received for it under whatever id, with the log records
//! where they belong.

use model::TraceId;
use rows::{LogRow, Span};
use stitch::{Found, Sought};
use store::{Reader, Request, Trace};

use crate::Sources;
use crate::traces::{Trouble, What, Whole};

/// The requests that a name may mean; none where nothing of it was stitched. Spans and log records are as they were received, but for the
/// spans that log records belong to and the parents of received roots.
pub(crate) async fn stitched(
    sources: &Sources,
    store: &Reader,
    sought: Sought,
    what: What,
) -> Result<Vec<Whole>, Trouble> {
    let Some(names) = &sources.names else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for found in names.look(sought).await.map_err(Trouble::Nameless)? {
        let ids = std::iter::once(&found.canonical).chain(&found.aliases);
        let is_of_spans = matches!(what, What::Spans);
        let rows = found.rows.iter().filter(|_| !is_of_spans);
        let request = Request {
            tenant: found.tenant.clone(),
            ids: ids.filter_map(|id| TraceId::from_otlp(id)).collect(),
            logs: rows.map(|(row, ..)| (row.time as i64, row.offset, row.index)).collect(),
            is_of_spans,
        };
        let trace = store.request(request).await.map_err(Trouble::Broken)?;
        if !trace.spans.is_empty() || !trace.logs.is_empty() {
            let Trace { spans, logs, truncated, unreadable, .. } = placed(trace, &found);
            let aliases = found.aliases.iter().map(|id| hex(id)).collect();
            let whole = Whole::new(hex(&found.canonical), spans, logs);
            all.push(Whole { aliases, truncated, unreadable, ..whole });
        }
    }
    Ok(all)
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
