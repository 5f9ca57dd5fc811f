//! Every metric that is made: name, labels, unit, kind. `docs/reference/derived-metrics.md` is written from these rows.

/// What a metric's points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// How durations are spread.
    Histogram {
        /// Nanoseconds in one of the unit that is exported.
        per_unit: u64,
        /// The upper bounds of its buckets, in nanoseconds.
        bounds: &'static [u64],
    },
}

/// What is told of a metric beside its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The metric.
    pub metric: Metric,
    /// Its name, as Prometheus has it.
    pub name: &'static str,
    /// Its unit (UCUM). Empty where a server that makes names of OTLP's would change this one for the unit's sake.
    pub unit: &'static str,
    /// What its points are.
    pub kind: Kind,
    /// Its labels, in the order that all code here gives them in.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident, $name:literal, $unit:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        /// A metric that is made of logs or spans.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric { $(#[doc = $help] $id),* }

        /// Every metric, in the order of `Metric`.
        pub const ROWS: &[Row] = &[$(Row {
            metric: Metric::$id,
            name: $name,
            unit: $unit,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

impl Metric {
    /// What is told of it.
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The metric of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        ROWS.iter().find(|row| row.name.as_bytes() == name).map(|row| row.metric)
    }
}

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// Milliseconds as nanoseconds.
const fn millis<const N: usize>(mut bounds: [u64; N]) -> [u64; N] {
    let mut at = 0;
    while at < N {
        bounds[at] *= MILLI;
        at += 1;
    }
    bounds
}

const fn seconds(bounds: &'static [u64]) -> Kind {
    Kind::Histogram { per_unit: SECOND, bounds }
}

const fn milliseconds(bounds: &'static [u64]) -> Kind {
    Kind::Histogram { per_unit: MILLI, bounds }
}

const LATENCY: &[u64] = &millis([5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000]);
const CPU: &[u64] = &millis([1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 15000, 30000]);
/// Those of Tempo's span metrics.
const SPAN: &[u64] = &millis([2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]);
/// Those of Tempo's service graphs.
const GRAPH: &[u64] = &millis([100, 200, 400, 800, 1600, 3200, 6400, 12800]);
const WAIT: &[u64] = &millis([10, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120_000]);
/// Those of Kong's plugin, 3.x.
const KONG: &[u64] = &millis([1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000]);
/// Those of Kong's plugin, 3.x, for upstreams and whole requests.
const UPSTREAM: &[u64] = &millis([25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000]);
/// Those of Kong's plugin, 2.x, for all three.
const KONG_2: &[u64] = &millis([
    1, 2, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 200, 300, 400, 500, 1000, 2000, 5000, 10000,
    30000, 60000,
]);

metrics! {
    Requests, "cloudflare_http_requests_total", "", Kind::Counter,
        ["zone", "method", "status", "cache_status", "source"],
        "Requests that the edge answered, those of Workers apart; source eyeball is visitors";
    ColoRequests, "cloudflare_colo_requests_total", "", Kind::Counter, ["zone", "colo", "status_class"],
        "Visitors' requests by the data centre that answered";
    ResponseBytes, "cloudflare_edge_response_bytes_total", "By", Kind::Counter, ["zone"],
        "Bytes that the edge sent to visitors";
    EdgeDuration, "cloudflare_edge_duration_seconds", "s", seconds(LATENCY), ["zone", "status_class"],
        "Time from the first byte of a visitor's request to the last of its answer";
    EdgeFirstByte, "cloudflare_edge_ttfb_seconds", "s", seconds(LATENCY), ["zone", "status_class"],
        "Time to the first byte of the edge's answer";
    OriginDuration, "cloudflare_origin_duration_seconds", "s", seconds(LATENCY), ["zone", "status_class"],
        "Time that the origin took, of visitors' requests and of Workers', by the class of its own status";
    Subrequests, "cloudflare_worker_subrequests_total", "", Kind::Counter, ["zone", "status", "source"],
        "Requests that Workers made: to origins (edgeWorkerFetch), caches and key-value stores";
    WorkerDuration, "cloudflare_worker_duration_seconds", "s", seconds(LATENCY),
        ["script_name", "event_type", "outcome"], "Wall time of a Worker's run";
    WorkerCpu, "cloudflare_worker_cpu_seconds", "s", seconds(CPU), ["script_name"], "CPU time of a Worker's run";
    WorkerExceptions, "cloudflare_worker_exceptions_total", "", Kind::Counter, ["script_name", "exception_type"],
        "Exceptions that Workers did not catch";
    FirewallEvents, "cloudflare_firewall_events_total", "", Kind::Counter, ["zone", "action", "source"],
        "Decisions of the firewall, one for each request that a rule decided";
    KongRequests, "kong_http_requests_total", "", Kind::Counter,
        ["service", "route", "code", "source", "workspace", "consumer"],
        "HTTP status codes per consumer/service/route in Kong";
    KongLatency, "kong_kong_latency_ms", "", milliseconds(KONG), ["service", "route", "workspace"],
        "Latency added by Kong and its plugins for each service/route";
    KongUpstreamLatency, "kong_upstream_latency_ms", "", milliseconds(UPSTREAM), ["service", "route", "workspace"],
        "Latency added by the upstream's response for each service/route";
    KongRequestLatency, "kong_request_latency_ms", "", milliseconds(UPSTREAM), ["service", "route", "workspace"],
        "Total latency of requests for each service/route";
    KongBandwidth, "kong_bandwidth_bytes", "By", Kind::Counter,
        ["service", "route", "direction", "workspace", "consumer"], "Bytes in and out through Kong";
    KongSessions, "kong_stream_sessions_total", "", Kind::Counter,
        ["service", "route", "code", "source", "workspace"], "Stream status codes per service/route in Kong";
    KongSessionDuration, "kong_session_duration_ms", "", milliseconds(UPSTREAM), ["service", "route", "workspace"],
        "Length of stream sessions for each service/route";
    Kong2Status, "kong_http_status", "", Kind::Counter, ["service", "route", "code"],
        "HTTP status codes per service/route in Kong (2.x)";
    Kong2ConsumerStatus, "kong_http_consumer_status", "", Kind::Counter, ["service", "route", "code", "consumer"],
        "HTTP status codes per consumer and service/route in Kong (2.x)";
    Kong2StreamStatus, "kong_stream_status", "", Kind::Counter, ["service", "route", "code"],
        "Stream status codes per service/route in Kong (2.x)";
    Kong2Latency, "kong_latency", "", milliseconds(KONG_2), ["service", "route", "type"],
        "Milliseconds of Kong, the upstream and the whole request for each service/route (2.x)";
    Kong2Bandwidth, "kong_bandwidth", "By", Kind::Counter, ["service", "route", "type"],
        "Bytes in and out per service/route in Kong (2.x)";
    SpanCalls, "traces_spanmetrics_calls_total", "", Kind::Counter,
        ["service", "span_name", "span_kind", "status_code"], "Spans";
    SpanLatency, "traces_spanmetrics_latency", "", seconds(SPAN),
        ["service", "span_name", "span_kind", "status_code"], "Durations of spans, in seconds";
    GraphRequests, "traces_service_graph_request_total", "", Kind::Counter, ["client", "server", "connection_type"],
        "Requests from one service to another";
    GraphFailed, "traces_service_graph_request_failed_total", "", Kind::Counter,
        ["client", "server", "connection_type"], "Requests from one service to another that failed on either side";
    GraphServer, "traces_service_graph_request_server_seconds", "s", seconds(GRAPH),
        ["client", "server", "connection_type"], "Time that a request took, as the server saw it";
    GraphClient, "traces_service_graph_request_client_seconds", "s", seconds(GRAPH),
        ["client", "server", "connection_type"], "Time that a request took, as the client saw it";
    GraphUnpaired, "traces_service_graph_unpaired_spans_total", "", Kind::Counter, ["client", "server"],
        "Spans whose other half did not come in time";
    GraphDropped, "traces_service_graph_dropped_spans_total", "", Kind::Counter, ["client", "server"],
        "Spans that could not wait for their other half since too many were waiting";
    OpenFaas, "openfaas_request_duration_seconds", "s", seconds(LATENCY), ["function_name", "method", "status"],
        "Time of requests at OpenFaaS' gateway";
    ColdStarts, "faas_coldstarts_total", "", Kind::Counter, ["service", "function_name", "trigger"],
        "Invocations that had to wait for a new instance, by their own account";
    ActivatorWait, "knative_activator_wait_seconds", "s", seconds(WAIT), ["service"],
        "Time that Knative's activator held requests until an instance could take them";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_their_metrics_and_names_are_unique() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.metric as usize, at);
            assert_eq!(Metric::named(row.name.as_bytes()), Some(row.metric));
        }
    }

    #[test]
    fn bounds_rise() {
        for row in ROWS {
            if let Kind::Histogram { bounds, .. } = row.kind {
                assert!(bounds.is_sorted_by(|a, b| a < b), "{}", row.name);
            }
        }
    }
}
