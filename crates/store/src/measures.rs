//! The store's own metrics.

use std::sync::Weak;

use model::Signal;
use pipeline::SinkContext;
use pipeline::metrics::{Counter, Family, Kind};

use crate::Store;
use crate::index::Stored;
use crate::store::number;

const WRITTEN: Family = Family {
    name: "tidegate_store_written_bytes_total",
    help: "Bytes of files written from unsettled rows.",
    kind: Kind::Counter,
};
const MERGED: Family = Family {
    name: "tidegate_store_merged_files_total",
    help: "Files merged into others.",
    kind: Kind::Counter,
};
const EXPIRED_FILES: Family = Family {
    name: "tidegate_store_expired_files_total",
    help: "Files deleted by retention.",
    kind: Kind::Counter,
};
const EXPIRED_BYTES: Family = Family {
    name: "tidegate_store_expired_bytes_total",
    help: "Bytes deleted by retention.",
    kind: Kind::Counter,
};
const UNREADABLE: Family = Family {
    name: "tidegate_store_unreadable_files_total",
    help: "Files that a search could not read.",
    kind: Kind::Counter,
};
const UNSETTLED: Family = Family {
    name: "tidegate_store_unsettled_rows",
    help: "Rows in memory that are not in a file yet.",
    kind: Kind::Gauge,
};
const FILES: Family =
    Family { name: "tidegate_store_files", help: "Files that searches look at.", kind: Kind::Gauge };
const DISK: Family =
    Family { name: "tidegate_store_disk_bytes", help: "Bytes of all files.", kind: Kind::Gauge };

/// Counters of one store.
#[derive(Debug)]
pub(crate) struct Measures {
    written: Counter,
    merged: Counter,
    expired_files: Counter,
    expired_bytes: Counter,
    unreadable: Counter,
}

impl Measures {
    /// Registers the metrics of the store that is being opened.
    pub(crate) fn register(context: &SinkContext, store: Weak<Store>) -> Self {
        let name = context.name.clone();
        context.metrics.collect(move |page| {
            let Some(store) = store.upgrade() else { return };
            let state = store.state();
            for signal in Signal::ALL {
                let labels = [("sink", &*name), ("signal", signal.as_str())];
                page.put(UNSETTLED, &labels, state.pending[number(signal)].rows());
                page.put(FILES, &labels, state.index.files(signal).count() as u64);
            }
            page.put(DISK, &[("sink", &name)], state.index.bytes());
        });
        let counter = |family| context.metrics.counter(family, &[("sink", &context.name)]);
        Self {
            written: counter(WRITTEN),
            merged: counter(MERGED),
            expired_files: counter(EXPIRED_FILES),
            expired_bytes: counter(EXPIRED_BYTES),
            unreadable: counter(UNREADABLE),
        }
    }

    pub(crate) fn wrote(&self, files: &[Stored]) {
        self.written.add(files.iter().map(|file| file.size).sum());
    }

    pub(crate) fn merged(&self, files: usize) {
        self.merged.add(files as u64);
    }

    pub(crate) fn expired(&self, files: u64, bytes: u64) {
        self.expired_files.add(files);
        self.expired_bytes.add(bytes);
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.add(1);
    }
}
