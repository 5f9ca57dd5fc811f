//! The handle for searching. Rows in memory and files are taken from one look at the store, so that every item is seen once
//! even while a range is written or files are merged.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::{Signal, TraceId};
use object_store::path::Path;
use pipeline::Workers;
use rows::{Chunk, Footer, Row};

use crate::StoreError;
use crate::files::Object;
use crate::find::{self, Scan, Scanned, Trace};
use crate::index::Stored;
use crate::store::{Store, number, workers};

/// Searches a store. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Arc<Store>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    threads: OnceLock<Result<Workers, String>>,
    footers: Mutex<Footers>,
}

impl Reader {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, shared: Arc::default() }
    }

    /// The spans and log records of a trace, what is not in a file yet included. An id and its low 64 bits find each other;
    /// two ids that differ in their upper half never do. All tenants are searched; each row names its own.
    ///
    /// # Errors
    /// The search could not run at all. A file that cannot be read is left out and counted in the answer.
    pub async fn trace(&self, id: TraceId) -> Result<Trace, StoreError> {
        let (spans, logs) = self.look(|state| (state(Signal::Traces), state(Signal::Logs)));
        self.run(move |reader| find::trace(reader, id, &spans, &logs)).await
    }

    /// The newest items of one signal in a range of time, what is not in a file yet included.
    ///
    /// # Errors
    /// The search could not run at all. A file that cannot be read is left out and counted in the answer.
    pub async fn scan(&self, scan: Scan) -> Result<Scanned, StoreError> {
        let view = self.look(|state| state(scan.signal));
        self.run(move |reader| find::scan(reader, &scan, &view)).await
    }

    /// How many items of `signal` are kept, by reading every file's footer.
    ///
    /// # Errors
    /// A file cannot be read.
    pub async fn count(&self, signal: Signal) -> Result<u64, StoreError> {
        let view = self.look(|state| state(signal));
        self.run(move |reader| {
            let mut count: u64 = view.chunks.iter().map(|chunk| chunk.entries().len() as u64).sum();
            for stored in &view.files {
                count += reader.footer(stored)?.map_or(0, |footer| footer.rows());
            }
            Ok(count)
        })
        .await?
    }

    /// One look at the store: everything that `pick` asks for belongs together.
    fn look<T>(&self, pick: impl FnOnce(&dyn Fn(Signal) -> View) -> T) -> T {
        let state = self.store.state();
        pick(&|signal| View {
            chunks: state.pending[number(signal)].chunks().cloned().collect(),
            files: state.index.files(signal).cloned().collect(),
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.clone();
        Ok(workers(&self.shared.threads, "store-read")?.run(move || job(&reader)).await?)
    }

    /// Calls `read` with an open file. Answers whether it could be read to the end; a file that was deleted meanwhile by
    /// retention is read to its end.
    pub(crate) fn file(
        &self,
        stored: &Stored,
        read: impl FnOnce(rows::File<Object>) -> Result<(), rows::FileError>,
    ) -> bool {
        // The Parquet library is not proof against every damaged file; a panic in it is a file that cannot be read.
        let result = catch_unwind(AssertUnwindSafe(|| -> Result<(), StoreError> {
            let Some(footer) = self.footer(stored)? else { return Ok(()) };
            Ok(read(rows::File::new(self.object(stored), footer))?)
        }));
        let error = match result {
            Ok(Ok(())) => return true,
            Ok(Err(_)) if !self.exists(stored) => return true,
            Ok(Err(error)) => error,
            Err(_) => StoreError::new("the file's pages cannot be decoded"),
        };
        self.store.measures.unreadable();
        let sink = &self.store.context().name;
        tracing::warn!(%sink, file = %stored.key.path(), %error, "file left out of a search");
        false
    }

    /// A file's footer; `None` when the file is gone.
    fn footer(&self, stored: &Stored) -> Result<Option<Footer>, StoreError> {
        let path = stored.key.path();
        let known = self.footers().get(&path, stored.size);
        if known.is_some() {
            return Ok(known);
        }
        match Footer::read(&self.object(stored)) {
            Ok(footer) => {
                self.footers().put(path, stored.size, footer.clone());
                Ok(Some(footer))
            }
            Err(_) if !self.exists(stored) => Ok(None),
            Err(error) => Err(StoreError::from(error).of(&path)),
        }
    }

    fn object(&self, stored: &Stored) -> Object {
        self.store.files.object(&stored.key.path(), stored.size)
    }

    fn exists(&self, stored: &Stored) -> bool {
        self.store.files.exists(&stored.key.path())
    }

    fn footers(&self) -> std::sync::MutexGuard<'_, Footers> {
        self.shared.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a search goes through.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) files: Vec<Stored>,
}

/// What a row handler answers.
pub(crate) type Step = ControlFlow<()>;

/// Handles one row.
pub(crate) type Each<'a> = dyn FnMut(&Row<'_>) -> Step + 'a;

/// Decoded footers of the files that were read last.
#[derive(Debug, Default)]
struct Footers {
    known: HashMap<Path, Kept>,
    bytes: usize,
    turn: u64,
}

#[derive(Debug)]
struct Kept {
    footer: Footer,
    size: u64,
    used: u64,
    bytes: usize,
}

/// Bytes of decoded footers that are kept.
const MOST_FOOTERS: usize = 8 << 20;

impl Footers {
    fn get(&mut self, path: &Path, size: u64) -> Option<Footer> {
        self.turn += 1;
        // A range that is written again after a crash may replace a file of the same name.
        let kept = self.known.get_mut(path).filter(|kept| kept.size == size)?;
        kept.used = self.turn;
        Some(kept.footer.clone())
    }

    fn put(&mut self, path: Path, size: u64, footer: Footer) {
        self.turn += 1;
        let bytes = footer.memory();
        if let Some(old) = self.known.insert(path, Kept { footer, size, used: self.turn, bytes }) {
            self.bytes -= old.bytes;
        }
        self.bytes += bytes;
        while self.bytes > MOST_FOOTERS {
            let oldest = self.known.iter().min_by_key(|(_, kept)| kept.used).map(|(path, _)| path.clone());
            let Some(kept) = oldest.and_then(|path| self.known.remove(&path)) else { break };
            self.bytes -= kept.bytes;
        }
    }
}
