//! A finished file becomes a gzip file: written aside, synced, renamed, and only then is the original removed. A crash at any
//! point leaves one whole copy; the next run begins anew.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::position::sync_folder_of;

const LEVEL: u32 = 6;
const BUFFER: usize = 64 << 10;

/// Compresses `path` to `path.gz`. Does nothing when `path` does not exist any more.
pub(super) fn squeeze(path: &Path) -> io::Result<()> {
    let plain = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let (aside, done) = (beside(".gz.tmp"), beside(".gz"));
    let out = BufWriter::with_capacity(BUFFER, File::create(&aside)?);
    let mut encoder = GzEncoder::new(out, Compression::new(LEVEL));
    io::copy(&mut BufReader::with_capacity(BUFFER, plain), &mut encoder)?;
    let file = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&aside, &done)?;
    sync_folder_of(&done)?;
    fs::remove_file(path)
}
