//! `tidegate trace ID`: asks a running gateway for a trace by any spelling of its id and draws it as a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

use crate::client::{Client, encode};

/// What to look for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The id: W3C hex or traceparent, B3, uber-trace-id, X-Ray, Datadog decimal, UUID, base64 …
    id: String,
    /// The gateway's front door.
    #[arg(long, default_value = crate::client::DEFAULT_URL)]
    url: String,
    /// Prints the answer of the query API instead of a tree.
    #[arg(long)]
    json: bool,
}

/// Prints every trace that the id may mean.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let answer = Client::new(&options.url)?.get(&format!("/api/v1/traces/{}", encode(&options.id))).await?;
    match answer.status {
        200 if options.json => crate::say(&answer.text()),
        200 => {
            let found: Found = serde_json::from_slice(&answer.body)
                .map_err(|error| format!("the answer is unreadable: {error}"))?;
            for trace in &found.traces {
                crate::say(tree(trace).trim_end());
            }
        }
        _ => return Err(answer.text()),
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Found {
    traces: Vec<Trace>,
}

#[derive(Debug, Deserialize)]
struct Trace {
    trace_id: String,
    spans: Vec<Span>,
    logs: Vec<Log>,
}

#[derive(Debug, Deserialize)]
struct Span {
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    service: String,
    name: String,
    kind: String,
    #[serde(deserialize_with = "digits")]
    start_unix_nano: u64,
    #[serde(deserialize_with = "digits")]
    end_unix_nano: u64,
    status: String,
}

#[derive(Debug, Deserialize)]
struct Log {
    #[serde(default)]
    span_id: String,
    service: String,
    #[serde(deserialize_with = "digits")]
    time_unix_nano: u64,
    severity: String,
    body: String,
}

/// 64-bit numbers travel as text, because JSON readers keep 53 bits.
fn digits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// One node's children: spans below it, then the log lines that name it.
struct Tree<'a> {
    trace: &'a Trace,
    spans: BTreeMap<&'a str, Vec<&'a Span>>,
    logs: BTreeMap<&'a str, Vec<&'a Log>>,
    begin: u64,
    seen: BTreeSet<&'a str>,
}

fn tree(trace: &Trace) -> String {
    let known: BTreeSet<&str> = trace.spans.iter().map(|s| s.span_id.as_str()).collect();
    let mut spans: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in &trace.spans {
        let parent = if known.contains(span.parent_span_id.as_str()) && span.parent_span_id != span.span_id {
            span.parent_span_id.as_str()
        } else {
            ""
        };
        spans.entry(parent).or_default().push(span);
    }
    let mut logs: BTreeMap<&str, Vec<&Log>> = BTreeMap::new();
    for log in &trace.logs {
        let span = if known.contains(log.span_id.as_str()) { log.span_id.as_str() } else { "" };
        logs.entry(span).or_default().push(log);
    }
    for siblings in spans.values_mut() {
        siblings.sort_by_key(|s| (s.start_unix_nano, s.span_id.as_str()));
    }
    for lines in logs.values_mut() {
        lines.sort_by_key(|l| l.time_unix_nano);
    }
    let starts =
        trace.spans.iter().map(|s| s.start_unix_nano).chain(trace.logs.iter().map(|l| l.time_unix_nano));
    let begin = starts.filter(|t| *t > 0).min().unwrap_or(0);
    let ends = trace.spans.iter().map(|s| s.end_unix_nano).max().unwrap_or(begin);
    let services: BTreeSet<&str> = trace.spans.iter().map(|s| s.service.as_str()).collect();
    let mut out = format!(
        "trace {}: {} spans, {} log records, {} services, {}\n",
        trace.trace_id,
        trace.spans.len(),
        trace.logs.len(),
        services.len(),
        duration(ends.saturating_sub(begin)),
    );
    let mut tree = Tree { trace, spans, logs, begin, seen: BTreeSet::new() };
    tree.draw("", "", &mut out);
    // Spans whose parents form a cycle hang below no root; they are shown all the same.
    let unseen: Vec<&Span> =
        tree.trace.spans.iter().filter(|s| !tree.seen.contains(s.span_id.as_str())).collect();
    for span in unseen {
        if tree.seen.insert(&span.span_id) {
            let _ = writeln!(out, "?─ {}", tree.label(span));
            tree.draw(&span.span_id, "   ", &mut out);
        }
    }
    out
}

