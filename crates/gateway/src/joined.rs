//! Sinks that are given log records of Cloudflare and Kong joined (`edge_logs: joined`): from which frame of the logs on.
//!
//! Stitching tells every record from there on, and these sinks leave out what was received from there on, so that each record reaches them
//! one way, however far sink and stitching have come. The number lies beside the join store, which may be damaged and begun anew.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use journal::Offset;

/// The name of the file in the data folder.
pub(crate) const FILE: &str = "joined";

/// The first frame whose records are joined: `next`, the next that the journal will hold, when it is asked for first. `None` while no sink
/// `asks`; what was known is forgotten then.
pub(crate) fn since(data: &Path, asks: bool, next: Offset) -> Result<Option<Offset>, String> {
    let file = data.join(FILE);
    let failed = |error: io::Error| format!("{}: {error}", file.display());
    if !asks {
        return match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(None),
        };
    }
    match fs::read_to_string(&file) {
        Ok(text) => {
            let number = text.trim().parse().map_err(|_| {
                format!("{}: {text:?} is no frame's number; remove the file to begin anew", file.display())
            })?;
            Ok(Some(Offset(number)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(data, &file, next).map_err(failed)?;
            Ok(Some(next))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes the number so that it is there whole or not at all.
fn write(data: &Path, file: &Path, number: Offset) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut out = File::create(&new)?;
    writeln!(out, "{}", number.0)?;
    out.sync_all()?;
    fs::rename(&new, file)?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_it_was_until_nobody_asks() {
        let data = tempfile::tempdir().unwrap();
        let since = |asks, next| since(data.path(), asks, Offset(next));
        assert_eq!(since(false, 7), Ok(None));
        assert_eq!(since(true, 7), Ok(Some(Offset(7))));
        assert_eq!(since(true, 90), Ok(Some(Offset(7))));
        assert_eq!(since(false, 90), Ok(None));
        assert_eq!(since(true, 91), Ok(Some(Offset(91))));
        fs::write(data.path().join(FILE), "x").unwrap();
        assert!(since(true, 92).unwrap_err().contains("\"x\" is no frame's number"));
    }
}
