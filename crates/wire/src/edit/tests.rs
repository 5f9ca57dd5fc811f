use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::{batch, put};

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.roll(most + 1)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 6] = ["", "x", "a longer text with an x in it", "ü", "7777 and more", "plain"];
        let long = self.roll(9) == 0;
        WORDS[self.roll(6) as usize].repeat(if long { 40 } else { 1 })
    }

    fn attribute(&mut self, depth: u32) -> KeyValue {
        const KEYS: [&str; 6] = ["removed", "sealed", "searched", "left", "removed.too", "search.me"];
        let value = (self.roll(8) > 0).then(|| self.value(depth));
        KeyValue { key: KEYS[self.roll(6) as usize].into(), value, ..KeyValue::default() }
    }

    fn value(&mut self, depth: u32) -> AnyValue {
        let value = match self.roll(if depth > 2 { 6 } else { 8 }) {
            0 => Value::BoolValue(self.roll(2) == 0),
            1 => Value::IntValue([3, -5, 777_777_777_777, 123_456_789_012][self.roll(4) as usize]),
            2 => Value::DoubleValue(1.5),
            3 => Value::BytesValue(if self.roll(2) == 0 { vec![0xff, b'x'] } else { vec![0xff, 0] }),
            4 | 5 => Value::StringValue(self.text()),
            6 => Value::ArrayValue(ArrayValue { values: self.some(3, |d| d.value(depth + 1)) }),
            _ => Value::KvlistValue(KeyValueList { values: self.some(3, |d| d.attribute(depth + 1)) }),
        };
        AnyValue { value: Some(value) }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.some(4, |d| d.attribute(0))
    }

    fn resource(&mut self) -> Option<Resource> {
        (self.roll(5) > 0).then(|| Resource { attributes: self.attributes(), ..Resource::default() })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        let scope = |d: &mut Self| InstrumentationScope {
            name: d.text(),
            attributes: d.attributes(),
            ..Default::default()
        };
        (self.roll(5) > 0).then(|| scope(self))
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: vec![self.roll(256) as u8; 16],
            name: self.text(),
            attributes: self.attributes(),
            events: self.some(2, |d| Event {
                name: d.text(),
                attributes: d.attributes(),
                ..Event::default()
            }),
            links: self.some(2, |d| Link { attributes: d.attributes(), ..Link::default() }),
            status: (self.roll(3) == 0).then(|| Status { message: self.text(), code: 2 }),
            ..Span::default()
        }
    }

    fn traces(&mut self) -> ExportTraceServiceRequest {
        let scope = |d: &mut Self| ScopeSpans {
            scope: d.scope(),
            spans: d.some(4, Self::span),
            schema_url: d.text(),
        };
        let resource = |d: &mut Self| ResourceSpans {
            resource: d.resource(),
            scope_spans: d.some(3, scope),
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: self.some(3, resource) }
    }

    fn logs(&mut self) -> ExportLogsServiceRequest {
        let record = |d: &mut Self| LogRecord {
            severity_number: d.roll(25) as i32,
            body: (d.roll(4) > 0).then(|| d.value(0)),
            attributes: d.attributes(),
            ..LogRecord::default()
        };
        let scope = |d: &mut Self| ScopeLogs {
            scope: d.scope(),
            log_records: d.some(4, record),
            ..ScopeLogs::default()
        };
        let resource = |d: &mut Self| ResourceLogs {
            resource: d.resource(),
            scope_logs: d.some(3, scope),
            ..ResourceLogs::default()
        };
        ExportLogsServiceRequest { resource_logs: self.some(3, resource) }
    }

    fn exemplars(&mut self) -> Vec<Exemplar> {
        self.some(2, |d| Exemplar { filtered_attributes: d.attributes(), ..Exemplar::default() })
    }

    fn number(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            time_unix_nano: self.roll(1000),
            attributes: self.attributes(),
            exemplars: self.exemplars(),
            ..NumberDataPoint::default()
        }
    }

    fn metric(&mut self) -> Metric {
        let data = match self.roll(6) {
            0 => Data::Gauge(Gauge { data_points: self.some(3, Self::number) }),
            1 => Data::Sum(Sum {
                data_points: self.some(3, Self::number),
                aggregation_temporality: 2,
                is_monotonic: true,
            }),
            2 => Data::Histogram(Histogram {
                data_points: self.some(3, |d| HistogramDataPoint {
                    count: d.roll(1000),
                    attributes: d.attributes(),
                    exemplars: d.exemplars(),
                    ..HistogramDataPoint::default()
                }),
                aggregation_temporality: 1,
            }),
            3 => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.some(3, |d| ExponentialHistogramDataPoint {
                    count: d.roll(1000),
                    attributes: d.attributes(),
                    exemplars: d.exemplars(),
                    ..ExponentialHistogramDataPoint::default()
                }),
                aggregation_temporality: 1,
            }),
            4 => Data::Summary(Summary {
                data_points: self.some(3, |d| SummaryDataPoint {
                    count: d.roll(1000),
                    attributes: d.attributes(),
                    ..SummaryDataPoint::default()
                }),
            }),
            _ => return Metric { name: self.text(), ..Metric::default() },
        };
        Metric { name: self.text(), data: Some(data), metadata: self.attributes(), ..Metric::default() }
    }

    fn metrics(&mut self) -> ExportMetricsServiceRequest {
        let scope = |d: &mut Self| ScopeMetrics {
            scope: d.scope(),
            metrics: d.some(3, Self::metric),
            ..ScopeMetrics::default()
        };
        let resource = |d: &mut Self| ResourceMetrics {
            resource: d.resource(),
            scope_metrics: d.some(3, scope),
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: self.some(3, resource) }
    }
}

