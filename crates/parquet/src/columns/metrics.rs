//! The columns of metrics: one row a point, sample, exemplar or metadata entry.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampNanosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_schema::{DataType, Field};

use super::base::times;
use super::spans::Scopes;
use super::text::Described;
use crate::point::Point;
use crate::row::Row;
use crate::value::some;

pub(super) struct Columns {
    time: TimestampNanosecondBuilder,
    service: StringBuilder,
    name: StringBuilder,
    kind: StringBuilder,
    unit: StringBuilder,
    description: StringBuilder,
    temporality: StringBuilder,
    monotonic: BooleanBuilder,
    start: TimestampNanosecondBuilder,
    value: Float64Builder,
    value_int: Int64Builder,
    count: Float64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    bounds: ListBuilder<Float64Builder>,
    buckets: ListBuilder<UInt64Builder>,
    scale: Int32Builder,
    described: Described,
    scope: Scopes,
    flags: UInt32Builder,
}

impl Default for Columns {
    fn default() -> Self {
        let element = |of| Field::new("element", of, false);
        Self {
            time: times(),
            service: StringBuilder::new(),
            name: StringBuilder::new(),
            kind: StringBuilder::new(),
            unit: StringBuilder::new(),
            description: StringBuilder::new(),
            temporality: StringBuilder::new(),
            monotonic: BooleanBuilder::new(),
            start: times(),
            value: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: Float64Builder::new(),
            sum: Float64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            bounds: ListBuilder::new(Float64Builder::new()).with_field(element(DataType::Float64)),
            buckets: ListBuilder::new(UInt64Builder::new()).with_field(element(DataType::UInt64)),
            scale: Int32Builder::new(),
            described: Described::default(),
            scope: Scopes::default(),
            flags: UInt32Builder::new(),
        }
    }
}

impl Columns {
    pub(super) fn push(&mut self, row: &Row<'_>) {
        let point = Point::read(row);
        self.time.append_value(row.time);
        self.service.append_value(row.service);
        self.name.append_value(point.name);
        self.kind.append_value(row.kind.as_str());
        self.unit.append_option(some(point.unit));
        self.description.append_option(some(point.description));
        self.temporality.append_option(point.temporality);
        self.monotonic.append_option(point.monotonic);
        self.start.append_option(point.start);
        self.value.append_option(point.value);
        self.value_int.append_option(point.value_int);
        self.count.append_option(point.count);
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        let is_list = point.bounds.is_some();
        for bits in point.bounds.into_iter().flatten().map_while(Result::ok) {
            self.bounds.values().append_value(f64::from_bits(bits));
        }
        self.bounds.append(is_list);
        for count in point.buckets.into_iter().flatten().map_while(Result::ok) {
            self.buckets.values().append_value(count);
        }
        self.buckets.append(is_list);
        self.scale.append_option(point.scale);
        match point.attributes {
            Some(attributes) => self.described.push(Some(attributes), row.resource),
            None => self.described.push_labels(point.labels.into_iter()),
        }
        self.scope.push(row.scope);
        self.flags.append_value(point.flags);
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.service.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.unit.finish()),
            Arc::new(self.description.finish()),
            Arc::new(self.temporality.finish()),
            Arc::new(self.monotonic.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.min.finish()),
            Arc::new(self.max.finish()),
            Arc::new(self.bounds.finish()),
            Arc::new(self.buckets.finish()),
            Arc::new(self.scale.finish()),
        ];
        arrays.extend(self.described.finish());
        arrays.extend(self.scope.finish());
        arrays.push(Arc::new(self.flags.finish()));
        arrays
    }
}
