//! `/` for a person with a browser: that the gateway runs, and where to look.

const TEXT: &str = "tidegate is running

look at
  /api/v1/traces/{id}   a trace, by any spelling of its id
  /jaeger, /tempo       the query APIs of Jaeger and Tempo, for Grafana's data sources
  /api/v1/correlation   how the requests of the last hour are joined, and what would make it better
  /api/v1/ledger        the books: what was accepted and what became of it, per source and sink
  /api/v1/dead-letters  what sinks' peers refused for good
  /api/v1/cursors       how far each sink and replay is, and what it holds
  /api/v1/sinks         each sink's state and its last error
  /metrics              the gateway's own metrics
  /healthz, /readyz     health

send to: any other path answers with the list
";

pub(crate) async fn home() -> &'static str {
    TEXT
}
