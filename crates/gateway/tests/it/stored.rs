//! Reads the store's files with the Parquet library alone, as any other tool would.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One row: the text of each column that is not null.
pub(crate) type Row = BTreeMap<String, String>;

/// Every row of a signal below the store's folder, with these columns.
pub(crate) fn rows(store: &Path, signal: &str, columns: &[&str]) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in files(&store.join(format!("signal={signal}"))) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let schema = builder.schema().clone();
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            let first = rows.len();
            rows.resize(first + batch.num_rows(), Row::new());
            for name in columns {
                let at = schema
                    .index_of(name)
                    .unwrap_or_else(|_| panic!("{} has no column {name}", file.display()));
                // Times as numbers: their text depends on a time zone database.
                let column = match batch.column(at).data_type() {
                    DataType::Timestamp(_, _) => {
                        arrow_cast::cast(batch.column(at), &DataType::Int64).unwrap()
                    }
                    _ => Arc::clone(batch.column(at)),
                };
                let column = &column;
                let formatter = ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap();
                for row in 0..batch.num_rows() {
                    if column.is_valid(row) {
                        rows[first + row].insert((*name).to_owned(), formatter.value(row).to_string());
                    }
                }
            }
        }
    }
    rows
}

/// Every Parquet file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                found.push(path);
            }
        }
    }
    found
}
