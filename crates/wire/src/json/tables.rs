//! The rows: OTLP's messages (opentelemetry-proto 1.11) as far as traces, metrics and logs use them.

use super::shape::{Kind, Presence, Shape, Slot};
use crate::Signal;

const TEXT: Kind = Kind::Text;
const DOUBLE: Kind = Kind::Double;
const TIME: Kind = Kind::Fixed64;

const fn one(number: u32, name: &'static str, kind: Kind) -> Slot {
    Slot { number, name, kind, presence: Presence::Implicit }
}

const fn optional(number: u32, name: &'static str, kind: Kind) -> Slot {
    Slot { number, name, kind, presence: Presence::Explicit }
}

const fn choice(number: u32, name: &'static str, kind: Kind) -> Slot {
    Slot { number, name, kind, presence: Presence::Choice }
}

const fn list(number: u32, name: &'static str, kind: Kind) -> Slot {
    Slot { number, name, kind, presence: Presence::Repeated }
}

const fn message(number: u32, name: &'static str, shape: &'static Shape) -> Slot {
    Slot { number, name, kind: Kind::Message(shape), presence: Presence::Explicit }
}

const fn messages(number: u32, name: &'static str, shape: &'static Shape) -> Slot {
    list(number, name, Kind::Message(shape))
}

const fn attributes(number: u32) -> Slot {
    messages(number, "attributes", &KEY_VALUE)
}

/// The shape of the signal's export request.
pub(super) fn request(signal: Signal) -> &'static Shape {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
    }
}

static TRACES: Shape = Shape { fields: &[messages(1, "resourceSpans", &RESOURCE_SPANS)] };
static LOGS: Shape = Shape { fields: &[messages(1, "resourceLogs", &RESOURCE_LOGS)] };
static METRICS: Shape = Shape { fields: &[messages(1, "resourceMetrics", &RESOURCE_METRICS)] };

static RESOURCE_SPANS: Shape = Shape {
    fields: &[
        message(1, "resource", &RESOURCE),
        messages(2, "scopeSpans", &SCOPE_SPANS),
        one(3, "schemaUrl", TEXT),
    ],
};
static RESOURCE_LOGS: Shape = Shape {
    fields: &[
        message(1, "resource", &RESOURCE),
        messages(2, "scopeLogs", &SCOPE_LOGS),
        one(3, "schemaUrl", TEXT),
    ],
};
static RESOURCE_METRICS: Shape = Shape {
    fields: &[
        message(1, "resource", &RESOURCE),
        messages(2, "scopeMetrics", &SCOPE_METRICS),
        one(3, "schemaUrl", TEXT),
    ],
};
static SCOPE_SPANS: Shape =
    Shape { fields: &[message(1, "scope", &SCOPE), messages(2, "spans", &SPAN), one(3, "schemaUrl", TEXT)] };
static SCOPE_LOGS: Shape = Shape {
    fields: &[message(1, "scope", &SCOPE), messages(2, "logRecords", &LOG_RECORD), one(3, "schemaUrl", TEXT)],
};
static SCOPE_METRICS: Shape = Shape {
    fields: &[message(1, "scope", &SCOPE), messages(2, "metrics", &METRIC), one(3, "schemaUrl", TEXT)],
};

static RESOURCE: Shape = Shape {
    fields: &[
        attributes(1),
        one(2, "droppedAttributesCount", Kind::Uint32),
        messages(3, "entityRefs", &ENTITY_REF),
    ],
};
static ENTITY_REF: Shape = Shape {
    fields: &[
        one(1, "schemaUrl", TEXT),
        one(2, "type", TEXT),
        list(3, "idKeys", TEXT),
        list(4, "descriptionKeys", TEXT),
    ],
};
static SCOPE: Shape = Shape {
    fields: &[
        one(1, "name", TEXT),
        one(2, "version", TEXT),
        attributes(3),
        one(4, "droppedAttributesCount", Kind::Uint32),
    ],
};
static KEY_VALUE: Shape = Shape { fields: &[one(1, "key", TEXT), message(2, "value", &ANY_VALUE)] };
static ANY_VALUE: Shape = Shape {
    fields: &[
        choice(1, "stringValue", TEXT),
        choice(2, "boolValue", Kind::Bool),
        choice(3, "intValue", Kind::Int64),
        choice(4, "doubleValue", DOUBLE),
        choice(5, "arrayValue", Kind::Message(&ARRAY)),
        choice(6, "kvlistValue", Kind::Message(&KEY_VALUES)),
        choice(7, "bytesValue", Kind::Bytes),
    ],
};
static ARRAY: Shape = Shape { fields: &[messages(1, "values", &ANY_VALUE)] };
static KEY_VALUES: Shape = Shape { fields: &[messages(1, "values", &KEY_VALUE)] };

static SPAN: Shape = Shape {
    fields: &[
        one(1, "traceId", Kind::Id),
        one(2, "spanId", Kind::Id),
        one(3, "traceState", TEXT),
        one(4, "parentSpanId", Kind::Id),
        one(16, "flags", Kind::Fixed32),
        one(5, "name", TEXT),
        one(6, "kind", Kind::Enum(SPAN_KINDS)),
        one(7, "startTimeUnixNano", TIME),
        one(8, "endTimeUnixNano", TIME),
        attributes(9),
        one(10, "droppedAttributesCount", Kind::Uint32),
        messages(11, "events", &EVENT),
        one(12, "droppedEventsCount", Kind::Uint32),
        messages(13, "links", &LINK),
        one(14, "droppedLinksCount", Kind::Uint32),
        message(15, "status", &STATUS),
    ],
};
static EVENT: Shape = Shape {
    fields: &[
        one(1, "timeUnixNano", TIME),
        one(2, "name", TEXT),
        attributes(3),
        one(4, "droppedAttributesCount", Kind::Uint32),
    ],
};
static LINK: Shape = Shape {
    fields: &[
        one(1, "traceId", Kind::Id),
        one(2, "spanId", Kind::Id),
        one(3, "traceState", TEXT),
        attributes(4),
        one(5, "droppedAttributesCount", Kind::Uint32),
        one(6, "flags", Kind::Fixed32),
    ],
};
static STATUS: Shape = Shape { fields: &[one(2, "message", TEXT), one(3, "code", Kind::Enum(STATUS_CODES))] };