impl<'a> Tree<'a> {
    fn label(&self, span: &Span) -> String {
        let parent = span.parent_span_id.as_str();
        let missing = if parent.is_empty() || self.trace.spans.iter().any(|s| s.span_id == parent) {
            String::new()
        } else {
            format!("  (parent {parent} not received)")
        };
        let status = if span.status == "error" { "  ERROR" } else { "" };
        format!(
            "{}  {}  {}  +{} {}  {}{status}{missing}",
            span.service,
            span.name,
            span.kind,
            duration(span.start_unix_nano.saturating_sub(self.begin)),
            duration(span.end_unix_nano.saturating_sub(span.start_unix_nano)),
            span.span_id,
        )
    }

    fn draw(&mut self, parent: &str, indent: &str, out: &mut String) {
        let logs = self.logs.get(parent).cloned().unwrap_or_default();
        let spans: Vec<&'a Span> = self.spans.get(parent).cloned().unwrap_or_default();
        for (i, log) in logs.iter().enumerate() {
            let branch = if i + 1 == logs.len() && spans.is_empty() { "└" } else { "├" };
            let at = duration(log.time_unix_nano.saturating_sub(self.begin));
            let body: String =
                log.body.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(out, "{indent}{branch}· {}  {}  +{at}  {body}", log.service, log.severity);
        }
        for (i, span) in spans.iter().enumerate() {
            if !self.seen.insert(&span.span_id) {
                continue;
            }
            let last = i + 1 == spans.len();
            let _ = writeln!(out, "{indent}{} {}", if last { "└─" } else { "├─" }, self.label(span));
            let deeper = format!("{indent}{}", if last { "   " } else { "│  " });
            self.draw(&span.span_id, &deeper, out);
        }
    }
}

fn duration(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, start: u64) -> Span {
        Span {
            span_id: id.into(),
            parent_span_id: parent.into(),
            service: "shop".into(),
            name: format!("op {id}"),
            kind: "server".into(),
            start_unix_nano: start,
            end_unix_nano: start + 2_000_000,
            status: "unset".into(),
        }
    }

    #[test]
    fn children_stand_below_their_parents_in_order_of_time() {
        let trace = Trace {
            trace_id: "t".into(),
            spans: vec![span("c", "a", 5_000_000), span("b", "a", 3_000_000), span("a", "x", 1_000_000)],
            logs: vec![Log {
                span_id: "b".into(),
                service: "shop".into(),
                time_unix_nano: 4_000_000,
                severity: "INFO".into(),
                body: "done\n\u{1b}[31m".into(),
            }],
        };
        let expected = "trace t: 3 spans, 1 log records, 1 services, 6.0 ms
└─ shop  op a  server  +0 ns 2.0 ms  a  (parent x not received)
   ├─ shop  op b  server  +2.0 ms 2.0 ms  b
   │  └· shop  INFO  +3.0 ms  done  [31m
   └─ shop  op c  server  +4.0 ms 2.0 ms  c
";
        assert_eq!(tree(&trace), expected);
    }

    #[test]
    fn cycles_and_self_parents_are_shown_once() {
        let trace = Trace {
            trace_id: "t".into(),
            spans: vec![span("a", "b", 1), span("b", "a", 2), span("c", "c", 3)],
            logs: vec![],
        };
        let drawn = tree(&trace);
        for id in ["op a", "op b", "op c"] {
            assert_eq!(drawn.matches(id).count(), 1, "{drawn}");
        }
    }
}