/// Decides by what everybody can compute again: an item's bytes, an attribute's first letters.
struct Rule {
    wants: Wants,
    /// Of eight items so many go.
    gone: u32,
    judged: u32,
}

impl Rule {
    fn fate(&self, raw: &[u8]) -> Fate {
        if !self.wants.items {
            return Fate::Keep;
        }
        let sum = raw.iter().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        match sum % 3 {
            _ if (sum >> 3) % 8 >= self.gone => Fate::Keep,
            0 => Fate::Filter,
            1 => Fate::Sample,
            _ => Fate::Other,
        }
    }

    fn treat(key: &str) -> Treatment {
        match &key[..4] {
            "remo" => Treatment::Remove,
            "seal" => Treatment::Ask(How::Seal(3)),
            "sear" => Treatment::Ask(How::Search),
            _ => Treatment::Leave,
        }
    }

    fn change(how: How, text: &str) -> Option<String> {
        match how {
            How::Seal(rule) => Some(format!("{rule}#{}", text.len())),
            How::Search if text.contains('x') => Some(text.replace('x', "yy")),
            How::Search => text.contains("7777").then(|| text.replace("7777", "")),
        }
    }
}

impl Editor for Rule {
    fn wants(&self) -> Wants {
        self.wants
    }

    fn judge(&mut self, item: &Item<'_>) -> Result<Fate, WireError> {
        self.judged += 1;
        Ok(self.fate(item.raw))
    }

    fn attribute(&mut self, _: Place, key: &str) -> Treatment {
        Self::treat(key)
    }

    fn text(&mut self, how: How, text: &str) -> Option<String> {
        Self::change(how, text)
    }
}

/// The same with structs.
impl Rule {
    fn string(text: &mut String, how: How) {
        if let Some(new) = Self::change(how, text) {
            *text = new;
        }
    }

    fn free(&self, text: &mut String) {
        if self.wants.texts {
            Self::string(text, How::Search);
        }
    }

