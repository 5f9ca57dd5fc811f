//! One signal's files. Everything here runs on the writing thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::{Failure, Layout, Signal, UnixNanos};
use pipeline::{Parcel, Workers};
use wire::translate::{self, Losses};

use super::position::{Active, Position, Slots, sync_folder_of};
use super::squeeze::squeeze;
use super::{Compress, Rotation, name};

pub(super) struct Log {
    rotation: Rotation,
    signal: Signal,
    slots: Slots,
    /// What the files hold for certain.
    position: Position,
    state: State,
    squeezing: Workers,
}

/// How the active file stands to the position.
enum State {
    /// The file is as long as the position says.
    Clean(File),
    /// Something went wrong half-way: position and file are to be put back first.
    Torn(File),
    /// No file is open: none was written yet, or what was written cannot be trusted any more.
    None,
}

impl Log {
    /// Reads the position and cuts the active file to it.
    pub(super) fn open(
        rotation: Rotation,
        state: &Path,
        signal: Signal,
        squeezing: Workers,
    ) -> Result<Self, Failure> {
        let folder = &rotation.folder;
        fs::create_dir_all(folder).map_err(|error| retry(folder, "cannot be made", &error))?;
        let (slots, position) =
            Slots::open(state, signal).map_err(|error| retry(state, "cannot be opened", &error))?;
        let position = position.unwrap_or_default();
        let mut log = Self { rotation, signal, slots, position, state: State::None, squeezing };
        if let Some(file) = log.reopen()? {
            log.state = State::Clean(file);
        }
        log.squeeze_finished();
        Ok(log)
    }

    /// Appends what of `parcel` is not in the files yet, and makes it durable.
    pub(super) fn append(&mut self, parcel: &Parcel, now: UnixNanos) -> Result<Losses, Failure> {
        self.mend()?;
        let Some(fresh) = self.position.fresh(parcel) else { return Ok(Losses::default()) };
        self.rotate_if_due(now)?;
        let Some(active) = self.position.active.clone() else {
            return Err(Failure::Retry { after: None, reason: "no file is open".into() });
        };
        let path = self.path(&active.name);
        let State::Clean(mut file) = std::mem::replace(&mut self.state, State::None) else {
            return Err(Failure::Retry { after: None, reason: format!("{} is not open", path.display()) });
        };
        let (written, losses) = match lines(&mut file, &path, &fresh) {
            Ok(written) => written,
            Err(failure) => {
                self.state = State::Torn(file);
                return Err(failure);
            }
        };
        // A failed sync may have dropped pages: this file is not trusted with more. Without an open file, the next delivery cuts
        // off what the position does not count and begins another one.
        file.sync_data().map_err(|error| retry(&path, "cannot be synced", &error))?;
        let next = self.position.after(&fresh, active.length + written);
        if let Err(error) = self.slots.write(&next) {
            self.state = State::Torn(file);
            return Err(Failure::Retry {
                after: None,
                reason: format!("the position cannot be written: {error}"),
            });
        }
        self.position = next;
        self.state = State::Clean(file);
        Ok(losses)
    }

    /// Undoes what a failed delivery left: first the position (its slot may hold the new one, which would cover items that are
    /// about to be cut off), then the file.
    fn mend(&mut self) -> Result<(), Failure> {
        let State::Torn(_) = &self.state else { return Ok(()) };
        self.write_position(self.position.clone())?;
        if let State::Torn(file) = std::mem::replace(&mut self.state, State::None) {
            self.state = State::Clean(self.cut(file)?);
        }
        Ok(())
    }

