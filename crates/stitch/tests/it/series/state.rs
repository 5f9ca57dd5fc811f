//! Over restarts, over time, and at the bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use model::UnixNanos;
use normalize::Shape;
use pipeline::settings::{Period, Size};
use testkit::sample::sample;
use tidegate_stitch::series::options::Histograms;
use tidegate_stitch::series::{Loaded, Options, Series, StateError};

use super::feed::{Item, KONG, all, logs, records};
use super::graph::{CLIENT, span};
use super::points::Points;
use super::{options, told};
use crate::NOW;

/// A store, and the `Series` before it.
struct Kept {
    options: Options,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    series: Series,
}

impl Kept {
    fn new(options: Options) -> Self {
        Self { series: Series::new(options.clone(), "gateway-1"), store: BTreeMap::new(), options }
    }

    fn commit(&mut self) {
        for change in self.series.take() {
            match change.value {
                Some(value) => drop(self.store.insert(change.key, value)),
                None => drop(self.store.remove(&change.key)),
            }
        }
    }

    /// The process dies and comes back.
    fn restart(&mut self) {
        self.series = Series::new(self.options.clone(), "gateway-1");
        for (key, value) in &self.store {
            assert_eq!(self.series.load(key, value), Ok(Loaded::Kept));
        }
    }
}

fn seconds(seconds: u64) -> UnixNanos {
    UnixNanos(NOW.0 + seconds * 1_000_000_000)
}

fn full() -> Options {
    let mut options = options();
    options.histograms = Histograms::Both;
    options
}

#[test]
fn a_restart_between_any_two_items_changes_nothing() {
    let items = all();
    let mut never = Kept::new(full());
    let mut always = Kept::new(full());
    for (at, item) in items.iter().enumerate() {
        for kept in [&mut never, &mut always] {
            item.feed(&mut kept.series, seconds(at as u64));
            // Told of now and then, as it runs.
            let bodies = if at % 50 == 49 { kept.series.encode(seconds(at as u64)) } else { Vec::new() };
            kept.commit();
            drop(bodies);
        }
        always.restart();
        assert_eq!(never.store, always.store, "after item {at}");
    }
    let end = seconds(items.len() as u64 + 100);
    let (never, always) = (never.series.encode(end), always.series.encode(end));
    assert_eq!(Points::of(&always), Points::of(&never));
    assert_eq!(always, never);
}

#[test]
fn what_dies_before_its_transaction_is_counted_once_when_it_is_read_again() {
    let items = all();
    let mut random = fastrand::Rng::with_seed(5);
    let mut kept = Kept::new(full());
    let mut at = 0;
    while at < items.len() {
        let end = (at + random.usize(1..20)).min(items.len());
        for item in &items[at..end] {
            item.feed(&mut kept.series, NOW);
        }
        if random.bool() {
            kept.commit();
            at = end;
        } else {
            kept.restart();
        }
    }
    let mut whole = super::series(&full(), &items);
    assert_eq!(kept.series.encode(NOW), whole.encode(NOW));
}

#[test]
fn takes_give_what_changed_and_nothing_else() {
    let items = logs(&KONG, Shape::Kong);
    let mut series = Series::new(options(), "");
    for item in &items {
        item.feed(&mut series, NOW);
    }
    let all = series.take();
    assert!(all.len() > 20);
    assert_eq!(series.take(), []);
    items[0].feed(&mut series, NOW);
    let few = series.take();
    assert!(!few.is_empty() && few.len() < 8, "{}", few.len());
    assert!(few.iter().all(|change| change.value.is_some()));
}

#[test]
fn who_waited_does_not_stay_in_the_store() {
    let mut random = fastrand::Rng::with_seed(8);
    let (mut never, mut often) = (Kept::new(options()), Kept::new(options()));
    let meetings = |kept: &Kept| -> usize {
        kept.store.iter().filter(|(key, _)| key[0] == b'm').map(|(_, value)| value.len()).sum()
    };
    let mut most = 0;
    for second in 0..1_000 {
        let spans: Vec<Item> = (0..20).map(|_| span("a", CLIENT, random.u8(1..), 0, &[])).collect();
        for kept in [&mut never, &mut often] {
            spans.iter().for_each(|span| span.feed(&mut kept.series, seconds(second)));
            drop(kept.series.encode(seconds(second)));
            kept.commit();
        }
        most = most.max(meetings(&never));
        if random.u8(..10) == 0 {
            often.restart();
        }
        assert_eq!(never.store, often.store, "after second {second}");
    }
    // 255 of them wait at most, each in less than 100 bytes.
    assert!(most < 250_000, "{most} bytes");
    for second in 1_000..1_400 {
        drop(never.series.encode(seconds(second)));
        never.commit();
    }
    assert!(meetings(&never) < 100_000, "{} bytes", meetings(&never));
    never.restart();
    assert_eq!(never.series.counts().waiting, 0);
}

