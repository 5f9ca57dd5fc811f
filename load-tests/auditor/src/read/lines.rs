//! A folder of files with one OTLP/JSON request a line, gzip'd ones included.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use super::{Found, otlp_json};
use crate::content::Run;
use crate::json;

/// Every item of every line of every file in `folder`.
pub fn read(run: &Run, folder: &Path, each: &mut dyn FnMut(Found)) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let path = entry.map_err(named)?.path();
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let name = path.to_string_lossy();
        let is_gzip = name.ends_with(".gz");
        if !is_gzip && !name.ends_with(".ndjson") {
            continue;
        }
        let file = File::open(&path).map_err(|error| named(&error))?;
        let plain: Box<dyn Read> =
            if is_gzip { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
        for line in BufReader::new(plain).lines() {
            let line = line.map_err(|error| named(&error))?;
            let request = json::read(&line).map_err(|error| named(&error))?;
            for fields in otlp_json::items(&request).map_err(|error| named(&error))? {
                each(Found::item(run, fields));
            }
        }
    }
    Ok(())
}