    /// Begins another file when there is none, the active one is full or old, or somebody moved it away.
    fn rotate_if_due(&mut self, now: UnixNanos) -> Result<(), Failure> {
        if let (State::Clean(_), Some(active)) = (&self.state, &self.position.active) {
            let old = now.since(UnixNanos(active.begun)) >= self.rotation.every;
            let full = active.length >= self.rotation.bytes;
            if !(full || old && active.length > 0) && self.path(&active.name).exists() {
                return Ok(());
            }
        }
        if let State::None = std::mem::replace(&mut self.state, State::None) {
            self.reopen()?;
        }
        let mut next = self.position.clone();
        if let Some(active) = next.active.take()
            && self.rotation.compress == Compress::Gzip
        {
            next.finished.push(active.name);
        }
        next.finished.retain(|name| self.path(name).exists());
        let mut name = name::name(self.signal, now, next.next_number);
        while self.path(&name).exists() {
            next.next_number += 1;
            name = name::name(self.signal, now, next.next_number);
        }
        next.next_number += 1;
        let path = self.path(&name);
        next.active = Some(Active { name, length: 0, begun: now.0 });
        // The position names the file before it exists: after a crash it is found and emptied, never forgotten.
        self.write_position(next)?;
        let opened = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
        let file = opened.and_then(|file| sync_folder_of(&path).map(|()| file));
        self.state = State::Clean(file.map_err(|error| retry(&path, "cannot be made", &error))?);
        self.squeeze_finished();
        Ok(())
    }

    fn write_position(&mut self, position: Position) -> Result<(), Failure> {
        self.slots.write(&position).map_err(|error| Failure::Retry {
            after: None,
            reason: format!("the position cannot be written: {error}"),
        })?;
        self.position = position;
        Ok(())
    }

    /// Opens the active file and cuts it to the position; `None` when there is none (any more).
    fn reopen(&mut self) -> Result<Option<File>, Failure> {
        let Some(active) = &self.position.active else { return Ok(None) };
        let path = self.path(&active.name);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => self.cut(file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(retry(&path, "cannot be opened", &error)),
        }
    }

    /// Cuts the active file to the position and stands at its end. A file that is shorter has lost data that was durable.
    fn cut(&mut self, mut file: File) -> Result<File, Failure> {
        let Some(active) = &mut self.position.active else { return Ok(file) };
        let path = self.rotation.folder.join(&active.name);
        let cut = |file: &mut File| {
            let found = file.metadata()?.len();
            if found > active.length {
                file.set_len(active.length)?;
            }
            file.seek(SeekFrom::End(0)).map(|_| found)
        };
        let found = cut(&mut file).map_err(|error| retry(&path, "cannot be cut to its length", &error))?;
        if found < active.length {
            let lost = active.length - found;
            tracing::error!(path = %path.display(), lost, "the file is shorter than it was; its lost bytes are not written again");
            active.length = found;
        }
        Ok(file)
    }

    /// Hands every finished file to the compressing thread. What does not fit into its queue is handed over another time.
    fn squeeze_finished(&self) {
        for name in &self.position.finished {
            let path = self.path(name);
            self.squeezing.offer(move || {
                if let Err(error) = squeeze(&path) {
                    tracing::warn!(path = %path.display(), %error, "the file cannot be compressed now; it stays and is tried again");
                }
            });
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.rotation.folder.join(name)
    }
}

/// Writes one line for each part; answers how many bytes that made.
fn lines(file: &mut File, path: &Path, parcel: &Parcel) -> Result<(u64, Losses), Failure> {
    let mut written = 0;
    let mut losses = Losses::default();
    for part in &parcel.parts {
        let plain = parcel.part_plain(part)?;
        let unreadable = |error| Failure::RefusedWhole {
            reason: format!("frame {} cannot be read: {error}", part.offset),
        };
        let mut line = match parcel.layout {
            Layout::Otlp => wire::json::to_json(parcel.signal, &plain).map_err(unreadable)?,
            Layout::RemoteWrite => {
                let (otlp, lost) = translate::rw_to_otlp(&plain).map_err(unreadable)?;
                losses += &lost;
                wire::json::to_json(parcel.signal, &otlp).map_err(unreadable)?
            }
        };
        line.push(b'\n');
        file.write_all(&line).map_err(|error| retry(path, "cannot be written", &error))?;
        written += line.len() as u64;
    }
    Ok((written, losses))
}

fn retry(path: &Path, what: &str, error: &io::Error) -> Failure {
    Failure::Retry { after: None, reason: format!("{} {what}: {error}", path.display()) }
}
