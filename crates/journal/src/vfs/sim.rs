//! A file system in memory that forgets what was not synced, as unkindly as a real one may.
//!
//! Every file has volatile bytes (what reads see) and durable bytes (what a power cut leaves). Writes touch sectors of
//! 512 bytes; a cut keeps, drops or tears each unsynced sector independently of the others. Names are kept per folder
//! as a list of changes since the last folder sync; a cut keeps an arbitrary subset of them. A sync that fails leaves
//! its sectors out of later syncs, as Linux does: asking again succeeds and the bytes are not there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Vfs, VfsFile};

const SECTOR: usize = 512;

/// The calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `VfsFile::write_at`.
    Write,
    /// `VfsFile::sync`.
    Sync,
    /// `Vfs::create`.
    Create,
    /// `Vfs::rename`.
    Rename,
    /// `Vfs::remove`.
    Remove,
    /// `Vfs::sync_folder`.
    SyncFolder,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No space is left.
    Full,
    /// The device fails.
    Io,
    /// A write takes only half of its bytes (other calls: fails as `Io`).
    Short,
}

/// A simulated file system; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimFs(Arc<Disk>);

#[derive(Debug, Default)]
struct Disk {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    dead: bool,
    held: bool,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    failing: Vec<(Op, Fault)>,
    capacity: Option<u64>,
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    locks: BTreeSet<PathBuf>,
    history: Vec<(Op, PathBuf)>,
}

#[derive(Debug, Default, Clone)]
struct Node {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    path: PathBuf,
}

#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, _) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl State {
    fn enter(&mut self, op: Op, path: &Path) -> io::Result<Option<Fault>> {
        self.alive()?;
        self.calls += 1;
        self.history.push((op, path.to_path_buf()));
        let fault = self.faults.remove(&self.calls);
        let fault =
            fault.or_else(|| self.failing.iter().find(|(kind, _)| *kind == op).map(|(_, fault)| *fault));
        match fault {
            Some(Fault::Short) if op == Op::Write => Ok(fault),
            Some(Fault::Full) if op != Op::Sync => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Full) if op == Op::Sync => Ok(fault),
            Some(Fault::Io | Fault::Short) if op == Op::Sync => Ok(fault),
            Some(_) => Err(io::Error::other("simulated device error")),
            None => Ok(None),
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("simulated machine is off")) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        let live: BTreeSet<usize> = self.names.values().copied().collect();
        live.iter().map(|node| self.nodes[*node].bytes.len() as u64).sum()
    }
}

impl SimFs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Disk { state: Mutex::new(state), released: Condvar::new() }))
    }

    /// Makes file syncs wait, as a device does that is busy, until `release_syncs` or the end of the machine.
    pub fn hold_syncs(&self) {
        self.state().held = true;
    }

    /// Lets waiting syncs go on.
    pub fn release_syncs(&self) {
        self.state().held = false;
        self.0.released.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changing calls made so far: the clock of `fail_at`.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Every changing call made so far, in order, with the path it went to.
    pub fn history(&self) -> Vec<(Op, PathBuf)> {
        self.state().history.clone()
    }

    /// Makes the `n`-th changing call from now on (1 is the next one) fail once.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.calls + n;
        state.faults.insert(at, fault);
    }

    /// Makes every call of a kind fail from now on.
    pub fn fail_all(&self, op: Op, fault: Fault) {
        self.state().failing.push((op, fault));
    }

    /// Ends all injected faults.
    pub fn heal(&self) {
        let mut state = self.state();
        state.failing.clear();
        state.faults.clear();
    }

    /// Limits the bytes of all files together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Every file's path.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// A file's volatile bytes.
    pub fn peek(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|node| state.nodes[*node].bytes.clone())
    }

    /// Replaces a file's bytes, durably: how tests damage data.
    pub fn poke(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let Some(&node) = state.names.get(path) else { return };
        state.nodes[node].durable.clone_from(&bytes);
        state.nodes[node].bytes = bytes;
        state.nodes[node].dirty.clear();
    }

    /// A copy with everything in it durable and no faults: what a copy of the data folder would be.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        let mut copy = State { nodes: state.nodes.clone(), names: state.names.clone(), ..State::default() };
        copy.durable_names = copy.names.clone();
        for node in &mut copy.nodes {
            node.durable.clone_from(&node.bytes);
            node.dirty.clear();
        }
        Self::of(copy)
    }

    /// A copy in which what is unsynced still is; the original lives on.
    #[must_use]
    pub fn copy_unsynced(&self) -> Self {
        let state = self.state();
        Self::of(State {
            nodes: state.nodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            changes: state.changes.clone(),
            capacity: state.capacity,
            ..State::default()
        })
    }

    /// Kills the process that uses this file system: every byte written stays, handles die.
    #[must_use]
    pub fn kill(&self) -> Self {
        let survivor = self.copy_unsynced();
        self.state().dead = true;
        self.0.released.notify_all();
        survivor
    }

    /// Cuts the power: what was synced stays, of the rest an arbitrary part, chosen by `seed`. Handles die.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = self.state();
        state.dead = true;
        self.0.released.notify_all();
        let mut names = state.durable_names.clone();
        let keep_changes = random.u8(..4);
        for change in &state.changes {
            let kept = match keep_changes {
                0 => false,
                1 => true,
                _ => random.bool(),
            };
            if kept {
                change.apply(&mut names);
            }
        }
        let keep_sectors = random.u8(..5);
        let mut nodes = state.nodes.clone();
        for node in &mut nodes {
            let mut after = node.durable.clone();
            let longer = node.bytes.len() > after.len();
            if longer && !node.dirty.is_empty() && random.bool() {
                after.resize(node.bytes.len(), 0);
            }
            for sector in &node.dirty {
                let from = sector * SECTOR;
                let to = (from + SECTOR).min(node.bytes.len()).min(after.len());
                if from >= to {
                    continue;
                }
                let cut = match keep_sectors {
                    0 => from,
                    1 => to,
                    2 => [from, to][random.usize(..2)],
                    _ => [from, to, random.usize(from..=to)][random.usize(..3)],
                };
                after[from..cut].copy_from_slice(&node.bytes[from..cut]);
            }
            node.bytes.clone_from(&after);
            node.durable = after;
            node.dirty.clear();
        }
        let survivor = State {
            nodes,
            names: names.clone(),
            durable_names: names,
            capacity: state.capacity,
            ..State::default()
        };
        Self::of(survivor)
    }
}

