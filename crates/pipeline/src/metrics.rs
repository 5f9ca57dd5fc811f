//! The gateway's own metrics: plain atomics in a registry that is passed around, rendered as Prometheus text.
//!
//! Names are `tidegate_<part>_<thing>_<unit>[_total]`. Labels come from closed sets: configured names, reasons from code,
//! never a peer's address or a payload's text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

/// A number that is set.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Counter {
    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the number.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a family's numbers move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only up, until a restart.
    Counter,
    /// Up and down.
    Gauge,
}

/// A family of metrics: written once as a constant beside the code that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The full name.
    pub name: &'static str,
    /// One sentence for the reader of `/metrics`.
    pub help: &'static str,
    /// How its numbers move.
    pub kind: Kind,
}

type Collector = Box<dyn Fn(&mut Page) + Send + Sync>;

/// The registry. Cloning shares it.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Registry>);

struct Number {
    family: Family,
    value: Arc<AtomicU64>,
}

#[derive(Default)]
struct Registry {
    /// By name and labels.
    numbers: Mutex<BTreeMap<(&'static str, String), Number>>,
    collectors: Mutex<Vec<Collector>>,
}

/// One rendering in progress: samples are put here by the registry and by collectors.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, (Family, BTreeMap<String, u64>)>,
}

impl Metrics {
    /// The counter of `family` with these labels; the same one each time it is asked for.
    pub fn counter(&self, family: Family, labels: &[(&str, &str)]) -> Counter {
        Counter(self.number(family, labels))
    }

    /// The gauge of `family` with these labels; the same one each time it is asked for.
    pub fn gauge(&self, family: Family, labels: &[(&str, &str)]) -> Gauge {
        Gauge(self.number(family, labels))
    }

    /// Adds a function that is called at each rendering, for numbers that live elsewhere. It must not block.
    pub fn collect(&self, collector: impl Fn(&mut Page) + Send + Sync + 'static) {
        lock(&self.0.collectors).push(Box::new(collector));
    }

    /// Everything as Prometheus text (exposition format 0.0.4), families and labels sorted.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        for ((_, labels), number) in lock(&self.0.numbers).iter() {
            page.add(number.family, labels.clone(), number.value.load(Ordering::Relaxed));
        }
        for collector in lock(&self.0.collectors).iter() {
            collector(&mut page);
        }
        page.text()
    }

    fn number(&self, family: Family, labels: &[(&str, &str)]) -> Arc<AtomicU64> {
        let key = (family.name, label_text(labels));
        let mut numbers = lock(&self.0.numbers);
        let number = numbers.entry(key).or_insert_with(|| Number { family, value: Arc::default() });
        Arc::clone(&number.value)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Page {
    /// Puts one number; numbers of the same family and labels are added up.
    pub fn put(&mut self, family: Family, labels: &[(&str, &str)], number: u64) {
        self.add(family, label_text(labels), number);
    }

    fn add(&mut self, family: Family, labels: String, number: u64) {
        let (_, samples) = self.families.entry(family.name).or_insert_with(|| (family, BTreeMap::new()));
        *samples.entry(labels).or_default() += number;
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, (family, samples)) in &self.families {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            text.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
            for (labels, number) in samples {
                text.push_str(&format!("{name}{labels} {number}\n"));
            }
        }
        text
    }
}

fn label_text(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Family =
        Family { name: "tidegate_test_taken_items_total", help: "Items taken.", kind: Kind::Counter };
    const HELD: Family = Family { name: "tidegate_test_held_bytes", help: "Bytes held.", kind: Kind::Gauge };

    #[test]
    fn a_page_shows_every_family_once_and_escapes_labels() {
        let metrics = Metrics::default();
        metrics.counter(TAKEN, &[("source", "b")]).add(2);
        metrics.counter(TAKEN, &[("source", "a\"\\\n")]).add(1);
        metrics.counter(TAKEN, &[("source", "b")]).add(3);
        metrics.collect(|page| page.put(HELD, &[], 7));
        let expected = "# HELP tidegate_test_held_bytes Bytes held.\n\
                        # TYPE tidegate_test_held_bytes gauge\n\
                        tidegate_test_held_bytes 7\n\
                        # HELP tidegate_test_taken_items_total Items taken.\n\
                        # TYPE tidegate_test_taken_items_total counter\n\
                        tidegate_test_taken_items_total{source=\"a\\\"\\\\\\n\"} 1\n\
                        tidegate_test_taken_items_total{source=\"b\"} 5\n";
        assert_eq!(metrics.render(), expected);
    }
}
