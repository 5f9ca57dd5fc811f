//! A search sees the same span in memory and in a file, and spans become the request again that they came in.

use std::collections::BTreeMap;

use regex::Regex;

use super::*;

const TEXTS: [&str; 8] = ["", "a", "GET /x", "größe ✓ 漢字", "5", "true", "server", "error"];

fn subjects() -> Vec<Subject> {
    let mut subjects = vec![
        Subject::Service,
        Subject::Name,
        Subject::Kind,
        Subject::Status,
        Subject::StatusMessage,
        Subject::Duration,
        Subject::ScopeName,
        Subject::ScopeVersion,
    ];
    for key in ["service.name", "a", "x.y.z", "5", "", "not there"] {
        subjects.extend([Subject::Attribute(key.to_owned()), Subject::Resource(key.to_owned())]);
    }
    subjects
}

fn filter(dice: &mut Dice, depth: usize) -> Filter {
    let many = |dice: &mut Dice| (0..dice.below(4)).map(|_| filter(dice, depth + 1)).collect();
    match dice.below(if depth < 3 { 4 } else { 2 }) {
        2 => return Filter::All(many(dice)),
        3 => return Filter::Any(many(dice)),
        _ => {}
    }
    let subjects = subjects();
    let subject = subjects[dice.below(subjects.len())].clone();
    let orders = [
        Order::Equal,
        Order::Unequal,
        Order::Less,
        Order::LessOrEqual,
        Order::Greater,
        Order::GreaterOrEqual,
    ];
    let order = orders[dice.below(orders.len())];
    let text = TEXTS[dice.below(TEXTS.len())];
    let test = match dice.below(6) {
        0 => Test::Number(order, dice.below(10) as f64),
        1 => Test::Matches(Regex::new("^(a|5|.*e.*)$").unwrap()),
        2 => Test::Differs(Regex::new("[a-z]").unwrap()),
        3 => Test::Present,
        4 => Test::Missing,
        _ => Test::Text(order, text.to_owned()),
    };
    Filter::Is(subject, test)
}

/// All that a search can see of a span.
fn seen(seen: &dyn Seen) -> String {
    let texts: Vec<_> = subjects().iter().map(|subject| seen.text(subject).map(String::from)).collect();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for of in [Keys::Span, Keys::Resource] {
        seen.keys(of, &mut |key| keys.entry(format!("{of:?}")).or_default().push(key.to_owned()));
    }
    // A key that comes twice is in the columns once.
    keys.values_mut().for_each(|keys| {
        keys.sort();
        keys.dedup();
    });
    let ids = (seen.trace(), seen.id(), seen.parent());
    format!("{} {} {ids:?} {texts:?} {keys:?}", seen.time(), seen.duration())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_filter_passes_the_same_spans_in_memory_and_in_a_file(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let chunks: Vec<_> = (1..=3u64)
            .map(|offset| chunk(Signal::Traces, Layout::Otlp, offset, dice.traces().encode_to_vec()))
            .collect();
        let file = open(&file(Signal::Traces, &chunks));
        let columns: Vec<&str> = subjects().iter().map(Subject::column).chain([TRACE, SPAN, PARENT]).collect();
        for _ in 0..8 {
            let filter = filter(&mut dice, 0);
            let middle = i64::try_from(NOW).unwrap();
            let times = [i64::MIN..=i64::MAX, i64::MIN..=middle, middle..=i64::MAX][dice.below(3)].clone();
            let (mut in_memory, mut in_file) = (Vec::new(), Vec::new());
            for chunk in &chunks {
                for entry in chunk.entries() {
                    let _ = look(&chunk.row(entry), &times, &filter, &mut |span| {
                        in_memory.push(seen(span));
                        ControlFlow::Continue(())
                    });
                }
            }
            let plan = file.plan(&times, &filter);
            file.walk(&plan, &times, &filter, &columns, &mut |span| {
                in_file.push(seen(span));
                ControlFlow::Continue(())
            })
            .unwrap();
            in_memory.sort();
            in_file.sort();
            prop_assert_eq!(in_memory, in_file, "{:?}", filter);
        }
    }

    #[test]
    fn decoded_spans_become_the_request_that_they_came_in(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let sent = dice.traces();
        let chunk = chunk(Signal::Traces, Layout::Otlp, 1, sent.encode_to_vec());
        let spans: Vec<Span> =
            chunk.entries().iter().map(|entry| Span::read(&chunk.row(entry)).unwrap()).collect();
        let back = ExportTraceServiceRequest::decode(&*request(&spans)).unwrap();
        let each = |request: &ExportTraceServiceRequest| {
            let mut items: Vec<_> = span_items(request).into_iter().map(known).collect();
            items.sort();
            items
        };
        prop_assert_eq!(each(&back), each(&sent));
        let json = request_json(&spans).unwrap();
        prop_assert!(wire::json::to_proto(Signal::Traces, &json).is_ok());
    }
}

/// One span's request, without the ids that are none: they are not kept.
fn known(mut request: ExportTraceServiceRequest) -> Vec<u8> {
    for span in request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans)
    {
        for (id, length) in [(&mut span.trace_id, 16), (&mut span.parent_span_id, 8)] {
            if id.len() != length || id.iter().all(|byte| *byte == 0) {
                id.clear();
            }
        }
    }
    request.encode_to_vec()
}

#[test]
fn a_changed_trace_and_parent_are_in_the_request() {
    let sent = ExportTraceServiceRequest {
        resource_spans: vec![opentelemetry_proto::tonic::trace::v1::ResourceSpans {
            scope_spans: vec![opentelemetry_proto::tonic::trace::v1::ScopeSpans {
                spans: vec![opentelemetry_proto::tonic::trace::v1::Span {
                    trace_id: vec![1; 16],
                    span_id: vec![2; 8],
                    name: "one".to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let chunk = chunk(Signal::Traces, Layout::Otlp, 1, sent.encode_to_vec());
    let mut span = Span::read(&chunk.row(&chunk.entries()[0])).unwrap();
    span.trace_id = "03".repeat(16);
    span.parent_span_id = "04".repeat(8);
    let back = ExportTraceServiceRequest::decode(&*request(&[span])).unwrap();
    let mut expected = sent;
    let changed = &mut expected.resource_spans[0].scope_spans[0].spans[0];
    (changed.trace_id, changed.parent_span_id) = (vec![3; 16], vec![4; 8]);
    assert_eq!(back, expected);
}
