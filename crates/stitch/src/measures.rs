//! Stitching's own metrics.

use std::sync::Weak;

use pipeline::Metrics;
use pipeline::metrics::{Family, Kind};

use crate::sink::{Measured, Stitch};

const FACTS: Family = Family {
    name: "tidegate_stitch_facts_total",
    help: "Records of Cloudflare and Kong, and received spans that name a request of theirs, by what became of them.",
    kind: Kind::Counter,
};
const SPANS: Family = Family {
    name: "tidegate_stitch_spans_total",
    help: "Spans made: told first, told again because more is known, taken back.",
    kind: Kind::Counter,
};
const UNREADABLE: Family = Family {
    name: "tidegate_stitch_unreadable_frames_total",
    help: "Frames of the journal that could not be read to their end.",
    kind: Kind::Counter,
};
const DISK: Family = Family {
    name: "tidegate_stitch_disk_bytes",
    help: "Bytes of the join store on disk.",
    kind: Kind::Gauge,
};
const MEMORY: Family = Family {
    name: "tidegate_stitch_memory_bytes",
    help: "Bytes of the join store's buffers and cache.",
    kind: Kind::Gauge,
};

const SERIES: Family = Family {
    name: "tidegate_stitch_series",
    help: "Series of metrics made of logs and spans.",
    kind: Kind::Gauge,
};
const OVERFLOWED: Family = Family {
    name: "tidegate_stitch_overflowed_observations_total",
    help: "Observations that went to the series of all others, since a metric had too many.",
    kind: Kind::Counter,
};
const UNTIMELY: Family = Family {
    name: "tidegate_stitch_untimely_items_total",
    help: "Records and spans that no metric counts, since their time is too far from the present.",
    kind: Kind::Counter,
};

/// Registers them.
pub(crate) fn register(metrics: &Metrics, stitch: Weak<Stitch>) {
    metrics.collect(move |page| {
        let Some(stitch) = stitch.upgrade() else { return };
        let Measured { counts, metrics, disk, memory } = stitch.measured();
        for (state, number) in
            [("new", counts.facts), ("copy", counts.copies), ("crowded_out", counts.crowded)]
        {
            page.put(FACTS, &[("state", state)], number);
        }
        for (state, number) in
            [("first", counts.told), ("revised", counts.revised), ("withdrawn", counts.withdrawn)]
        {
            page.put(SPANS, &[("state", state)], number);
        }
        page.put(UNREADABLE, &[], counts.unreadable);
        page.put(SERIES, &[], metrics.0);
        page.put(OVERFLOWED, &[], metrics.1);
        page.put(UNTIMELY, &[], metrics.2);
        page.put(DISK, &[], disk);
        page.put(MEMORY, &[], memory);
    });
}
