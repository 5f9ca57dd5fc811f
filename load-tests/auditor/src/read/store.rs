//! Parquet files, read with the Parquet library alone as any other tool would: the message of each row, checked against
//! the columns that people query.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use prost::Message;

use super::Found;
use crate::content::Run;
use crate::flatten;
use crate::item::Signal;
use crate::prom::{Sample, TimeSeries};
use crate::value::{Fields, Value, contradict};

/// Every row of every Parquet file below `folder` that was not merged into another.
pub fn read(run: &Run, folder: &Path, each: &mut dyn FnMut(Found)) -> Result<(), String> {
    for path in files(folder)? {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(&path).map_err(|error| named(&error))?;
        rows(run, file, each).map_err(|error| named(&error))?;
    }
    Ok(())
}

/// Every row of one Parquet file that was read whole.
pub fn read_bytes(run: &Run, file: Bytes, each: &mut dyn FnMut(Found)) -> Result<(), String> {
    rows(run, file, each)
}

/// The files that count, by the rule of the sink's page: one is left out when the range of its name lies inside that of
/// another in the same folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let named = |error| format!("{}: {error}", folder.display());
        let mut spans = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).map_err(named)? {
            let path = entry.map_err(named)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let span =
                    Span::of(&path).ok_or_else(|| format!("{}: a name without a range", path.display()))?;
                spans.insert(path, span);
            }
        }
        let counts = |span: &Span| !spans.values().any(|other| span.is_inside(other));
        found.extend(spans.iter().filter(|(_, span)| counts(span)).map(|(path, _)| path.clone()));
    }
    Ok(found)
}

/// The end of a file's name: `…-{journal}.{first}-{last}.parquet`.
#[derive(PartialEq, Eq)]
struct Span {
    journal: u32,
    first: u64,
    last: u64,
}

impl Span {
    fn of(path: &Path) -> Option<Self> {
        let (left, range) = path.file_stem()?.to_str()?.rsplit_once('.')?;
        let (_, journal) = left.rsplit_once('-')?;
        let (first, last) = range.split_once('-')?;
        Some(Self { journal: journal.parse().ok()?, first: first.parse().ok()?, last: last.parse().ok()? })
    }

    fn is_inside(&self, other: &Self) -> bool {
        self != other && self.journal == other.journal && other.first <= self.first && self.last <= other.last
    }
}

fn rows(run: &Run, file: impl ChunkReader + 'static, each: &mut dyn FnMut(Found)) -> Result<(), String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    for batch in builder.build().map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        for at in 0..batch.num_rows() {
            each(Found::item(run, row(&batch, at)?));
        }
    }
    Ok(())
}

struct Cells<'a> {
    batch: &'a RecordBatch,
    at: usize,
}

impl<'a> Cells<'a> {
    fn column(&self, name: &str) -> Result<&'a dyn Array, String> {
        self.batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| format!("there is no column {name}"))
    }

    fn bytes(&self, name: &str) -> Result<&'a [u8], String> {
        let column = self.column(name)?.as_binary_opt::<i32>();
        Ok(column.ok_or_else(|| format!("{name} is no column of bytes"))?.value(self.at))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let column = self.column(name)?.as_string_opt::<i32>();
        let column = column.ok_or_else(|| format!("{name} is no column of text"))?;
        Ok(column.is_valid(self.at).then(|| column.value(self.at)))
    }

    fn time(&self, name: &str) -> Result<i64, String> {
        let column = self.column(name)?.as_primitive_opt::<TimestampNanosecondType>();
        Ok(column.ok_or_else(|| format!("{name} is no column of nanoseconds"))?.value(self.at))
    }

    /// The entries of a map of text.
    fn map(&self, name: &str) -> Result<Vec<(&'a str, Option<&'a str>)>, String> {
        let map = self.column(name)?.as_map_opt().ok_or_else(|| format!("{name} is no map"))?;
        let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
        let offsets = map.value_offsets();
        let range = offsets[self.at] as usize..offsets[self.at + 1] as usize;
        Ok(range.map(|at| (keys.value(at), values.is_valid(at).then(|| values.value(at)))).collect())
    }
}

