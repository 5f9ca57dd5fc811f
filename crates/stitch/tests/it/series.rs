//! Metrics made of the samples and of what is put together by hand.

mod count;
mod deploy;
mod feed;
mod graph;
mod hostile;
mod page;
mod points;
mod prometheus;
mod single;
mod state;
mod story;

use std::collections::BTreeMap;

use normalize::Shape;
use tidegate_stitch::series::{Body, Options, Series};

use feed::Item;
use points::Points;

use crate::NOW;

/// Everything counted that can be, consumers included, as the expectations have it.
fn options() -> Options {
    let mut options = Options::default();
    options.kong.per_consumer = true;
    options
}

fn series(options: &Options, items: &[Item]) -> Series {
    let mut series = Series::new(options.clone(), "gateway-1");
    for item in items {
        item.feed(&mut series, NOW);
    }
    series
}

/// What logs count: every counter, and every histogram's number and sum, by name and labels.
pub(crate) type Counted = BTreeMap<(String, BTreeMap<String, String>), (u64, String)>;

/// What these bodies say in the end of everything that is counted of logs.
pub(crate) fn story_counts(bodies: &[Body]) -> Counted {
    let of_logs = |name: &str| name.starts_with("cloudflare_") || name.starts_with("kong_");
    let last = Points::of(bodies).0.into_iter().filter(|((name, _), _)| of_logs(name));
    last.map(|(key, last)| (key, (last.value, last.sum.to_string()))).collect()
}

/// What the stories' logs come to when all of them are counted at once, and each record once.
pub(crate) fn counted_at_once() -> Counted {
    let mut items = feed::logs(&feed::LOGPUSH, Shape::Logpush);
    items.extend(feed::logs(&feed::KONG, Shape::Kong));
    story_counts(&series(&Options::default(), &items).encode(NOW))
}

/// What is told of these, all at once.
fn told(options: &Options, items: &[Item]) -> Points {
    Points::of(&series(options, items).encode(NOW))
}
