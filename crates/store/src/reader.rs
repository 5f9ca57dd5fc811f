//! The handle for searching. Rows in memory and files are taken from one look at the store, so that every item is seen once
//! even while a range is written or files are merged.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use model::{Signal, TraceId, UnixNanos};
use pipeline::Workers;
use rows::{Chunk, Footer, Row, Subject, Traces};

use crate::StoreError;
use crate::files::Object;
use crate::find::{self, Scan, Scanned, Trace};
use crate::index::Stored;
use crate::kept::Kept;
use crate::names::{self, AttributeKeys, Operations};
use crate::search::{self, Calls, Hits, MOST_CALLING, MOST_ROWS, Search, Texts};
use crate::store::{Store, number, workers};

/// Searches a store. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Reader {
    store: Arc<Store>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    threads: OnceLock<Result<Workers, String>>,
    /// Another thread for log records, so that they are read while the spans of the same request are.
    log_threads: OnceLock<Result<Workers, String>>,
    /// Another thread for searches, so that a look-up by id never waits for one.
    searchers: OnceLock<Result<Workers, String>>,
    footers: Mutex<Kept<Footer>>,
    /// Of each file the index of its traces; `None` for one that has none.
    traces: Mutex<Kept<Option<Traces>>>,
    operations: Mutex<Kept<Arc<Operations>>>,
    keys: Mutex<Kept<Arc<AttributeKeys>>>,
}

/// Bytes that are kept of decoded footers, of indexes of traces, of names and of attribute keys.
const MOST_FOOTERS: usize = 8 << 20;
/// Two bytes a trace and file: enough for thirty million traces, beyond which look-ups read from disk which files to read.
const MOST_TRACES: usize = 64 << 20;
const MOST_NAMES: usize = 8 << 20;
const MOST_KEYS: usize = 4 << 20;

