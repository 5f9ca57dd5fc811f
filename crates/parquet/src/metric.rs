//! A metric point read back from a row.

use serde::Serialize;
use serde_json::Value;

use crate::point::Point;
use crate::row::Row;
use crate::scope::{Below, Scope};
use crate::value::{Attributes, double};
use wire::WireError;

/// A metric point, sample, exemplar or metadata entry, decoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricRow {
    /// Nanoseconds since 1970; the receive time for metadata.
    pub time: i64,
    /// Since when it adds up, nanoseconds since 1970.
    pub start: Option<i64>,
    /// The metric's name.
    pub name: String,
    /// `gauge`, `sum`, `histogram`, `exponential_histogram`, `summary`; of remote-write `sample`, `native_histogram`,
    /// `custom_histogram`, `exemplar`, `metadata`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The unit as its sender writes it.
    pub unit: String,
    /// What it measures.
    pub description: String,
    /// `unspecified`, `delta` or `cumulative`.
    pub temporality: Option<&'static str>,
    /// Whether a sum only grows.
    pub monotonic: Option<bool>,
    /// The value; what JSON has no number for is a name.
    #[serde(serialize_with = "number")]
    pub value: Option<f64>,
    /// The value where it is a whole number.
    pub value_int: Option<i64>,
    /// Observations.
    #[serde(serialize_with = "number")]
    pub count: Option<f64>,
    /// Their sum.
    #[serde(serialize_with = "number")]
    pub sum: Option<f64>,
    /// Upper bounds of the buckets of a histogram.
    pub bucket_bounds: Vec<Value>,
    /// Observations per bucket.
    pub bucket_counts: Vec<u64>,
    /// Scale of an exponential, schema of a native histogram.
    pub scale: Option<i32>,
    /// OTLP's flags; bit 0: no recorded value.
    pub flags: u32,
    /// `service.name` of its resource, or the label `job`.
    pub service: String,
    /// Its attributes or labels.
    pub attributes: Attributes,
    /// Its resource's attributes.
    pub resource: Attributes,
    /// The instrumentation scope.
    pub scope: Scope,
    /// On whose behalf it was sent.
    pub tenant: String,
    /// Which receiver took it.
    pub source: String,
    /// Journal offset of its frame.
    pub offset: u64,
    /// Its number in the frame.
    pub index: u32,
}

impl MetricRow {
    /// Decodes a row of metrics.
    ///
    /// # Errors
    /// What encloses the item is not protobuf.
    pub fn read(row: &Row<'_>) -> Result<Self, WireError> {
        let below = Below::read(row)?;
        let point = Point::read(row);
        let labels =
            point.labels.iter().map(|(name, value)| ((*name).to_owned(), Value::String((*value).to_owned())));
        let attributes = match point.attributes.clone() {
            Some(attributes) => Attributes::read(attributes),
            None => Attributes(labels.collect()),
        };
        Ok(Self {
            time: row.time,
            start: point.start,
            name: point.name.to_owned(),
            kind: row.kind.as_str(),
            unit: point.unit.to_owned(),
            description: point.description.to_owned(),
            temporality: point.temporality,
            monotonic: point.monotonic,
            value: point.value,
            value_int: point.value_int,
            count: point.count,
            sum: point.sum,
            bucket_bounds: point
                .bounds
                .into_iter()
                .flatten()
                .flatten()
                .map(|bits| double(f64::from_bits(bits)))
                .collect(),
            bucket_counts: point.buckets.into_iter().flatten().flatten().collect(),
            scale: point.scale,
            flags: point.flags,
            service: row.service.to_owned(),
            attributes,
            resource: below.resource,
            scope: below.scope,
            tenant: row.tenant.to_owned(),
            source: row.source.to_owned(),
            offset: row.offset,
            index: row.index,
        })
    }
}

#[allow(clippy::ref_option, reason = "serde calls it so")]
fn number<S: serde::Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(double).serialize(serializer)
}
