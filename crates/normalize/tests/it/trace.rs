use super::*;

const T: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const S: &str = "00f067aa0ba902b7";

/// The record of a visitor's request with these headers, as JSON.
fn with(headers: &str) -> Row {
    let line = format!(
        r#"{{"RayID":"6a63ddb61ec24c64","EdgeStartTimestamp":1772438400123000200,"EdgeResponseStatus":200,"RequestHeaders":{headers}}}"#
    );
    rows(&logpush(line)).remove(0)
}

#[test]
fn a_context_is_read_in_any_notation() {
    let low = format!("0000000000000000{}", &T[16..]);
    for (headers, trace, parent, format) in [
        (format!(r#"{{"traceparent":"00-{T}-{S}-01"}}"#), T, S, "w3c"),
        (format!(r#"{{"b3":"{T}-{S}-1"}}"#), T, S, "b3"),
        (format!(r#"{{"x-b3-traceid":"{T}","x-b3-spanid":"{S}","x-b3-sampled":"1"}}"#), T, S, "b3"),
        (format!(r#"{{"X-B3-TraceId":"{T}","X-B3-SpanId":"{S}","X-B3-Flags":"1"}}"#), T, S, "b3"),
        (format!(r#"{{"uber-trace-id":"{T}:f067aa0ba902b7:0:1"}}"#), T, S, "jaeger"),
        (format!(r#"{{"x-cloud-trace-context":"{T}/67667974448284343;o=1"}}"#), T, S, "gcp"),
        (format!(r#"{{"x-amzn-trace-id":"Root=1-{}-{};Parent={S};Sampled=1"}}"#, &T[..8], &T[8..]), T, S, "aws"),
        (r#"{"x-datadog-trace-id":"11803532876627986230","x-datadog-parent-id":"67667974448284343","x-datadog-sampling-priority":"1"}"#.into(), &low, S, "datadog"),
        (r#"{"x-datadog-trace-id":"11803532876627986230","x-datadog-parent-id":"67667974448284343","x-datadog-sampling-priority":"2","x-datadog-tags":"_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6"}"#.into(), T, S, "datadog"),
        (format!(r#"{{"ot-tracer-traceid":"{}","ot-tracer-spanid":"{S}","ot-tracer-sampled":"true"}}"#, &T[16..]), &low, S, "ot"),
        (format!(r#"{{"x-instana-t":"{T}","x-instana-s":"{S}","x-instana-l":"1,correlationType=web;correlationId=x"}}"#), T, S, "instana"),
        (format!(r#"{{"elastic-apm-traceparent":"00-{T}-{S}-01"}}"#), T, S, "elastic"),
        (format!(r#"{{"traceparent":["00-{T}-{S}-01"]}}"#), T, S, "w3c"),
    ] {
        let row = with(&headers);
        assert_eq!(row.trace, trace, "{headers}");
        assert_eq!(row.str("tidegate.parent_span_id"), parent, "{headers}");
        assert_eq!(row.str("tidegate.trace_id.format"), format, "{headers}");
        assert_eq!(row.int("tidegate.trace_id.bits"), if trace == low { 64 } else { 128 }, "{headers}");
        assert_eq!(row.flags & 1, 1, "{headers}");
        assert_eq!(row.span, "fb394f5af132b4b2", "the record's own span does not depend on the notation");
    }
}

#[test]
fn the_original_text_is_kept_where_it_differs() {
    let original = |headers: &str| with(headers).attributes.get("tidegate.trace_id.original").cloned();
    let text = |text: &str| Some(Value::StringValue(text.into()));
    assert_eq!(original(&format!(r#"{{"traceparent":"00-{T}-{S}-01"}}"#)), None);
    let upper = T.to_uppercase();
    assert_eq!(original(&format!(r#"{{"traceparent":"00-{upper}-{S}-01"}}"#)), text(&upper));
    assert_eq!(original(r#"{"uber-trace-id":"f7183fb1d4cf5f:b221d5bc9e6496c:0:3"}"#), text("f7183fb1d4cf5f"));
    let uuid = "0AF76519-16CD-43DD-8448-EB211C80319C";
    assert_eq!(original(&format!(r#"{{"x-trace-id":"{uuid}"}}"#)), text(uuid));
}

#[test]
fn the_first_valid_notation_wins_and_the_others_are_aliases() {
    let other = "80f198ee56343ba864fe8b2a57d3eff7";
    let third = "105445aa7843bc8bf206b12000100000";
    let row = with(&format!(
        r#"{{"x-cloud-trace-context":"{third}","b3":"{other}-{S}-1","traceparent":"00-{T}-{S}-01","x-trace-id":"{other}"}}"#
    ));
    assert_eq!(row.trace, T);
    assert_eq!(row.list("tidegate.trace_alias"), [other, third]);
    let row = with(&format!(r#"{{"traceparent":"00-{T}-0000000000000000-01","b3":"{other}-{S}-1"}}"#));
    assert_eq!((row.trace.as_str(), row.has("tidegate.trace_alias")), (other, false));
    let row =
        with(&format!(r#"{{"traceparent":"00-{T}-{S}-01","x-datadog-trace-id":"11803532876627986230"}}"#));
    assert!(!row.has("tidegate.trace_alias"), "the same id, cut to its low half");
}

#[test]
fn each_line_of_bad_traceparents_is_taken_or_ignored_whole() {
    let text = String::from_utf8(testkit::sample("hostile/traceparents.txt")).unwrap();
    let taken: Vec<_> =
        text.lines().map(|line| !with(&format!(r#"{{"traceparent":"{line}"}}"#)).trace.is_empty()).collect();
    // good; zero trace; zero parent; version ff; a later version with a tail; version 00 with one; short flags;
    // upper case; blanks around; two values joined; none.
    assert_eq!(taken, [true, false, false, false, true, false, false, true, true, false, false]);
    let two = format!(r#"{{"traceparent":["00-{T}-{S}-01","00-{T}-{S}-01"]}}"#);
    assert_eq!(with(&two).trace, "");
}

#[test]
fn a_decision_not_to_sample_is_told_from_no_decision() {
    let no = with(&format!(r#"{{"traceparent":"00-{T}-{S}-00"}}"#));
    assert_eq!((no.flags, no.attributes.get("tidegate.sampled")), (0, Some(&Value::BoolValue(false))));
    let deferred = with(&format!(r#"{{"b3":"{T}-{S}"}}"#));
    assert_eq!((deferred.flags, deferred.has("tidegate.sampled")), (0, false));
    let random = with(&format!(r#"{{"traceparent":"00-{T}-{S}-03"}}"#));
    assert_eq!(random.flags, 3);
}

#[test]
fn request_ids_and_rays_are_no_trace_ids() {
    let row = with(
        r#"{"x-kong-request-id":"b7e24850823040e1c9a22f46ceba7f69","cf-ray":"6a63ddb61ec24c64-HAN","x-request-id":"0af76519-16cd-43dd-8448-eb211c80319c"}"#,
    );
    assert_eq!((row.trace.as_str(), row.span.as_str()), ("", ""));
    assert_eq!(row.str("kong.request.id"), "b7e24850823040e1c9a22f46ceba7f69");
    assert_eq!(row.str("http.request.id"), "0af76519-16cd-43dd-8448-eb211c80319c");
}
