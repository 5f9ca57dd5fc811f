//! A parcel as rows: one sheet for each table that it has items for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{Failure, Layout as Laid, Signal};
use pipeline::Parcel;
use wire::WireError;
use wire::otlp::logs::each_record;
use wire::otlp::metrics::{Number, Point, each_point};
use wire::otlp::traces::each_span;
use wire::translate::{self, rw_to_otlp};

use super::cell;
use super::layout::{Layout, Rows};
use super::tables::{Item, Level, Table, What};

/// The most bytes of a parcel's rows. A resource is repeated in each of its rows, so a small parcel can become many bytes.
const MOST: usize = 128 << 20;

/// The tables that are there, as far as they were described.
pub(super) type Layouts = BTreeMap<Table, Arc<Layout>>;

/// The rows of one table.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    rows: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// Which item of the parcel each row is.
    pub(super) items: Vec<u32>,
}

/// What a parcel became.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) sheets: BTreeMap<Table, Sheet>,
    /// Whether `Sheet::items` names items of the parcel; remote-write samples become points of their own.
    pub(super) items_known: bool,
    /// What the translation of remote-write could not carry.
    pub(super) losses: translate::Losses,
    /// Whole numbers that a double cannot hold exactly.
    pub(super) integers: u64,
    /// Times that the columns cannot hold.
    pub(super) times: u64,
}

impl Sheet {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of some rows.
    pub(super) fn bytes(&self, rows: Range<usize>) -> &[u8] {
        let end = |row: usize| row.checked_sub(1).and_then(|row| self.ends.get(row)).copied().unwrap_or(0);
        &self.rows[end(rows.start)..end(rows.end)]
    }
}

/// Makes the rows.
///
/// # Errors
/// `TooLarge` beyond 128 MiB of rows; `RefusedWhole` for bytes that cannot be read; `Retry` where a table is missing.
pub(super) fn make(parcel: &Parcel, layouts: &Layouts) -> Result<Made, Failure> {
    let mut maker = Maker {
        layouts,
        pens: BTreeMap::new(),
        made: Made::default(),
        bytes: 0,
        several: parcel.items() > 1,
    };
    let mut index = 0;
    if parcel.layout == Laid::RemoteWrite {
        let (otlp, losses) = rw_to_otlp(&parcel.plain()?).map_err(|error| refused(&error))?;
        maker.made.losses = losses;
        maker.read(parcel.signal, &Bytes::from(otlp), 0, &mut index)?;
    } else {
        maker.made.items_known = true;
        for part in &parcel.parts {
            maker.read(parcel.signal, &parcel.part_plain(part)?, part.received.0, &mut index)?;
        }
    }
    Ok(maker.made)
}

fn refused(error: &WireError) -> Failure {
    Failure::RefusedWhole { reason: error.to_string() }
}

struct Maker<'a> {
    layouts: &'a Layouts,
    pens: BTreeMap<Table, Pen>,
    made: Made,
    bytes: usize,
    several: bool,
}

/// What one table's columns said last, where many rows say the same.
#[derive(Default)]
struct Pen {
    resource: Option<(usize, usize)>,
    scope: Option<(usize, usize)>,
    /// By column; empty for those that each row writes anew.
    kept: Vec<Vec<u8>>,
}