impl Vfs for SimFs {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        self.state().alive()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.alive()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let state = self.state();
        state.alive()?;
        let node = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { fs: self.clone(), node }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let mut state = self.state();
        state.enter(Op::Create, path)?;
        let node = state.nodes.len();
        state.nodes.push(Node { path: path.to_path_buf(), ..Node::default() });
        state.names.insert(path.to_path_buf(), node);
        state.changes.push(Change::Link(path.to_path_buf(), node));
        drop(state);
        Ok(Arc::new(SimFile { fs: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Rename, to)?;
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_path_buf(), node);
        state.nodes[node].path = to.to_path_buf();
        state.changes.push(Change::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Remove, path)?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.changes.push(Change::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::SyncFolder, folder)?;
        let (synced, rest) = std::mem::take(&mut state.changes)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.folder() == Some(folder));
        for change in &synced {
            change.apply(&mut state.durable_names);
        }
        state.changes = rest;
        Ok(())
    }

    fn available_space(&self, _: &Path) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state();
        state.alive()?;
        if !state.locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        drop(state);
        Ok(Box::new(SimLock { fs: self.clone(), path: path.to_path_buf() }))
    }
}

struct SimLock {
    fs: SimFs,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.state().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    node: usize,
}

impl VfsFile for SimFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.fs.state();
        state.alive()?;
        let bytes = &state.nodes[self.node].bytes;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let n = into.len().min(bytes.len() - from);
        into[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut state = self.fs.state();
        let path = state.nodes[self.node].path.clone();
        let short = state.enter(Op::Write, &path)?.is_some();
        let n = if short { bytes.len().div_ceil(2) } else { bytes.len() };
        let from = usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let growth = (from + n).saturating_sub(state.nodes[self.node].bytes.len()) as u64;
        if growth > 0 && state.capacity.is_some_and(|capacity| state.used() + growth > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let node = &mut state.nodes[self.node];
        if node.bytes.len() < from + n {
            node.bytes.resize(from + n, 0);
        }
        node.bytes[from..from + n].copy_from_slice(&bytes[..n]);
        if n > 0 {
            node.dirty.extend(from / SECTOR..=(from + n - 1) / SECTOR);
        }
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let state = self.fs.state();
        let waiting = self.fs.0.released.wait_while(state, |state| state.held && !state.dead);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        let path = state.nodes[self.node].path.clone();
        let fault = state.enter(Op::Sync, &path)?;
        let node = &mut state.nodes[self.node];
        let dirty = std::mem::take(&mut node.dirty);
        match fault {
            // The sectors count as clean from now on although they never reached the disk.
            Some(Fault::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(_) => return Err(io::Error::other("simulated device error")),
            None => {}
        }
        if node.durable.len() < node.bytes.len() {
            let length = node.bytes.len();
            node.durable.resize(length, 0);
        }
        for sector in dirty {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(node.bytes.len());
            node.durable[from..to].copy_from_slice(&node.bytes[from..to]);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.fs.state();
        state.alive()?;
        Ok(state.nodes[self.node].bytes.len() as u64)
    }
}
