//! The index of a file's traces leads to the rows that going through all of them finds, and no damage to it does harm.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::*;

type Place = (u64, u32);

/// Spans of two services by turns, each with a trace id that `id` gives its number, a microsecond apart.
fn spans(count: u32, id: impl Fn(u32) -> Vec<u8>) -> Vec<Arc<Chunk>> {
    let of = |service: u32| {
        let span = |number: u32| Span {
            trace_id: id(number),
            span_id: vec![9; 8],
            start_time_unix_nano: NOW + u64::from(number) * 1000,
            ..Span::default()
        };
        let spans = (0..count).filter(|number| number % 2 == service).map(span).collect();
        let name = Some(AnyValue { value: Some(Value::StringValue(format!("service {service}"))) });
        let service = KeyValue { key: "service.name".to_owned(), value: name, ..KeyValue::default() };
        ResourceSpans {
            resource: Some(Resource { attributes: vec![service], ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    };
    let request = ExportTraceServiceRequest { resource_spans: vec![of(0), of(1)] };
    vec![chunk(Signal::Traces, Layout::Otlp, 5, request.encode_to_vec())]
}

fn wide(high: u64, low: u64) -> Vec<u8> {
    [high.to_be_bytes(), low.to_be_bytes()].concat()
}

/// All rows by the low half of their trace id.
fn all(chunks: &[Arc<Chunk>]) -> BTreeMap<u64, BTreeSet<Place>> {
    let mut all: BTreeMap<u64, BTreeSet<Place>> = BTreeMap::new();
    for entry in chunks[0].entries() {
        let row = chunks[0].row(entry);
        if let Some(trace) = row.trace() {
            all.entry(low_half(&trace)).or_default().insert((row.offset, row.index));
        }
    }
    all
}

fn by_index(bytes: &Bytes, index: &Traces, low: u64) -> Result<BTreeSet<Place>, FileError> {
    let mut found = BTreeSet::new();
    let rows = index.rows(bytes, low)?;
    open(bytes).numbered(&rows, &mut |row| {
        assert!(found.insert((row.offset, row.index)), "a row is given twice");
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn index(bytes: &Bytes) -> Option<Traces> {
    Traces::read(bytes, &Footer::read(bytes).unwrap()).unwrap()
}

#[test]
fn the_index_leads_to_every_row_of_a_trace_and_to_no_other() {
    // Some have no id, some share a low half, one is large, and ids count up.
    let chunks = spans(6_000, |number| match number % 10 {
        0 => Vec::new(),
        1 => wide(u64::from(number), 1 << 40),
        2 => wide(0, 1 << 41),
        _ => wide(1, u64::from(number / 7)),
    });
    let (bytes, all) = (file(Signal::Traces, &chunks), all(&chunks));
    let index = index(&bytes).unwrap();
    assert!(all.len() > 700 && all[&(1 << 40)].len() == 600, "{}", all.len());
    for (low, places) in &all {
        assert_eq!(by_index(&bytes, &index, *low).unwrap(), *places, "{low}");
        let mut found = BTreeSet::new();
        let mut each = |row: &Row<'_>| {
            found.insert((row.offset, row.index));
            ControlFlow::Continue(())
        };
        open(&bytes).trace(*low, &mut each).unwrap();
        assert_eq!(found, *places, "{low} by bloom filter");
    }
    let absent = (0..20_000).map(|number| 1_000_000 + number);
    let taken: Vec<u64> = absent.filter(|low| index.may_hold(*low)).collect();
    assert!(taken.len() < 200, "the filter lets {} of 20,000 through", taken.len());
    for low in taken {
        assert_eq!(index.rows(&bytes, low).unwrap(), Vec::<u32>::new());
    }
    assert!(index.memory() < 4 * all.len() + 200, "{}", index.memory());
}

#[test]
fn rows_are_found_in_every_row_group_by_trace_and_by_place() {
    let chunks = spans(140_000, |number| wide(1, u64::from(number % 35_000)));
    let (bytes, all) = (file(Signal::Traces, &chunks), all(&chunks));
    let file = open(&bytes);
    assert_eq!(file.metadata().num_row_groups(), 2);
    let index = index(&bytes).unwrap();
    for low in [0, 1, 17_003, 34_999] {
        assert_eq!(by_index(&bytes, &index, low).unwrap(), all[&low], "{low}");
        let ids = file.trace_ids(&index.rows(&bytes, low).unwrap()).unwrap();
        assert_eq!(ids, vec![u128::from_be_bytes(wide(1, low).try_into().unwrap()).to_be_bytes(); 4]);
    }
    let row = |number: usize| {
        let row = chunks[0].row(&chunks[0].entries()[number]);
        (row.time, row.offset, row.index)
    };
    let wanted: Vec<_> = [0, 1, 69_999, 70_000, 139_999].map(row).into();
    let mut elsewhere = row(5);
    elsewhere.0 += 1;
    let places = [&wanted[..], &[elsewhere, (0, 5, 6), (i64::MAX, 5, 7)]].concat();
    let numbers = file.places(&places).unwrap();
    let mut found = Vec::new();
    file.numbered(&numbers, &mut |row| {
        found.push((row.time, row.offset, row.index));
        ControlFlow::Continue(())
    })
    .unwrap();
    found.sort_unstable();
    let mut wanted = wanted;
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn a_file_without_traces_has_no_index() {
    let chunks = spans(10, |_| Vec::new());
    assert!(index(&file(Signal::Traces, &chunks)).is_none());
}

#[test]
fn a_damaged_index_does_no_harm() {
    let chunks = spans(60, |number| wide(1, u64::from(number / 3)));
    let bytes = file(Signal::Traces, &chunks);
    let all = all(&chunks);
    let place = Footer::read(&bytes).unwrap().value(crate::traces::KEY).unwrap().to_owned();
    let numbers: Vec<usize> = place.split(' ').map(|number| number.parse().unwrap()).collect();
    let [_, begin, blocks, directory, filter] = numbers[..] else { panic!("{place}") };
    let look = |bytes: Vec<u8>| {
        let bytes = Bytes::from(bytes);
        let Ok(footer) = Footer::read(&bytes) else { return };
        let Ok(Some(index)) = Traces::read(&bytes, &footer) else { return };
        for low in all.keys() {
            // An error, or rows that are in the file: which ones, whoever looks has to see.
            let _ = by_index(&bytes, &index, *low);
        }
    };
    for at in begin..begin + blocks + directory + filter {
        for change in [0xff, 0x80, 0x01] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= change;
            look(damaged);
        }
    }
    // The place itself, in as many digits.
    let at = bytes.windows(place.len()).rposition(|text| text == place.as_bytes()).unwrap();
    for digit in (2..place.len()).filter(|digit| place.as_bytes()[*digit] != b' ') {
        for other in *b"0189-" {
            let mut damaged = bytes.to_vec();
            damaged[at + digit] = other;
            look(damaged);
        }
    }
}