impl Maker<'_> {
    fn read(&mut self, signal: Signal, plain: &[u8], received: u64, index: &mut u32) -> Result<(), Failure> {
        // Places of one frame mean nothing in the next.
        self.pens.clear();
        let mut failed = None;
        let mut row = |item: Item<'_>, table: Option<Table>| -> Result<(), WireError> {
            if failed.is_none()
                && let Some(table) = table
            {
                failed = self.row(&item, table, *index)?;
            }
            *index += 1;
            Ok(())
        };
        let read = match signal {
            Signal::Logs => each_record(plain, |resource, scope, record| {
                let item = Item {
                    resource: resource.resource,
                    resource_schema: resource.schema_url,
                    scope: scope.scope,
                    scope_schema: scope.schema_url,
                    received,
                    what: What::Log(record),
                };
                row(item, Some(Table::Logs))
            }),
            Signal::Traces => each_span(plain, |resource, scope, span| {
                let item = Item {
                    resource: resource.resource,
                    resource_schema: resource.schema_url,
                    scope: scope.scope,
                    scope_schema: scope.schema_url,
                    received,
                    what: What::Span(span),
                };
                row(item, Some(Table::Traces))
            }),
            Signal::Metrics => each_point(plain, |resource, scope, metric, point| {
                let item = Item {
                    resource: resource.resource,
                    resource_schema: resource.schema_url,
                    scope: scope.scope,
                    scope_schema: scope.schema_url,
                    received,
                    what: What::Point(*metric, point),
                };
                row(item, Table::of(metric.kind))
            }),
        };
        read.map_err(|error| refused(&error))?;
        failed.map_or(Ok(()), Err)
    }

    /// Writes one row. Answers why the parcel cannot go out like this.
    fn row(&mut self, item: &Item<'_>, table: Table, index: u32) -> Result<Option<Failure>, WireError> {
        let Some(layout) = self.layouts.get(&table) else {
            let reason =
                format!("there is no table for this data ({table:?}); create it, or set create_schema: true");
            return Ok(Some(Failure::Retry { after: None, reason }));
        };
        self.note(item);
        let pen = self.pens.entry(table).or_default();
        pen.turn(item, layout)?;
        let sheet = self.made.sheets.entry(table).or_default();
        let before = sheet.rows.len();
        pen.write(item, layout, &mut sheet.rows)?;
        sheet.ends.push(sheet.rows.len());
        sheet.items.push(index);
        self.bytes += sheet.rows.len() - before;
        if self.several && self.bytes > MOST {
            let reason = format!("rows exceed the limit of {MOST} bytes");
            return Ok(Some(Failure::TooLarge { reason }));
        }
        Ok(None)
    }

    /// Counts what the columns cannot hold exactly.
    fn note(&mut self, item: &Item<'_>) {
        let time = match &item.what {
            What::Log(record) => record.time,
            What::Span(span) => span.start,
            What::Point(_, point) => {
                if let Point::Number(number) = point
                    && let Some(Number::Int(value)) = number.value
                    && (value as f64) as i128 != i128::from(value)
                {
                    self.made.integers += 1;
                }
                point.time()
            }
        };
        self.made.times += u64::from(i64::try_from(time).is_err());
    }
}

impl Pen {
    /// Writes down what is the same for the rows to come, where resource or scope are others than before.
    fn turn(&mut self, item: &Item<'_>, layout: &Layout) -> Result<(), WireError> {
        let place = |raw: &[u8]| Some((raw.as_ptr() as usize, raw.len()));
        let resource = place(item.resource.raw);
        let scope = place(item.scope.raw);
        // An empty resource has no place of its own; neither do schema URLs, so those of one place may differ.
        let same_resource = self.resource == resource && !item.resource.raw.is_empty();
        let same_scope = same_resource && self.scope == scope && !item.scope.raw.is_empty();
        (self.resource, self.scope) = (resource, scope);
        self.kept.resize(layout.columns.len(), Vec::new());
        for (place, (column, _)) in layout.columns.iter().enumerate() {
            let stale = match column.level {
                Level::Resource => !same_resource,
                Level::Scope => !same_scope,
                Level::Item => false,
            };
            if stale {
                let mut kept = std::mem::take(&mut self.kept[place]);
                kept.clear();
                field(&mut kept, layout, place, item)?;
                self.kept[place] = kept;
            }
        }
        Ok(())
    }

    fn write(&self, item: &Item<'_>, layout: &Layout, out: &mut Vec<u8>) -> Result<(), WireError> {
        for (place, (column, _)) in layout.columns.iter().enumerate() {
            if layout.rows == Rows::Json {
                out.push(if place == 0 { b'{' } else { b',' });
            }
            if column.level == Level::Item {
                field(out, layout, place, item)?;
            } else {
                out.extend_from_slice(&self.kept[place]);
            }
        }
        if layout.rows == Rows::Json {
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

/// Writes one column of one row.
fn field(out: &mut Vec<u8>, layout: &Layout, place: usize, item: &Item<'_>) -> Result<(), WireError> {
    let (column, kind) = &layout.columns[place];
    let cell = (column.cell)(item)?;
    match layout.rows {
        Rows::Binary => cell::binary(out, kind, &cell),
        Rows::Json => {
            out.push(b'"');
            out.extend_from_slice(column.name.as_bytes());
            out.extend_from_slice(b"\":");
            cell::json(out, kind, &cell)
        }
    }
}