#[test]
fn bytes_that_are_no_state_are_an_error_and_never_a_panic() {
    let mut kept = Kept::new(full());
    all().iter().for_each(|item| item.feed(&mut kept.series, NOW));
    drop(kept.series.encode(NOW));
    kept.commit();
    let load = |key: &[u8], value: &[u8]| Series::new(full(), "").load(key, value);
    assert_eq!(load(b"", b"\x01"), Err(StateError::Key));
    assert_eq!(load(b"xyz", b"\x01"), Err(StateError::Key));
    assert_eq!(load(b"c", b""), Err(StateError::Damaged));
    assert_eq!(load(b"c", b"\x02\x00"), Err(StateError::Version(2)));
    assert_eq!(load(b"s" as &[u8], b"\x01"), Err(StateError::Key));
    assert_eq!(load(b"sno_such_metric\0", b"\x01"), Ok(Loaded::Retired));
    let mut random = fastrand::Rng::with_seed(3);
    for (key, value) in &kept.store {
        for len in 0..value.len() {
            assert!(load(key, &value[..len]).is_err(), "{len} of {value:?}");
        }
        assert_eq!(load(key, &[value.as_slice(), &[0]].concat()), Err(StateError::Damaged));
        for _ in 0..20 {
            let mut broken = value.clone();
            broken[random.usize(..value.len())] = random.u8(..);
            let mut wrong = key.clone();
            wrong[random.usize(..key.len())] = random.u8(..);
            // Whatever it comes to, what is loaded can be told of.
            let mut series = Series::new(full(), "");
            _ = series.load(key, &broken);
            _ = series.load(&wrong, value);
            drop(series.encode(seconds(1_000_000)));
        }
    }
}

#[test]
fn series_beyond_the_bound_are_counted_together() {
    let mut options = options();
    options.most_series = 3;
    let items = logs(&KONG, Shape::Kong);
    let all = told(&self::options(), &items);
    let few = told(&options, &items);
    let name = "kong_http_requests_total";
    assert!(all.by(name, &["route", "code", "consumer"]).len() > 4);
    let counts = few.counts(name, &["service", "route", "code", "source", "workspace", "consumer"]);
    assert_eq!(counts.len(), 4);
    let total = |points: &Points| points.counts(name, &[]).values().sum::<u64>();
    assert_eq!(total(&few), total(&all));
    let others = counts[&vec!["__other__".to_owned(); 6]];
    let mut series = super::series(&options, &items);
    let overflowed: BTreeMap<_, _> = series.counts().overflowed.into_iter().collect();
    assert_eq!(overflowed[name], others);
    // The sum of a histogram's overflow is kept too.
    let points = Points::of(&series.encode(NOW));
    let sum = |points: &Points| {
        points
            .by("kong_request_latency_ms", &["route", "workspace"])
            .values()
            .map(|last| last.sum)
            .sum::<f64>()
    };
    assert_eq!(sum(&points), sum(&all));
}

#[test]
fn long_values_are_cut_between_characters() {
    let options = Options { label_bytes: 10, ..Options::default() };
    let text = String::from_utf8(sample(KONG[0])).unwrap().replace("fn-checkout", "fn-ääääääää");
    let items: Vec<Item> =
        records(text.into_bytes(), Shape::Kong).into_iter().map(|(_, item)| item).collect();
    let routes = told(&options, &items).counts("kong_http_requests_total", &["route"]);
    assert_eq!(routes.into_keys().collect::<Vec<_>>(), [["fn-äää"]]);
}

#[test]
fn a_series_is_told_at_zero_first_then_when_it_changes_and_now_and_then() {
    let items = logs(&KONG[..1], Shape::Kong);
    let mut series = Series::new(Options { repeat: Period(Duration::from_secs(60)), ..options() }, "");
    items[0].feed(&mut series, NOW);
    let name = "kong_http_requests_total";
    let one = |bodies: &[_]| Points::of(bodies).by(name, &[]).into_values().next();
    let first = one(&series.encode(seconds(10))).unwrap();
    // At zero when it began, and as it is.
    assert_eq!((first.points, first.value, first.start, first.time), (2, 1, NOW.0, seconds(10).0));
    assert_eq!(one(&series.encode(seconds(20))), None);
    assert_eq!(one(&series.encode(seconds(69))), None);
    let again = one(&series.encode(seconds(70))).unwrap();
    assert_eq!((again.points, again.value, again.time), (1, 1, seconds(70).0));
    assert!(again.exemplars.is_empty());
    items[0].feed(&mut series, seconds(71));
    let more = one(&series.encode(seconds(72))).unwrap();
    assert_eq!((more.points, more.value, more.start), (1, 2, NOW.0));
}

