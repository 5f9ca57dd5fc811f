//! What a translation could not carry over: a closed set of names, counted.

use std::collections::BTreeMap;

/// One way in which a point, or a part of one, is lost between layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// A point of delta temporality: Prometheus needs cumulative ones. The point is left out.
    Delta,
    /// A point whose metric has no known temporality. The point is left out.
    Temporality,
    /// A point without a value, or a metric of an unknown type. The point is left out.
    NoValue,
    /// A point whose metric name, or an attribute's key, cannot be made a Prometheus name. The point is left out.
    Name,
    /// An exponential histogram below scale −4, or a native one that OTLP has no scale for. The point is left out.
    Scale,
    /// A histogram whose buckets contradict its count or reach out of range. The point is left out.
    Buckets,
    /// A native histogram of the float or gauge flavour: OTLP has none. The point is left out.
    FloatHistogram,
    /// A native histogram with custom buckets, for a peer of remote-write 1.0. The point is left out.
    CustomBuckets,
    /// A start time, for a peer of remote-write 1.0.
    Start,
    /// A time that the other layout cannot tell exactly: milliseconds there, nanoseconds since 1970 here.
    Time,
    /// An integer that a double cannot hold exactly.
    Integer,
    /// Minimum or maximum of a histogram.
    MinMax,
    /// A histogram without sum, where the target must have one: it becomes 0.
    Sum,
    /// A point whose labels, written out for each of its series, exceed the bound on a request. The point is left out.
    Size,
    /// An exemplar without a value, or without a point to go with.
    Exemplar,
    /// Filtered attributes of an exemplar that exceed 128 characters.
    ExemplarAttributes,
    /// The attributes of a resource that names neither service nor instance: no target can carry them.
    Resource,
    /// The hint about counter resets of a native histogram.
    ResetHint,
}

impl Loss {
    /// The label under which this loss is counted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Temporality => "temporality",
            Self::NoValue => "no_value",
            Self::Name => "name",
            Self::Scale => "scale",
            Self::Buckets => "buckets",
            Self::FloatHistogram => "float_histogram",
            Self::CustomBuckets => "custom_buckets",
            Self::Start => "start",
            Self::Time => "time",
            Self::Integer => "integer",
            Self::MinMax => "min_max",
            Self::Sum => "sum",
            Self::Size => "size",
            Self::Exemplar => "exemplar",
            Self::ExemplarAttributes => "exemplar_attributes",
            Self::Resource => "resource",
            Self::ResetHint => "reset_hint",
        }
    }

    /// Whether the whole point is left out, rather than a part of it.
    pub const fn is_point(self) -> bool {
        matches!(
            self,
            Self::Delta
                | Self::Temporality
                | Self::NoValue
                | Self::Name
                | Self::Scale
                | Self::Buckets
                | Self::FloatHistogram
                | Self::CustomBuckets
                | Self::Size
        )
    }
}

/// Losses of one translation by kind, in points (or, for parts of points, in parts).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses(BTreeMap<Loss, u64>);

impl Losses {
    /// How often this was lost.
    pub fn get(&self, loss: Loss) -> u64 {
        self.0.get(&loss).copied().unwrap_or(0)
    }

    /// Every loss that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> {
        self.0.iter().map(|(&loss, &count)| (loss, count))
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, loss: Loss, count: u64) {
        if count > 0 {
            *self.0.entry(loss).or_default() += count;
        }
    }
}

impl std::ops::AddAssign<&Self> for Losses {
    fn add_assign(&mut self, other: &Self) {
        for (loss, count) in other.iter() {
            self.add(loss, count);
        }
    }
}