    fn value(value: &mut AnyValue, how: How) {
        let sealed = how != How::Search;
        let Some(inner) = &mut value.value else { return };
        let text = match inner {
            Value::StringValue(text) => return Self::string(text, how),
            Value::ArrayValue(array) => {
                return array.values.iter_mut().for_each(|value| Self::value(value, how));
            }
            Value::KvlistValue(map) => {
                for pair in &mut map.values {
                    let inside = match Self::treat(&pair.key) {
                        Treatment::Ask(inside) if !sealed => inside,
                        _ => how,
                    };
                    pair.value.iter_mut().for_each(|value| Self::value(value, inside));
                }
                return;
            }
            Value::BoolValue(bool) if sealed => bool.to_string(),
            Value::DoubleValue(double) if sealed => double.to_string(),
            Value::IntValue(int) if sealed || int.unsigned_abs() > 99_999_999_999 => int.to_string(),
            Value::BytesValue(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => return,
        };
        if let Some(new) = Self::change(how, &text) {
            *inner = Value::StringValue(new);
        }
    }

    fn attributes(&self, attributes: &mut Vec<KeyValue>, removable: bool) {
        if !self.wants.attributes {
            return;
        }
        attributes.retain(|pair| !removable || Self::treat(&pair.key) != Treatment::Remove);
        for pair in attributes {
            if let Treatment::Ask(how) = Self::treat(&pair.key) {
                pair.value.iter_mut().for_each(|value| Self::value(value, how));
            }
        }
    }

    fn above(&self, resource: &mut Option<Resource>, scope: Option<&mut Option<InstrumentationScope>>) {
        resource.iter_mut().for_each(|resource| self.attributes(&mut resource.attributes, true));
        for scope in scope.into_iter().flatten() {
            self.attributes(&mut scope.attributes, true);
        }
    }

    /// Leaves out what goes; says whether the list became empty by that.
    fn leave<T>(list: &mut Vec<T>, mut stays: impl FnMut(&mut T) -> bool) -> bool {
        let before = list.len();
        list.retain_mut(|item| stays(item));
        list.is_empty() && before > 0
    }

    fn stays(&self, fates: &mut Vec<Fate>, raw: &[u8]) -> bool {
        fates.push(self.fate(raw));
        fates.last() == Some(&Fate::Keep)
    }

    fn traces(&self, request: &mut ExportTraceServiceRequest, fates: &mut Vec<Fate>) {
        request.resource_spans.retain_mut(|resource| {
            let mut items = 0;
            let mut left = 0;
            self.above(&mut resource.resource, None);
            resource.scope_spans.retain_mut(|scope| {
                self.above(&mut None, Some(&mut scope.scope));
                items += scope.spans.len();
                let emptied = Self::leave(&mut scope.spans, |span| self.stays(fates, &span.encode_to_vec()));
                left += scope.spans.len();
                for span in &mut scope.spans {
                    self.free(&mut span.name);
                    self.attributes(&mut span.attributes, true);
                    for event in &mut span.events {
                        self.free(&mut event.name);
                        self.attributes(&mut event.attributes, true);
                    }
                    span.links.iter_mut().for_each(|link| self.attributes(&mut link.attributes, true));
                    span.status.iter_mut().for_each(|status| self.free(&mut status.message));
                }
                !emptied
            });
            left > 0 || items == 0
        });
    }

    fn logs(&self, request: &mut ExportLogsServiceRequest, fates: &mut Vec<Fate>) {
        request.resource_logs.retain_mut(|resource| {
            let mut items = 0;
            let mut left = 0;
            self.above(&mut resource.resource, None);
            resource.scope_logs.retain_mut(|scope| {
                self.above(&mut None, Some(&mut scope.scope));
                items += scope.log_records.len();
                let emptied =
                    Self::leave(&mut scope.log_records, |log| self.stays(fates, &log.encode_to_vec()));
                left += scope.log_records.len();
                for log in &mut scope.log_records {
                    self.attributes(&mut log.attributes, true);
                    if self.wants.texts {
                        log.body.iter_mut().for_each(|body| Self::value(body, How::Search));
                    }
                }
                !emptied
            });
            left > 0 || items == 0
        });
    }

    fn exemplars(&self, exemplars: &mut [Exemplar]) {
        exemplars.iter_mut().for_each(|exemplar| self.attributes(&mut exemplar.filtered_attributes, true));
    }

    fn metric(&self, metric: &mut Metric, fates: &mut Vec<Fate>) -> (usize, usize) {
        self.attributes(&mut metric.metadata, false);
        macro_rules! points {
            ($points:expr, $($exemplars:ident)?) => {{
                let before = $points.len();
                Self::leave($points, |point| self.stays(fates, &point.encode_to_vec()));
                for point in $points.iter_mut() {
                    self.attributes(&mut point.attributes, false);
                    $(self.exemplars(&mut point.$exemplars);)?
                }
                (before, $points.len())
            }};
        }
        match &mut metric.data {
            Some(Data::Gauge(data)) => points!(&mut data.data_points, exemplars),
            Some(Data::Sum(data)) => points!(&mut data.data_points, exemplars),
            Some(Data::Histogram(data)) => points!(&mut data.data_points, exemplars),
            Some(Data::ExponentialHistogram(data)) => points!(&mut data.data_points, exemplars),
            Some(Data::Summary(data)) => points!(&mut data.data_points,),
            None => (0, 0),
        }
    }

    fn metrics(&self, request: &mut ExportMetricsServiceRequest, fates: &mut Vec<Fate>) {
        request.resource_metrics.retain_mut(|resource| {
            let (mut items, mut left) = (0, 0);
            self.above(&mut resource.resource, None);
            resource.scope_metrics.retain_mut(|scope| {
                let (mut in_scope, mut left_in_scope) = (0, 0);
                self.above(&mut None, Some(&mut scope.scope));
                scope.metrics.retain_mut(|metric| {
                    let (before, after) = self.metric(metric, fates);
                    in_scope += before;
                    left_in_scope += after;
                    after > 0 || before == 0
                });
                items += in_scope;
                left += left_in_scope;
                left_in_scope > 0 || in_scope == 0
            });
            left > 0 || items == 0
        });
    }
}

/// Edits `plain` and holds the result to what the same rule makes of the structs.
fn check<M: Message + Default + Clone + PartialEq>(
    signal: Signal,
    plain: &[u8],
    mut rule: Rule,
    naive: impl FnOnce(&Rule, &mut M, &mut Vec<Fate>),
) {
    let before = M::decode(plain).unwrap();
    let (mut expected, mut fates) = (before.clone(), Vec::new());
    naive(&rule, &mut expected, &mut fates);
    let edited = edit(signal, Layout::Otlp, plain, &mut rule).unwrap();
    assert_eq!(edited.items, batch::count(signal, Layout::Otlp, plain).unwrap().total());
    assert_eq!(edited.items as usize, fates.len());
    let numbered = || fates.iter().zip(0u32..);
    let of = |fate| numbered().filter(|(f, _)| **f == fate).count() as u32;
    let gone = [Fate::Filter, Fate::Sample, Fate::Other].map(of);
    assert_eq!([edited.filtered, edited.sampled, edited.other], gone);
    let stay: Vec<u32> = numbered().filter(|(f, _)| **f == Fate::Keep).map(|(_, n)| n).collect();
    assert_eq!(edited.kept, (stay.len() < fates.len()).then_some(stay.clone()));
    assert_eq!(edited.plain.is_none(), expected == before, "what is not changed is not made anew");
    let after = edited.plain.as_deref().unwrap_or(plain);
    assert_eq!(batch::count(signal, Layout::Otlp, after).unwrap().total() as usize, stay.len());
    assert!(M::decode(after).unwrap() == expected, "{edited:?}");
}

fn rule() -> impl Strategy<Value = (bool, bool, bool, u32)> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0u32..9)
}