static LOG_RECORD: Shape = Shape {
    fields: &[
        one(1, "timeUnixNano", TIME),
        one(11, "observedTimeUnixNano", TIME),
        one(2, "severityNumber", Kind::Enum(SEVERITIES)),
        one(3, "severityText", TEXT),
        message(5, "body", &ANY_VALUE),
        attributes(6),
        one(7, "droppedAttributesCount", Kind::Uint32),
        one(8, "flags", Kind::Fixed32),
        one(9, "traceId", Kind::Id),
        one(10, "spanId", Kind::Id),
        one(12, "eventName", TEXT),
    ],
};

static METRIC: Shape = Shape {
    fields: &[
        one(1, "name", TEXT),
        one(2, "description", TEXT),
        one(3, "unit", TEXT),
        choice(5, "gauge", Kind::Message(&POINTS)),
        choice(7, "sum", Kind::Message(&SUM)),
        choice(9, "histogram", Kind::Message(&HISTOGRAM)),
        choice(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL)),
        choice(11, "summary", Kind::Message(&SUMMARY)),
        messages(12, "metadata", &KEY_VALUE),
    ],
};
static POINTS: Shape = Shape { fields: &[messages(1, "dataPoints", &NUMBER_POINT)] };
static SUM: Shape = Shape {
    fields: &[
        messages(1, "dataPoints", &NUMBER_POINT),
        one(2, "aggregationTemporality", Kind::Enum(TEMPORALITIES)),
        one(3, "isMonotonic", Kind::Bool),
    ],
};
static HISTOGRAM: Shape = Shape {
    fields: &[
        messages(1, "dataPoints", &HISTOGRAM_POINT),
        one(2, "aggregationTemporality", Kind::Enum(TEMPORALITIES)),
    ],
};
static EXPONENTIAL: Shape = Shape {
    fields: &[
        messages(1, "dataPoints", &EXPONENTIAL_POINT),
        one(2, "aggregationTemporality", Kind::Enum(TEMPORALITIES)),
    ],
};
static SUMMARY: Shape = Shape { fields: &[messages(1, "dataPoints", &SUMMARY_POINT)] };

static NUMBER_POINT: Shape = Shape {
    fields: &[
        attributes(7),
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        choice(4, "asDouble", DOUBLE),
        choice(6, "asInt", Kind::Sfixed64),
        messages(5, "exemplars", &EXEMPLAR),
        one(8, "flags", Kind::Uint32),
    ],
};
static HISTOGRAM_POINT: Shape = Shape {
    fields: &[
        attributes(9),
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "count", Kind::Fixed64),
        optional(5, "sum", DOUBLE),
        list(6, "bucketCounts", Kind::Fixed64),
        list(7, "explicitBounds", DOUBLE),
        messages(8, "exemplars", &EXEMPLAR),
        one(10, "flags", Kind::Uint32),
        optional(11, "min", DOUBLE),
        optional(12, "max", DOUBLE),
    ],
};
static EXPONENTIAL_POINT: Shape = Shape {
    fields: &[
        attributes(1),
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "count", Kind::Fixed64),
        optional(5, "sum", DOUBLE),
        one(6, "scale", Kind::Sint32),
        one(7, "zeroCount", Kind::Fixed64),
        message(8, "positive", &BUCKETS),
        message(9, "negative", &BUCKETS),
        one(10, "flags", Kind::Uint32),
        messages(11, "exemplars", &EXEMPLAR),
        optional(12, "min", DOUBLE),
        optional(13, "max", DOUBLE),
        one(14, "zeroThreshold", DOUBLE),
    ],
};
static BUCKETS: Shape =
    Shape { fields: &[one(1, "offset", Kind::Sint32), list(2, "bucketCounts", Kind::Uint64)] };
static SUMMARY_POINT: Shape = Shape {
    fields: &[
        attributes(7),
        one(2, "startTimeUnixNano", TIME),
        one(3, "timeUnixNano", TIME),
        one(4, "count", Kind::Fixed64),
        one(5, "sum", DOUBLE),
        messages(6, "quantileValues", &QUANTILE),
        one(8, "flags", Kind::Uint32),
    ],
};
static QUANTILE: Shape = Shape { fields: &[one(1, "quantile", DOUBLE), one(2, "value", DOUBLE)] };
static EXEMPLAR: Shape = Shape {
    fields: &[
        messages(7, "filteredAttributes", &KEY_VALUE),
        one(2, "timeUnixNano", TIME),
        choice(3, "asDouble", DOUBLE),
        choice(6, "asInt", Kind::Sfixed64),
        one(4, "spanId", Kind::Id),
        one(5, "traceId", Kind::Id),
    ],
};

const SPAN_KINDS: &[(&str, i32)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];
const STATUS_CODES: &[(&str, i32)] =
    &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];
const TEMPORALITIES: &[(&str, i32)] = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];
const SEVERITIES: &[(&str, i32)] = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];
