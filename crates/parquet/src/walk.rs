//! Goes through the spans of a file by its columns: no item is decoded, and only the columns that are needed are read.

use std::borrow::Cow;
use std::ops::{ControlFlow, RangeInclusive};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampNanosecondType};
use arrow_array::{
    Array, BooleanArray, FixedSizeBinaryArray, Int64Array, MapArray, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowPredicateFn, RowFilter};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;

use crate::FileError;
use crate::filter::{Filter, Item, Keys, Seen, Subject};
use crate::read::File;
use crate::row::Row;

/// Rows looked at together, as many as have about so many bytes in all columns.
const BATCH_ROWS: u64 = 4096;
const BATCH_BYTES: u64 = 16 << 20;

/// The columns of `Seen`'s ids, and of its time.
pub const TRACE: &str = "trace_id";
/// See `TRACE`.
pub const SPAN: &str = "span_id";
/// See `TRACE`.
pub const PARENT: &str = "parent_span_id";

/// Handles one span.
pub type Look<'a> = dyn FnMut(&dyn Seen) -> ControlFlow<()> + 'a;

/// What of a file is worth looking at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    groups: Vec<usize>,
    /// Rows in it, before any is looked at.
    pub rows: u64,
    /// Rows to look at together.
    batch: usize,
}

/// Looks at a row in memory as at one in a file.
pub fn look(
    row: &Row<'_>,
    times: &RangeInclusive<i64>,
    filter: &Filter,
    each: &mut Look<'_>,
) -> ControlFlow<()> {
    if !times.contains(&row.time) {
        return ControlFlow::Continue(());
    }
    let item = Item::new(row);
    if filter.passes(&item) { each(&item) } else { ControlFlow::Continue(()) }
}

impl<R: ChunkReader + Clone + 'static> File<R> {
    /// What of this file of traces may hold spans that began in `times` and pass `filter`, by what its footer says.
    pub fn plan(&self, times: &RangeInclusive<i64>, filter: &Filter) -> Plan {
        let service = filter.service();
        let name = self.leaf("service_name");
        let mut plan = Plan { groups: Vec::new(), rows: 0, batch: BATCH_ROWS as usize };
        for (number, group) in self.metadata().row_groups().iter().enumerate() {
            let named = service.zip(name).is_none_or(|(service, name)| may_hold(group, name, service));
            if named && overlaps(group, times) {
                plan.groups.push(number);
                let size = |number: i64| u64::try_from(number).unwrap_or(0);
                let (rows, bytes) = (size(group.num_rows()), size(group.total_byte_size()));
                plan.rows += rows;
                let batch = BATCH_BYTES.saturating_mul(rows) / bytes.max(1);
                plan.batch = plan.batch.min(batch.clamp(16, BATCH_ROWS) as usize);
            }
        }
        plan
    }

    /// Calls `each` with every span of `plan` that began in `times` and passes `filter`, in file order, until it breaks. What
    /// it sees knows its time and `columns`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn walk(
        &self,
        plan: &Plan,
        times: &RangeInclusive<i64>,
        filter: &Filter,
        columns: &[&str],
        each: &mut Look<'_>,
    ) -> Result<(), FileError> {
        if plan.groups.is_empty() {
            return Ok(());
        }
        let mut predicates: Vec<Box<dyn ArrowPredicate>> = Vec::new();
        for part in filter.parts() {
            if matches!(part, Filter::All(_)) {
                continue;
            }
            let part = part.clone();
            let mask = self.roots(&part.columns());
            predicates.push(Box::new(ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
                let columns = Columns::new(&batch);
                let passes = |row| Some(part.passes(&At { columns: &columns, row }));
                Ok((0..batch.num_rows()).map(passes).collect::<BooleanArray>())
            })));
        }
        let mask = self.roots(&[columns, &["timestamp"]].concat());
        let builder = self.builder().with_row_groups(plan.groups.clone()).with_batch_size(plan.batch);
        for batch in builder.with_projection(mask).with_row_filter(RowFilter::new(predicates)).build()? {
            let batch = batch?;
            let columns = Columns::new(&batch);
            for row in 0..batch.num_rows() {
                let at = At { columns: &columns, row };
                if times.contains(&at.time()) && each(&at).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn roots(&self, names: &[&str]) -> ProjectionMask {
        let schema = self.schema();
        let roots = names.iter().filter_map(|name| schema.index_of(name).ok());
        ProjectionMask::roots(self.metadata().file_metadata().schema_descr(), roots)
    }
}

/// Whether a row group may hold rows of these times.
pub(crate) fn overlaps(group: &RowGroupMetaData, times: &RangeInclusive<i64>) -> bool {
    match group.column(0).statistics() {
        Some(Statistics::Int64(known)) => {
            known.min_opt().is_none_or(|min| min <= times.end())
                && known.max_opt().is_none_or(|max| max >= times.start())
        }
        _ => true,
    }
}

/// Whether a row group may hold `text` in a column. Long values are cut in statistics, downwards and upwards, so that they
/// still bound what is in the group.
fn may_hold(group: &RowGroupMetaData, column: usize, text: &str) -> bool {
    match group.column(column).statistics() {
        Some(Statistics::ByteArray(known)) => {
            known.min_opt().is_none_or(|min| min.data() <= text.as_bytes())
                && known.max_opt().is_none_or(|max| max.data() >= text.as_bytes())
        }
        _ => true,
    }
}

/// The columns of a batch, as far as they were read.
struct Columns {
    time: Option<TimestampNanosecondArray>,
    trace: Option<FixedSizeBinaryArray>,
    span: Option<FixedSizeBinaryArray>,
    parent: Option<FixedSizeBinaryArray>,
    duration: Option<Int64Array>,
    service: Option<StringArray>,
    name: Option<StringArray>,
    kind: Option<StringArray>,
    status: Option<StringArray>,
    message: Option<StringArray>,
    scope_name: Option<StringArray>,
    scope_version: Option<StringArray>,
    attributes: Option<MapArray>,
    resource: Option<MapArray>,
}

impl Columns {
    fn new(batch: &RecordBatch) -> Self {
        // The footer was found to have the schema that these types are from.
        let text = |name| batch.column_by_name(name).map(|array| array.as_string::<i32>().clone());
        let id = |name| batch.column_by_name(name).map(|array| array.as_fixed_size_binary().clone());
        let map = |name| batch.column_by_name(name).map(|array| array.as_map().clone());
        let time = batch.column_by_name("timestamp");
        let duration = batch.column_by_name("duration_ns");
        Self {
            time: time.map(|array| array.as_primitive::<TimestampNanosecondType>().clone()),
            trace: id(TRACE),
            span: id(SPAN),
            parent: id(PARENT),
            duration: duration.map(|array| array.as_primitive::<Int64Type>().clone()),
            service: text("service_name"),
            name: text("name"),
            kind: text("kind"),
            status: text("status"),
            message: text("status_message"),
            scope_name: text("scope_name"),
            scope_version: text("scope_version"),
            attributes: map("attributes"),
            resource: map("resource_attributes"),
        }
    }
}

/// One row of them.
struct At<'a> {
    columns: &'a Columns,
    row: usize,
}

