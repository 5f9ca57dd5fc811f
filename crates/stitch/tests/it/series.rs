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

use tidegate_stitch::series::{Options, Series};

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

/// What is told of these, all at once.
fn told(options: &Options, items: &[Item]) -> Points {
    Points::of(&series(options, items).encode(NOW))
}

/// A folder of its own, gone with its owner.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidegate-series-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