fn of((items, attributes, texts, gone): (bool, bool, bool, u32)) -> Rule {
    Rule { wants: Wants { items, attributes, texts }, gone, judged: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn edited_traces_are_those_that_structs_give(seed: u64, wants in rule()) {
        let plain = Dice(seed).traces().encode_to_vec();
        check(Signal::Traces, &plain, of(wants), Rule::traces);
    }

    #[test]
    fn edited_logs_are_those_that_structs_give(seed: u64, wants in rule()) {
        let plain = Dice(seed).logs().encode_to_vec();
        check(Signal::Logs, &plain, of(wants), Rule::logs);
    }

    #[test]
    fn edited_metrics_are_those_that_structs_give(seed: u64, wants in rule()) {
        let plain = Dice(seed).metrics().encode_to_vec();
        check(Signal::Metrics, &plain, of(wants), Rule::metrics);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_an_edit_and_never_a_panic(seed: u64, at: prop::sample::Index, byte: u8, signal in 1u8..4) {
        let mut dice = Dice(seed);
        let signal = Signal::from_u8(signal).unwrap();
        let mut plain = match signal {
            Signal::Traces => dice.traces().encode_to_vec(),
            Signal::Logs => dice.logs().encode_to_vec(),
            Signal::Metrics => dice.metrics().encode_to_vec(),
        };
        if !plain.is_empty() {
            let at = at.index(plain.len());
            plain[at] = byte;
        }
        for layout in [Layout::Otlp, Layout::RemoteWrite] {
            let short = |key: &str| key.len() < 4;
            struct Wary<F>(F);
            impl<F: Fn(&str) -> bool> Editor for Wary<F> {
                fn wants(&self) -> Wants {
                    Wants { items: true, attributes: true, texts: true }
                }
                fn judge(&mut self, item: &Item<'_>) -> Result<Fate, WireError> {
                    Ok(if item.raw.len().is_multiple_of(3) { Fate::Filter } else { Fate::Keep })
                }
                fn attribute(&mut self, _: Place, key: &str) -> Treatment {
                    if (self.0)(key) { Treatment::Remove } else { Treatment::Ask(How::Seal(0)) }
                }
                fn text(&mut self, _: How, text: &str) -> Option<String> {
                    Some("*".repeat(text.len() % 300))
                }
            }
            // What cannot be counted is refused at intake, and nothing is edited of it; but nor does it do harm.
            let is_request = batch::count(signal, layout, &plain).is_ok();
            if let Some(edited) = edit(signal, layout, &plain, &mut Wary(short)).ok().filter(|_| is_request) {
                let after = edited.plain.as_deref().unwrap_or(&plain);
                let left = batch::count(signal, layout, after).unwrap().total();
                prop_assert_eq!(left, edited.items - edited.filtered);
            }
        }
    }
}

/// A series of `labels` with two samples, an exemplar and a histogram.
fn series(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    put::message(&mut out, 1, |out| {
        let pair = |out: &mut Vec<u8>, name: &str, value: &str| {
            put::message(out, 1, |out| {
                put::bytes(out, 1, name.as_bytes());
                put::bytes(out, 2, value.as_bytes());
            });
        };
        labels.iter().for_each(|(name, value)| pair(out, name, value));
        put::message(out, 2, |out| put::fixed64(out, 1, 5));
        put::message(out, 3, |out| {
            pair(out, "removed", "x");
            pair(out, "searched", "x");
            put::fixed64(out, 2, 5);
        });
        put::message(out, 4, |out| put::uint(out, 1, 5));
        put::message(out, 2, |out| put::fixed64(out, 1, 6));
    });
    out
}

#[test]
fn a_series_keeps_its_labels_and_changes_only_their_values() {
    let mut plain = series(&[("__name__", "x_total"), ("left", "x"), ("removed", "x"), ("sealed", "abc")]);
    put::message(&mut plain, 3, |out| put::bytes(out, 2, b"x_total"));
    let mut rule = Rule { wants: Wants { items: true, attributes: true, texts: true }, gone: 0, judged: 0 };
    let edited = edit(Signal::Metrics, Layout::RemoteWrite, &plain, &mut rule).unwrap();
    assert_eq!((edited.items, edited.kept.clone(), rule.judged), (5, None, 2));
    let after = edited.plain.unwrap();
    let series = crate::rw::v1::series(&after).next().unwrap().unwrap();
    let labels: Vec<_> = series.labels().map(Result::unwrap).collect();
    assert_eq!(labels, [("__name__", "x_total"), ("left", "x"), ("removed", "x"), ("sealed", "3#3")]);
    let exemplar = series.exemplars().next().unwrap().unwrap();
    assert_eq!(exemplar.labels().map(Result::unwrap).collect::<Vec<_>>(), [("searched", "yy")]);
    assert_eq!(exemplar.value_bits, 5);
}

#[test]
fn a_series_goes_with_all_its_items() {
    let parts = [series(&[("__name__", "a")]), series(&[("__name__", "b")]), series(&[("__name__", "c")])];
    struct Only;
    impl Editor for Only {
        fn wants(&self) -> Wants {
            Wants { items: true, ..Wants::default() }
        }
        fn judge(&mut self, item: &Item<'_>) -> Result<Fate, WireError> {
            assert_eq!(item.kind, Kind::Series);
            let view = crate::rw::v1::Series { raw: item.raw };
            let name = view.labels().next().unwrap()?.1;
            Ok(if name == "b" { Fate::Keep } else { Fate::Filter })
        }
        fn attribute(&mut self, _: Place, _: &str) -> Treatment {
            unreachable!("not wanted")
        }
        fn text(&mut self, _: How, _: &str) -> Option<String> {
            unreachable!("not wanted")
        }
    }
    let edited = edit(Signal::Metrics, Layout::RemoteWrite, &parts.concat(), &mut Only).unwrap();
    assert_eq!(edited.plain.as_deref(), Some(&parts[1][..]));
    assert_eq!((edited.kept, edited.filtered), (Some(vec![4, 5, 6, 7]), 8));
}

#[test]
fn data_that_other_data_overrides_goes() {
    let gauge = Metric {
        data: Some(Data::Gauge(Gauge { data_points: vec![Dice(1).number()] })),
        ..Metric::default()
    };
    let sum = Metric { data: Some(Data::Sum(Sum::default())), ..Metric::default() };
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |out| {
        put::message(out, 2, |out| {
            put::message(out, 2, |out| out.extend([gauge.encode_to_vec(), sum.encode_to_vec()].concat()));
        });
    });
    let mut rule = Rule { wants: Wants::default(), gone: 0, judged: 0 };
    let edited = edit(Signal::Metrics, Layout::Otlp, &plain, &mut rule).unwrap();
    let mut expected = Vec::new();
    put::message(&mut expected, 1, |out| {
        put::message(out, 2, |out| put::message(out, 2, |out| out.extend(sum.encode_to_vec())));
    });
    assert_eq!((edited.items, edited.plain), (0, Some(expected)));
}