impl<'a> At<'a> {
    fn id<const N: usize>(&self, column: Option<&'a FixedSizeBinaryArray>) -> Option<[u8; N]> {
        let column = column.filter(|column| column.is_valid(self.row))?;
        column.value(self.row).try_into().ok()
    }

    fn cell(&self, column: Option<&'a StringArray>) -> Option<Cow<'a, str>> {
        let column = column.filter(|column| column.is_valid(self.row))?;
        Some(Cow::Borrowed(column.value(self.row)))
    }

    /// The keys and values of this row in a column of maps.
    fn pairs(&self, map: Option<&'a MapArray>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let row = self.row;
        map.into_iter().flat_map(move |map| {
            let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
            let offsets = map.value_offsets();
            let entries = offsets[row] as usize..offsets[row + 1] as usize;
            entries.map(move |entry| (keys.value(entry), values.value(entry)))
        })
    }

    fn pair(&self, map: Option<&'a MapArray>, wanted: &str) -> Option<Cow<'a, str>> {
        self.pairs(map).find(|(key, _)| *key == wanted).map(|(_, value)| Cow::Borrowed(value))
    }
}

impl Seen for At<'_> {
    fn time(&self) -> i64 {
        self.columns.time.as_ref().map_or(0, |time| time.value(self.row))
    }

    fn trace(&self) -> Option<[u8; 16]> {
        self.id(self.columns.trace.as_ref())
    }

    fn id(&self) -> Option<[u8; 8]> {
        self.id(self.columns.span.as_ref())
    }

    fn parent(&self) -> Option<[u8; 8]> {
        self.id(self.columns.parent.as_ref())
    }

    fn duration(&self) -> i64 {
        self.columns.duration.as_ref().map_or(0, |duration| duration.value(self.row))
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        let columns = self.columns;
        match subject {
            Subject::Service => self.cell(columns.service.as_ref()),
            Subject::Name => self.cell(columns.name.as_ref()),
            Subject::Kind => self.cell(columns.kind.as_ref()),
            Subject::Status => self.cell(columns.status.as_ref()),
            Subject::StatusMessage => self.cell(columns.message.as_ref()),
            Subject::Duration => None,
            Subject::ScopeName => self.cell(columns.scope_name.as_ref()),
            Subject::ScopeVersion => self.cell(columns.scope_version.as_ref()),
            Subject::Attribute(key) => self.pair(columns.attributes.as_ref(), key),
            Subject::Resource(key) => self.pair(columns.resource.as_ref(), key),
        }
    }

    fn keys(&self, of: Keys, each: &mut dyn FnMut(&str)) {
        let map = match of {
            Keys::Span => self.columns.attributes.as_ref(),
            Keys::Resource => self.columns.resource.as_ref(),
        };
        self.pairs(map).for_each(|(key, _)| each(key));
    }
}