#[test]
fn points_never_go_back_in_time_even_over_a_restart() {
    let items = logs(&KONG[..1], Shape::Kong);
    let mut kept = Kept::new(options());
    let time = |bodies: &[_]| Points::of(bodies).0.into_values().map(|last| last.time).max().unwrap();
    items[0].feed(&mut kept.series, NOW);
    let first = time(&kept.series.encode(seconds(100)));
    kept.commit();
    kept.restart();
    // The clock was set back.
    items[0].feed(&mut kept.series, seconds(50));
    let second = time(&kept.series.encode(seconds(50)));
    assert!(second > first, "{second} {first}");
}

#[test]
fn a_clock_that_was_years_ahead_for_a_moment_is_forgotten() {
    let options = Options { oldest: Period(Duration::MAX), ..options() };
    let items = logs(&KONG[..1], Shape::Kong);
    let mut kept = Kept::new(options.clone());
    let years = 10 * 365 * 86_400;
    items[0].feed(&mut kept.series, seconds(years));
    drop(kept.series.encode(seconds(years + 1)));
    kept.commit();
    kept.restart();
    let name = "kong_http_requests_total";
    for (at, count) in [(10, 2), (20, 3)] {
        items[0].feed(&mut kept.series, seconds(at - 1));
        let last = Points::of(&kept.series.encode(seconds(at))).by(name, &[]).into_values().next().unwrap();
        assert_eq!((last.time, last.value), (seconds(at).0, count));
    }
    // It is repeated and ends like any other.
    let repeated = Points::of(&kept.series.encode(seconds(60))).by(name, &[]);
    assert_eq!(repeated.into_values().next().unwrap().value, 3);
    let over = Points::of(&kept.series.encode(seconds(60 + options.idle.0.as_secs())));
    assert!(!over.0.is_empty() && over.0.values().all(|last| last.is_over));
}

#[test]
fn an_idle_series_ends_and_starts_anew() {
    let items = logs(&KONG[..1], Shape::Kong);
    let mut kept = Kept::new(options());
    items[0].feed(&mut kept.series, NOW);
    drop(kept.series.encode(seconds(1)));
    kept.commit();
    let held = kept.store.len();
    assert!(held > 1);
    let day = options().idle.0.as_secs();
    let last = Points::of(&kept.series.encode(seconds(day)));
    assert!(!last.0.is_empty() && last.0.values().all(|last| last.is_over));
    kept.commit();
    assert_eq!((kept.store.len(), kept.series.counts().series), (1, 0), "the time alone is left");
    // One that goes on does not end, however old it is.
    for hour in 0..30 {
        items[0].feed(&mut kept.series, seconds(day + 100_000 + hour * 3_600));
        let told = Points::of(&kept.series.encode(seconds(day + 100_001 + hour * 3_600)));
        assert!(told.0.values().all(|last| !last.is_over), "after {hour} hours");
    }
    let told = Points::of(&kept.series.encode(seconds(day + 100_001 + 40 * 3_600)));
    assert!(told.0.values().all(|last| !last.is_over), "eleven hours without change");
    let mut kept = Kept::new(options());
    items[0].feed(&mut kept.series, seconds(day + 5));
    let anew = Points::of(&kept.series.encode(seconds(day + 10)));
    let anew = anew.by("kong_http_requests_total", &[]).into_values().next().unwrap();
    assert_eq!((anew.start, anew.value), (seconds(day + 5).0, 1));
}

#[test]
fn bodies_are_bounded_and_hold_the_same() {
    let items = all();
    let mut options = full();
    let whole = told(&options, &items);
    options.body = Size(4_096);
    let bodies = super::series(&options, &items).encode(NOW);
    assert!(bodies.len() > 5 && bodies.iter().all(|body| body.bytes.len() <= 4_096));
    assert_eq!(Points::of(&bodies), whole);
}

#[test]
fn what_is_far_from_the_present_does_not_count_but_is_counted() {
    let items = logs(&KONG[..1], Shape::Kong);
    let mut series = Series::new(options(), "");
    items[0].feed(&mut series, seconds(8 * 86_400));
    items[0].feed(&mut series, UnixNanos(NOW.0 - 2 * 3_600_000_000_000));
    assert_eq!(series.counts().untimely, 2);
    assert_eq!(series.encode(NOW), []);
}

#[test]
fn a_sampled_feed_counts_for_what_it_stands_for() {
    let text = String::from_utf8(sample("cloudflare/workers_trace_events.ndjson")).unwrap();
    let hint = normalize::Hint { sample_rate: Some("0.25".into()), ..normalize::Hint::default() };
    let items = super::feed::hinted(text.into_bytes(), hint);
    let all = told(&options(), &items);
    let runs = all.by("cloudflare_worker_duration_seconds", &["event_type", "outcome"]);
    let fetches = &runs[&vec!["fetch".to_owned(), "ok".to_owned()]];
    assert_eq!((fetches.value, fetches.sum), (40, 7.556));
}