fn row(batch: &RecordBatch, at: usize) -> Result<Fields, String> {
    let cells = Cells { batch, at };
    let is_metric = batch.column_by_name("metric_name").is_some();
    let kind = if is_metric { cells.text("type")?.unwrap_or_default() } else { "" };
    let mut fields = if kind == "sample" {
        sample(&cells)?
    } else {
        let (signal, request) = request(&cells, kind)?;
        let items = flatten::request(signal, &request).map_err(|error| error.to_string())?;
        match <[Fields; 1]>::try_from(items) {
            Ok([fields]) => fields,
            Err(items) => return Err(format!("a row with {} items", items.len())),
        }
    };
    if batch.column_by_name("body").is_some()
        && !fields.contains_key("body")
        && let Some(body) = cells.text("body")?
    {
        fields.insert("body".into(), Value::text(body));
    }
    check_columns(&cells, is_metric, &mut fields)?;
    Ok(fields)
}

/// The row's message with what encloses it. Two occurrences of one message field are their union, so the inner message is
/// put behind the bytes of its envelope.
fn request(cells: &Cells<'_>, kind: &str) -> Result<(Signal, Vec<u8>), String> {
    let (signal, item) = match kind {
        "" => (Signal::Traces, with_field(cells.bytes("scope")?, 2, cells.bytes("raw")?)),
        _ => {
            let number = match kind {
                "gauge" => 5,
                "sum" => 7,
                "histogram" => 9,
                "exponential_histogram" => 10,
                "summary" => 11,
                other => return Err(format!("a row of type {other}, which the auditor never sends")),
            };
            let points = with_field(&[], 1, cells.bytes("raw")?);
            let metric = with_field(cells.bytes("metric")?, number, &points);
            (Signal::Metrics, with_field(cells.bytes("scope")?, 2, &metric))
        }
    };
    let signal = match signal {
        Signal::Traces if cells.batch.column_by_name("severity_number").is_some() => Signal::Logs,
        other => other,
    };
    let resource = with_field(cells.bytes("resource")?, 2, &item);
    Ok((signal, with_field(&[], 1, &resource)))
}

fn with_field(envelope: &[u8], number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = envelope.to_vec();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

fn sample(cells: &Cells<'_>) -> Result<Fields, String> {
    let series = TimeSeries::decode(cells.bytes("metric")?).map_err(|error| error.to_string())?;
    let sample = Sample::decode(cells.bytes("raw")?).map_err(|error| error.to_string())?;
    let mut fields = Fields::new();
    for label in series.labels {
        let name =
            if label.name == "__name__" { "metric".to_owned() } else { format!("attr.{}", label.name) };
        fields.insert(name, Value::Text(label.value));
    }
    fields.insert("time".into(), Value::Time((sample.time * 1_000_000) as u64));
    fields.insert("value".into(), Value::Double(sample.value));
    Ok(fields)
}

/// What the columns say otherwise than the message becomes a field, which is then one too many.
fn check_columns(cells: &Cells<'_>, is_metric: bool, fields: &mut Fields) -> Result<(), String> {
    let mut wrong = Vec::new();
    let time = Value::Time(cells.time("timestamp")? as u64);
    if fields.get("start").filter(|_| !is_metric).or_else(|| fields.get("time")) != Some(&time) {
        wrong.push(("timestamp", time));
    }
    let name_column = if is_metric { "metric_name" } else { "name" };
    if cells.batch.column_by_name(name_column).is_some() {
        let name = Value::text(cells.text(name_column)?.unwrap_or_default());
        if fields.get(if is_metric { "metric" } else { "name" }) != Some(&name) {
            wrong.push(("name", name));
        }
    }
    let map = cells.map("attributes")?;
    for (key, value) in &map {
        let value = Value::text(value.unwrap_or_default());
        if matches!(fields.get(&format!("attr.{key}")), Some(Value::Text(known)) if Value::text(known.as_str()) != value)
        {
            wrong.push(("attributes", value));
        }
    }
    if is_metric
        && let Some(column) = cells.column("value")?.as_primitive_opt::<arrow_array::types::Float64Type>()
        && let Some(Value::Double(bits)) = fields.get("value")
        && (column.is_null(cells.at) || column.value(cells.at).to_bits() != *bits)
    {
        wrong.push(("value", Value::double(column.value(cells.at))));
    }
    for (name, value) in wrong {
        contradict(fields, name, Some(value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_merged_into_another_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let hour = folder.path().join("signal=logs/hour=09");
        std::fs::create_dir_all(&hour).unwrap();
        for name in ["-5-7-1.0-10", "6-9-1.11-20", "-5-9-1.0-20", "6-8-1.21-30", "6-9-2.11-20"] {
            std::fs::write(hour.join(format!("{name}.parquet")), "").unwrap();
        }
        let mut names: Vec<_> =
            files(folder.path()).unwrap().iter().map(|path| path.file_stem().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["-5-9-1.0-20", "6-8-1.21-30", "6-9-2.11-20"]);
    }
}
