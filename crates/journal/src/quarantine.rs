//! Damaged bytes are put aside before their segment is given a new life, for whoever wants to look at them.

use std::path::Path;

use crate::segment::Hole;
use crate::survey::Window;
use crate::vfs::{Vfs, write_all};

/// Of one hole, at most so many bytes are kept.
const KEPT: u64 = 16 << 20;
const PIECE: usize = 256 * 1024;

/// Writes a hole's bytes to `quarantine/FIRST-LAST.bytes`, once. Failing to is reported, never an obstacle.
pub(crate) fn put_aside(vfs: &dyn Vfs, folder: &Path, window: &mut Window<'_>, hole: &Hole) {
    let (first, last) = (hole.first, hole.last);
    tracing::error!(folder = %folder.display(), first, last, "frames are damaged");
    let name = format!("{first:020}-{last:020}.bytes");
    let folder = folder.join("quarantine");
    let result = (|| {
        vfs.create_folder(&folder)?;
        if vfs.list(&folder)?.contains(&name) {
            return Ok(());
        }
        let file = vfs.create(&folder.join(&name))?;
        let end = hole.end.min(hole.at + KEPT);
        let mut at = hole.at;
        while at < end {
            let piece = window.slice(at, PIECE.min((end - at) as usize));
            if piece.is_empty() {
                break;
            }
            write_all(&*file, piece, at - hole.at)?;
            at += piece.len() as u64;
        }
        file.sync()?;
        vfs.sync_folder(&folder)
    })();
    if let Err(error) = result {
        tracing::warn!(folder = %folder.display(), %error, "damaged bytes not put aside");
    }
}
