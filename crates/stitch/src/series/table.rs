//! The series of one tenant: found by metric and labels, bounded in number, and remembered when they change.

use ahash::HashMap;
use wire::put;

use super::metric::{Kind, Metric, ROWS};
use super::options::{Histograms, Options, nanos};
use super::value::{Native, Sample, Value};

/// What stands in every label of the series that takes what comes beyond the bound.
pub(super) const OTHER: &str = "__other__";

/// A series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it began: its start time.
    pub start: u64,
    /// When it last grew.
    pub changed: u64,
    /// Whether anybody was told of it.
    pub is_told: bool,
    /// Whether it grew since it was told of.
    pub is_new: bool,
    pub value: Value,
    /// When it was told of. Not kept: after a restart all are told again.
    pub told: u64,
    /// Whether it is on the list of what the store does not have yet.
    pub is_touched: bool,
}

/// Label values, each behind its length, in the order of the metric's row.
pub(super) type Line = Box<[u8]>;

#[derive(Debug)]
pub(super) struct Table {
    /// By metric.
    families: Vec<HashMap<Line, Entry>>,
    /// What the store does not have yet, copies and what is gone included.
    touched: Vec<(Metric, Line)>,
    /// Observations that went to the series of all others, by metric.
    overflowed: Vec<u64>,
    scratch: Vec<u8>,
    most: usize,
    label_bytes: usize,
    has_native: bool,
}

impl Table {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            families: ROWS.iter().map(|_| HashMap::default()).collect(),
            touched: Vec::new(),
            overflowed: vec![0; ROWS.len()],
            scratch: Vec::new(),
            most: options.most_series,
            label_bytes: options.label_bytes,
            has_native: options.histograms != Histograms::Classic,
        }
    }

    /// Adds `amount` thousandths to a counter.
    pub(super) fn add(&mut self, metric: Metric, labels: &[&str], amount: u64, now: u64) {
        let entry = self.entry(metric, labels, now);
        if let Value::Counter(count) = &mut entry.value {
            *count = count.saturating_add(amount);
        }
    }

    /// Puts an observation into a histogram.
    pub(super) fn observe(&mut self, metric: Metric, labels: &[&str], sample: Sample, now: u64) {
        let entry = self.entry(metric, labels, now);
        if let (Value::Histogram(histogram), Kind::Histogram { per_unit, bounds }) =
            (&mut entry.value, metric.row().kind)
        {
            histogram.observe(bounds, per_unit, sample);
        }
    }

    /// The series, which is about to grow.
    fn entry(&mut self, metric: Metric, labels: &[&str], now: u64) -> &mut Entry {
        debug_assert_eq!(labels.len(), metric.row().labels.len(), "{}", metric.row().name);
        write_line(&mut self.scratch, labels, self.label_bytes);
        let family = &mut self.families[metric as usize];
        if !family.contains_key(self.scratch.as_slice()) {
            if family.len() >= self.most {
                self.overflowed[metric as usize] += 1;
                write_line(&mut self.scratch, &vec![OTHER; labels.len()], self.label_bytes);
            }
            family.entry(self.scratch.as_slice().into()).or_insert_with(|| Entry {
                start: whole_millis(now),
                changed: now,
                is_told: false,
                is_new: true,
                value: Value::new(metric, self.has_native.then_some(whole_millis(now))),
                told: 0,
                is_touched: false,
            });
        }
        let Some(entry) = family.get_mut(self.scratch.as_slice()) else { unreachable!("it was just put in") };
        entry.changed = entry.changed.max(now);
        entry.is_new = true;
        if !entry.is_touched {
            entry.is_touched = true;
            self.touched.push((metric, self.scratch.as_slice().into()));
        }
        entry
    }

    /// Puts a series in as it was kept.
    pub(super) fn restore(&mut self, metric: Metric, line: Line, mut entry: Entry) {
        if let Value::Histogram(histogram) = &mut entry.value {
            match (&histogram.native, self.has_native) {
                (None, true) => {
                    histogram.native = Some(Native::new(whole_millis(entry.changed)));
                }
                (Some(_), false) => histogram.native = None,
                _ => {}
            }
        }
        self.families[metric as usize].insert(line, entry);
    }

    /// The series of a metric that are wanted, in the order of their labels.
    pub(super) fn sorted(
        &mut self,
        metric: Metric,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<(&Line, &mut Entry)> {
        let family = self.families[metric as usize].iter_mut();
        let mut series: Vec<_> = family.filter(|(_, entry)| is_wanted(entry)).collect();
        series.sort_unstable_by(|a, b| a.0.cmp(b.0));
        series
    }

    /// Notes that something about these series changed that the store has to know.
    pub(super) fn touch(&mut self, series: Vec<(Metric, Line)>) {
        for (metric, line) in series {
            let Some(entry) = self.families[metric as usize].get_mut(&line) else { continue };
            if !entry.is_touched {
                entry.is_touched = true;
                self.touched.push((metric, line));
            }
        }
    }

    /// Ends a series.
    pub(super) fn remove(&mut self, metric: Metric, line: Line) {
        self.families[metric as usize].remove(&line);
        self.touched.push((metric, line));
    }

    /// Calls `each` with every series that changed since the last call: `None` for one that is gone.
    pub(super) fn take(&mut self, mut each: impl FnMut(Metric, &[u8], Option<&Entry>)) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for (metric, line) in touched {
            let entry = self.families[metric as usize].get_mut(&line);
            each(metric, &line, entry.as_deref());
            if let Some(entry) = entry {
                entry.is_touched = false;
            }
        }
    }

    pub(super) fn overflowed(&self, metric: Metric) -> u64 {
        self.overflowed[metric as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.families.iter().map(std::collections::HashMap::len).sum()
    }
}

fn write_line(out: &mut Vec<u8>, labels: &[&str], most: usize) {
    out.clear();
    for label in labels {
        let label = cut(label, most);
        put::varint(out, label.len() as u64);
        out.extend_from_slice(label.as_bytes());
    }
}

/// Prometheus counts time in milliseconds; what is finer would be lost on the way, and told as lost.
pub(super) fn whole_millis(nanos: u64) -> u64 {
    nanos - nanos % 1_000_000
}

/// At most this many bytes of a text, and no half characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Label values of a line; `None` when it is none.
pub(super) fn labels(mut line: &[u8]) -> Option<Vec<&str>> {
    let mut labels = Vec::new();
    while !line.is_empty() {
        let (len, end) = wire::walk::varint(line, 0).ok()?;
        let (label, rest) = line.get(end..)?.split_at_checked(usize::try_from(len).ok()?)?;
        labels.push(std::str::from_utf8(label).ok()?);
        line = rest;
    }
    Some(labels)
}

/// Which series are over, and which are to be told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    repeat: u64,
    idle: u64,
}

impl Rhythm {
    pub(super) fn new(options: &Options) -> Self {
        Self { repeat: nanos(options.repeat), idle: nanos(options.idle) }
    }

    pub(super) fn is_over(self, entry: &Entry, now: u64) -> bool {
        !entry.is_new && now.saturating_sub(entry.changed) >= self.idle
    }

    pub(super) fn is_due(self, entry: &Entry, now: u64) -> bool {
        entry.is_new || entry.told > now || now - entry.told >= self.repeat
    }
}
