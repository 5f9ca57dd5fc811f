//! A small disk of its own for a server's data, which a test can fill and empty again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system in memory; dropping it unmounts it, so it must outlive the server that writes there.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of `bytes` at `folder`, which is made. `None` where this user may not mount.
    pub fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder to mount at");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tidegate-test"]).arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self { folder: folder.to_owned() })
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).expect("a file can be made");
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0; size];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn relieve(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that still has a file open there does not keep the scratch folder from being removed.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_relieved() {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let Some(disk) = SmallDisk::mount(&scratch.path().join("disk"), 4 << 20) else {
            eprintln!("not run: this user may not mount");
            return;
        };
        let path = disk.folder().join("file");
        fs::write(&path, [1; 4096]).expect("there is space");
        disk.fill();
        let error = fs::write(disk.folder().join("more"), [1; 4096]).expect_err("there is none");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        disk.relieve();
        fs::write(disk.folder().join("more"), [1; 4096]).expect("there is space again");
    }
}