impl Reader {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let shared = Shared {
            threads: OnceLock::new(),
            log_threads: OnceLock::new(),
            searchers: OnceLock::new(),
            footers: Mutex::new(Kept::new(MOST_FOOTERS)),
            traces: Mutex::new(Kept::new(MOST_TRACES)),
            operations: Mutex::new(Kept::new(MOST_NAMES)),
            keys: Mutex::new(Kept::new(MOST_KEYS)),
        };
        Self { store, shared: Arc::new(shared) }
    }

    /// The spans and log records of a trace, what is not in a file yet included. An id and its low 64 bits find each other;
    /// two ids that differ in their upper half never do. All tenants are searched; each row names its own.
    ///
    /// # Errors
    /// The search could not run at all. A file that cannot be read is left out and counted in the answer.
    pub async fn trace(&self, id: TraceId) -> Result<Trace, StoreError> {
        self.request(find::Request { ids: vec![id], ..find::Request::default() }).await
    }

    /// The spans alone of a trace, else as `trace`.
    ///
    /// # Errors
    /// As `trace`.
    pub async fn spans(&self, id: TraceId) -> Result<Trace, StoreError> {
        self.request(find::Request { ids: vec![id], is_of_spans: true, ..find::Request::default() }).await
    }

    /// The ids of traces that `id` may be short for, whether their items are in a file or not, and how many files could not be read. What
    /// it costs is a small part of `trace`.
    ///
    /// # Errors
    /// As `trace`.
    pub async fn ids(&self, id: TraceId) -> Result<(Vec<TraceId>, u64), StoreError> {
        let views = self.look(|state| [Signal::Traces, Signal::Logs].map(state));
        self.run(move |reader| find::ids(reader, id, &views)).await
    }

    /// Everything that is one request, what is not in a file yet included. Of spans that stitching made the highest revision is shown.
    ///
    /// # Errors
    /// As `trace`.
    pub async fn request(&self, request: find::Request) -> Result<Trace, StoreError> {
        let (spans, logs) = self.look(|state| {
            let logs = if request.is_of_spans { View::default() } else { state(Signal::Logs) };
            (state(Signal::Traces), logs)
        });
        if request.is_of_spans {
            return self.run(move |reader| find::spans(reader, &request, &spans)).await;
        }
        let (of_spans, of_logs) = (request.clone(), request);
        let (mut trace, logs) = tokio::try_join!(
            self.run(move |reader| find::spans(reader, &of_spans, &spans)),
            self.run_on(&self.shared.log_threads, "store-logs", move |reader| {
                find::logs(reader, &of_logs, &logs)
            }),
        )?;
        trace.logs = logs.logs;
        trace.copies += logs.copies;
        trace.truncated |= logs.truncated;
        trace.unreadable += logs.unreadable;
        Ok(trace)
    }

    /// The newest items of one signal in a range of time, what is not in a file yet included.
    ///
    /// # Errors
    /// The search could not run at all. A file that cannot be read is left out and counted in the answer.
    pub async fn scan(&self, scan: Scan) -> Result<Scanned, StoreError> {
        let view = self.look(|state| state(scan.signal));
        self.run(move |reader| find::scan(reader, &scan, &view)).await
    }

    /// The traces with the newest spans that pass a filter, what is not in a file yet included.
    ///
    /// # Errors
    /// The search could not run at all. What it could not cover is said in the answer.
    pub async fn search(&self, search: Search) -> Result<Hits, StoreError> {
        let view = self.look(|state| state(Signal::Traces));
        self.run_search(move |reader| search::search(reader, &search, &view, MOST_ROWS)).await
    }

    /// The services that sent spans, and the names of these spans, by the files of these times.
    ///
    /// # Errors
    /// As `search`.
    pub async fn operations(&self, from: UnixNanos, to: UnixNanos) -> Result<Operations, StoreError> {
        let view = self.look(|state| state(Signal::Traces));
        self.run_search(move |reader| names::known(reader, &search::times(from, to), &view, MOST_ROWS)).await
    }

    /// The keys of the attributes that spans and their resources have, by the files of these times.
    ///
    /// # Errors
    /// As `search`.
    pub async fn attribute_keys(&self, from: UnixNanos, to: UnixNanos) -> Result<AttributeKeys, StoreError> {
        let view = self.look(|state| state(Signal::Traces));
        self.run_search(move |reader| names::known(reader, &search::times(from, to), &view, MOST_ROWS)).await
    }

    /// The different texts of `subject` in spans that pass a filter.
    ///
    /// # Errors
    /// As `search`.
    pub async fn texts(&self, subject: Subject, search: Search) -> Result<Texts, StoreError> {
        let view = self.look(|state| state(Signal::Traces));
        self.run_search(move |reader| search::texts(reader, &subject, &search, &view, MOST_ROWS)).await
    }

    /// How often services called each other, by spans whose parent is in the same range of time.
    ///
    /// # Errors
    /// As `search`.
    pub async fn calls(&self, from: UnixNanos, to: UnixNanos) -> Result<Calls, StoreError> {
        let view = self.look(|state| state(Signal::Traces));
        self.run_search(move |reader| search::calls(reader, &search::times(from, to), &view, MOST_CALLING))
            .await
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
    pub(crate) fn look<T>(&self, pick: impl FnOnce(&dyn Fn(Signal) -> View) -> T) -> T {
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
        self.run_on(&self.shared.threads, "store-read", job).await
    }

    async fn run_search<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_on(&self.shared.searchers, "store-search", job).await
    }

    async fn run_on<T: Send + 'static>(
        &self,
        threads: &OnceLock<Result<Workers, String>>,
        name: &str,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.clone();
        Ok(workers(threads, name)?.run(move || job(&reader)).await?)
    }

    /// Calls `read` with an open file. Answers whether it could be read to the end; a file that was deleted meanwhile by
    /// retention is read to its end.
    pub(crate) fn file(
        &self,
        stored: &Stored,
        read: impl FnOnce(rows::File<Object>) -> Result<(), rows::FileError>,
    ) -> bool {
        self.guarded(stored, || {
            let Some(footer) = self.footer(stored)? else { return Ok(()) };
            Ok(read(rows::File::new(self.object(stored), footer))?)
        })
    }

    /// Calls `each` with the rows of a file whose trace id has one of these low halves, and with those at these places, until it breaks. In a
    /// file without an index of traces a row may come twice, and some after the break. Answers as `file`.
    pub(crate) fn rows(
        &self,
        stored: &Stored,
        lows: &[u64],
        places: &[(i64, u64, u32)],
        each: &mut Each<'_>,
    ) -> bool {
        self.guarded(stored, || {
            let index = self.index_of_traces(stored)?;
            let may_hold = |index: &Traces| lows.iter().any(|low| index.may_hold(*low));
            if places.is_empty() && index.as_ref().is_some_and(|index| !may_hold(index)) {
                return Ok(());
            }
            let Some(footer) = self.footer(stored)? else { return Ok(()) };
            let object = self.object(stored);
            let file = rows::File::new(object.clone(), footer);
            let mut numbers = file.places(places)?;
            for low in lows {
                match &index {
                    Some(index) => numbers.extend(index.rows(&object, *low)?),
                    None => file.trace(*low, each)?,
                }
            }
            numbers.sort_unstable();
            numbers.dedup();
            Ok(file.numbered(&numbers, each)?)
        })
    }

    /// Calls `each` with the trace ids in a file that have this low half. Answers as `file`.
    pub(crate) fn ids_in(&self, stored: &Stored, low: u64, each: &mut dyn FnMut([u8; 16])) -> bool {
        self.guarded(stored, || {
            let index = self.index_of_traces(stored)?;
            if index.as_ref().is_some_and(|index| !index.may_hold(low)) {
                return Ok(());
            }
            let Some(footer) = self.footer(stored)? else { return Ok(()) };
            let object = self.object(stored);
            let file = rows::File::new(object.clone(), footer);
            match index {
                Some(index) => file.trace_ids(&index.rows(&object, low)?)?.into_iter().for_each(each),
                None => file.trace(low, &mut |row| {
                    row.trace().into_iter().for_each(&mut *each);
                    ControlFlow::Continue(())
                })?,
            }
            Ok(())
        })
    }

    fn guarded(&self, stored: &Stored, read: impl FnOnce() -> Result<(), StoreError>) -> bool {
        // The Parquet library is not proof against every damaged file; a panic in it is a file that cannot be read.
        let result = catch_unwind(AssertUnwindSafe(read));
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
                let bytes = footer.memory();
                self.footers().put(path, stored.size, footer.clone(), bytes);
                Ok(Some(footer))
            }
            Err(_) if !self.exists(stored) => Ok(None),
            Err(error) => Err(StoreError::from(error).of(&path)),
        }
    }

    /// The index of a file's traces; `None` when it has none, or is gone.
    fn index_of_traces(&self, stored: &Stored) -> Result<Option<Traces>, StoreError> {
        let path = stored.key.path();
        if let Some(known) = self.kept_traces().get(&path, stored.size) {
            return Ok(known);
        }
        let Some(footer) = self.footer(stored)? else { return Ok(None) };
        let read = Traces::read(&self.object(stored), &footer);
        let index = read.map_err(|error| StoreError::from(error).of(&path))?;
        let bytes = index.as_ref().map_or(0, Traces::memory) + path.as_ref().len();
        self.kept_traces().put(path, stored.size, index.clone(), bytes);
        Ok(index)
    }

    fn object(&self, stored: &Stored) -> Object {
        self.store.files.object(&stored.key.path(), stored.size)
    }

    fn exists(&self, stored: &Stored) -> bool {
        self.store.files.exists(&stored.key.path())
    }

    fn footers(&self) -> MutexGuard<'_, Kept<Footer>> {
        self.shared.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_traces(&self) -> MutexGuard<'_, Kept<Option<Traces>>> {
        self.shared.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn operations_kept(&self) -> MutexGuard<'_, Kept<Arc<Operations>>> {
        self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keys_kept(&self) -> MutexGuard<'_, Kept<Arc<AttributeKeys>>> {
        self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a search goes through.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) files: Vec<Stored>,
}

/// What a row handler answers.
pub(crate) type Step = ControlFlow<()>;

/// Handles one row.
pub(crate) type Each<'a> = dyn FnMut(&Row<'_>) -> Step + 'a;
