//! Records on their way: late, shuffled, repeated, in batches of any size, through `normalize` into an engine that is stopped and
//! opened again at any point.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::path::Path;

use bytes::Bytes;
use fastrand::Rng;
use model::{Origin, Signal, Source, Tenant, UnixNanos};
use normalize::{Hint, Input, Message, RawInput, Shape, WireInput, normalize};
use stitch::engine::{Engine, Found, Options, Piece, Sought};
use wire::Coding;
use wire::coding::{Ceiling, inflate};
use wire::otlp::AnyValue;

use crate::case::{Case, Hop};
use crate::draw::{MILLI, SECOND};
use crate::listen::{Listener, Shown};
use crate::mark::Mark;
use crate::{kong_log, logpush, spans};

/// The tenants' names.
const TENANTS: [&str; 2] = ["default", "other"];
/// How late records may be.
const LATE: u64 = 1800 * SECOND;
/// How long after it first came a record comes again, and how long after that a whole batch. All three together stay below the hour for which
/// stitching promises to know what came before.
const AGAIN: u64 = 600 * SECOND;

/// Everything that can be seen at the end.
#[derive(Debug, Default)]
pub struct Seen {
    /// Spans by tenant, trace and id.
    pub told: HashMap<(u8, u128, u64), Shown>,
    /// Of each log record that look-up shows: tenant, trace looked for, and the span that it is shown with.
    pub rows: Vec<(Mark, (u8, u128, u128, u64))>,
    /// Records of which any copy is shown.
    pub found: HashSet<Mark>,
    /// Requests of which an id of a record's own does not lead to the record.
    pub lost: HashSet<u32>,
    /// Other ids by which a trace is found, by tenant.
    pub aliases: HashMap<(u8, u128), Vec<u128>>,
    /// The parents with which look-up shows received spans, by tenant, trace and id.
    pub parents: HashMap<(u8, u128, u64), u64>,
    /// Requests of which a span took the id and trace of another one's.
    pub doubled: Vec<u32>,
    /// What the engine counted: records taken in, copies, records for which there was no room, spans told, revised, withdrawn.
    pub counts: [u64; 6],
    /// How often the engine was opened.
    pub opened: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Http,
    Worker,
    Kong,
    Otlp,
}

/// A record and when it comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    arrival: std::cmp::Reverse<u64>,
    order: u64,
    tenant: u8,
    kind: Kind,
    bytes: Vec<u8>,
}

/// A frame of the journal.
#[derive(Debug)]
struct Frame {
    tenant: u8,
    items: u32,
    plain: Vec<u8>,
    is_derived: bool,
}

/// A log of the journal: frames from `first` on.
#[derive(Debug)]
struct Log {
    first: u64,
    frames: VecDeque<Frame>,
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }
}

/// The rays and request ids of what was recorded of a request, and the record that each has to lead to.
fn own_names(case: &Case) -> Vec<(String, Option<(u8, Mark)>)> {
    let mark = |hop| Some((case.tenant, Mark { serial: case.serial, hop }));
    let ray = |ray: u64| format!("{ray:016x}");
    let edge = case.edge.iter().filter(|edge| edge.is_recorded);
    let runs = case.runs.iter().enumerate().filter(|(_, run)| run.is_recorded);
    let fetches = case.fetches.iter().enumerate().filter(|(_, fetch)| fetch.is_recorded);
    let kongs = case.kongs.iter().enumerate().filter(|(_, kong)| kong.is_recorded);
    edge.map(|edge| (ray(edge.ray) + "-HAN", mark(Hop::Edge)))
        .chain(runs.map(|(at, run)| (ray(run.ray), mark(Hop::Run(at as u8)))))
        .chain(fetches.map(|(at, fetch)| (ray(fetch.ray), mark(Hop::Fetch(at as u8)))))
        .chain(kongs.filter_map(|(at, kong)| Some((format!("{:032x}", kong.id?), mark(Hop::Kong(at as u8))))))
        .collect()
}

fn tenant_of(found: &Found) -> u8 {
    u8::from(found.tenant.as_ref().is_some_and(|tenant| tenant.as_str() == TENANTS[1]))
}

/// Feeds an engine in `folder`.
pub struct Feeder<'a> {
    folder: &'a Path,
    rng: Rng,
    engine: Option<Engine>,
    coming: BinaryHeap<Item>,
    order: u64,
    waiting: Vec<(u8, Kind, Vec<Vec<u8>>)>,
    /// Whole batches that will be sent again.
    again: Vec<(u64, u8, Kind, Vec<u8>)>,
    logs: [Log; 2],
    /// Marks of the items of log frames, by place.
    marks: HashMap<(u64, u32), Mark>,
    /// The highest number of what the journal has.
    number: u64,
    told: Listener,
    seen: Seen,
    since: u32,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn place(signal: Signal) -> usize {
    usize::from(signal == Signal::Traces)
}

impl<'a> Feeder<'a> {
    /// Opens an engine.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn new(folder: &'a Path, seed: u64) -> Result<Self, String> {
        let log = || Log { first: 1, frames: VecDeque::new() };
        let mut feeder = Self {
            folder,
            rng: Rng::with_seed(seed ^ 0x5eed),
            engine: None,
            coming: BinaryHeap::new(),
            order: 0,
            waiting: Vec::new(),
            again: Vec::new(),
            logs: [log(), log()],
            marks: HashMap::new(),
            number: 0,
            told: Listener::default(),
            seen: Seen::default(),
            since: 0,
        };
        feeder.open()?;
        Ok(feeder)
    }

    fn open(&mut self) -> Result<(), String> {
        if let Some(engine) = self.engine.take() {
            let counts = engine.counts();
            let all =
                [counts.facts, counts.copies, counts.crowded, counts.told, counts.revised, counts.withdrawn];
            self.seen.counts.iter_mut().zip(all).for_each(|(sum, one)| *sum += one);
        }
        self.seen.opened += 1;
        self.engine = Some(Engine::open(self.folder, Options::default()).map_err(text)?);
        Ok(())
    }

    fn engine(&mut self) -> Result<&mut Engine, String> {
        self.engine.as_mut().ok_or_else(|| "the engine is closed".to_owned())
    }

    /// Sends the records of a request on their way.
    pub fn send(&mut self, case: &Case, at: u64) {
        let mut records: Vec<(Kind, Vec<u8>)> = Vec::new();
        let jobs = if case.is_sent_twice { 2 } else { 1 };
        for job in 0..jobs {
            records
                .extend(logpush::rows(case, job > 0).into_iter().map(|row| (Kind::Http, row.into_bytes())));
        }
        for (at, run) in case.runs.iter().enumerate() {
            if run.is_recorded {
                records.push((Kind::Worker, logpush::run(case, at, run).into_bytes()));
            }
            if let Some(own) = &run.native {
                records.push((Kind::Otlp, spans::native(case, run, own)));
            }
        }
        for (at, kong) in case.kongs.iter().enumerate() {
            if kong.is_recorded {
                let mark = Mark { serial: case.serial, hop: Hop::Kong(at as u8) };
                records.push((Kind::Kong, kong_log::record(case, at as u8, kong, mark).into_bytes()));
            }
            if let Some(own) = &kong.exported {
                records.push((Kind::Otlp, spans::kong(kong, own)));
            }
        }
        records.extend(case.calls.iter().flat_map(spans::call).map(|spans| (Kind::Otlp, spans)));
        for (kind, bytes) in records {
            let delay = match kind {
                _ if self.rng.u8(..40) == 0 => self.rng.u64(..LATE),
                Kind::Http | Kind::Worker => self.rng.u64(30 * SECOND..300 * SECOND),
                Kind::Kong => self.rng.u64(..5 * SECOND),
                Kind::Otlp => self.rng.u64(SECOND..10 * SECOND),
            };
            let copies = if self.rng.u8(..33) == 0 { 2 } else { 1 };
            for copy in 0..copies {
                let more = if copy == 0 { 0 } else { self.rng.u64(..AGAIN) };
                self.order += 1;
                // What comes at one time comes in any order.
                let order = self.order ^ self.rng.u64(..16);
                let arrival = std::cmp::Reverse((at + delay + more) / (500 * MILLI) * (500 * MILLI));
                self.coming.push(Item { arrival, order, tenant: case.tenant, kind, bytes: bytes.clone() });
            }
        }
    }

    /// Feeds everything that comes before `until`.
    ///
    /// # Errors
    /// The engine cannot go on, or a record is refused.
    pub fn run(&mut self, until: u64) -> Result<(), String> {
        while self.coming.peek().is_some_and(|item| item.arrival.0 <= until) {
            let Some(Item { arrival, tenant, kind, bytes, .. }) = self.coming.pop() else { break };
            let now = arrival.0;
            let at = self.waiting.iter().position(|(of, is, _)| (*of, *is) == (tenant, kind));
            let at = at.unwrap_or_else(|| {
                self.waiting.push((tenant, kind, Vec::new()));
                self.waiting.len() - 1
            });
            self.waiting[at].2.push(bytes);
            let most = 1 + self.rng.usize(..60);
            if self.waiting[at].2.len() >= most {
                let records = std::mem::take(&mut self.waiting[at].2);
                self.batch(tenant, kind, &records, now)?;
            }
            if let Some(at) = self.again.iter().position(|(due, ..)| *due <= now) {
                let (_, tenant, kind, body) = self.again.swap_remove(at);
                self.append(tenant, kind, body, now)?;
            }
        }
        Ok(())
    }

    fn batch(&mut self, tenant: u8, kind: Kind, records: &[Vec<u8>], now: u64) -> Result<(), String> {
        let body = match kind {
            Kind::Otlp => records.concat(),
            Kind::Kong if records.len() == 1 => records[0].clone(),
            Kind::Kong => [b"[".as_slice(), &records.join(&b","[..]), b"]"].concat(),
            Kind::Http | Kind::Worker => records.join(&b"\n"[..]),
        };
        if self.rng.u8(..50) == 0 {
            self.again.push((now + self.rng.u64(..AGAIN), tenant, kind, body.clone()));
        }
        self.append(tenant, kind, body, now)
    }

    fn append(&mut self, tenant: u8, kind: Kind, body: Vec<u8>, now: u64) -> Result<(), String> {
        let origin = Origin {
            tenant: Tenant::new(TENANTS[usize::from(tenant)]).ok_or("a tenant's name is refused")?,
            source: Source::new("truth").ok_or("the source's name is refused")?,
        };
        let bytes = Bytes::from(body);
        let raw = |shape| {
            let hint = Hint { shape, ..Hint::default() };
            Input::Raw(RawInput { origin: origin.clone(), hint, bytes: bytes.clone() })
        };
        let (signal, input) = match kind {
            Kind::Http | Kind::Worker => (Signal::Logs, raw(Shape::Logpush)),
            Kind::Kong => (Signal::Logs, raw(Shape::Kong)),
            Kind::Otlp => {
                let message = Message::Otlp(Signal::Traces);
                let (body, plain, coding) = (bytes.clone(), bytes.clone(), Coding::Plain);
                (Signal::Traces, Input::Wire(WireInput { origin, message, coding, body, plain }))
            }
        };
        let normalized = normalize(input, UnixNanos(now)).map_err(text)?;
        if let Some(rejected) = normalized.rejected.first() {
            return Err(format!("a record is refused: {}", rejected.message));
        }
        let Some(batch) = normalized.batch else { return Ok(()) };
        let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(256 << 20)).map_err(text)?;
        if signal == Signal::Logs {
            self.mark(&plain)?;
        }
        let frame = Frame { tenant, items: batch.items, plain, is_derived: false };
        self.logs[place(signal)].frames.push_back(frame);
        self.step(now)
    }

    fn mark(&mut self, plain: &[u8]) -> Result<(), String> {
        let offset = self.logs[place(Signal::Logs)].end();
        let mut index = 0;
        wire::otlp::logs::each_record(plain, |_, _, record| {
            for pair in record.attributes() {
                let pair = pair?;
                if let ("user_agent.original" | "faas.version", AnyValue::Str(text)) = (pair.key, pair.value)
                    && let Some(mark) = Mark::read(text)
                {
                    self.marks.insert((offset, index), mark);
                }
            }
            index += 1;
            Ok(())
        })
        .map_err(text)
    }

    /// Now and then: the engine reads, takes a turn, gives what it has, is stopped and opened again.
    fn step(&mut self, now: u64) -> Result<(), String> {
        self.since += 1;
        if self.since < 3 || self.rng.u8(..3) > 0 {
            return Ok(());
        }
        self.read(now)?;
        if self.since >= 12 || self.rng.u8(..8) == 0 {
            self.since = 0;
            self.turn(now)?;
        }
        if self.rng.u16(..400) == 0 {
            self.open()?;
        }
        Ok(())
    }

    fn read(&mut self, now: u64) -> Result<(), String> {
        let most = self.rng.u32(1..200);
        let engine = self.engine.as_mut().ok_or("the engine is closed")?;
        for signal in [Signal::Logs, Signal::Traces] {
            let log = &self.logs[place(signal)];
            let reached = engine.reached(signal).offset.max(log.first);
            for (offset, frame) in
                (reached..log.end()).zip(log.frames.iter().skip((reached - log.first) as usize))
            {
                let tenant =
                    Tenant::new(TENANTS[usize::from(frame.tenant)]).ok_or("a tenant's name is refused")?;
                let mut first = 0;
                while first < frame.items {
                    let items = first..frame.items.min(first + most);
                    first = items.end;
                    let (is_whole, is_derived) = (items.end == frame.items, frame.is_derived);
                    let (tenant, plain) = (&tenant, &frame.plain);
                    engine
                        .feed(
                            &Piece { signal, tenant, offset, items, is_whole, is_derived, plain },
                            UnixNanos(now),
                        )
                        .map_err(text)?;
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self, now: u64) -> Result<(), String> {
        let gives = self.rng.u8(..4) > 0;
        let tells = self.rng.u8(..4) > 0;
        self.engine()?.turn(UnixNanos(now)).map_err(text)?;
        // What is on disk is not asked for again.
        for signal in [Signal::Logs, Signal::Traces] {
            let reached = self.engine()?.reached(signal).offset;
            let log = &mut self.logs[place(signal)];
            while log.first < reached && log.frames.pop_front().is_some() {
                log.first += 1;
            }
        }
        if gives { self.give(tells) } else { Ok(()) }
    }

    /// Gives the journal what the engine has for it. `tells` is whether the engine learns of it.
    fn give(&mut self, tells: bool) -> Result<(), String> {
        let batches = self.engine()?.outgoing(Signal::Traces, usize::MAX).map_err(text)?;
        for batch in batches {
            let number = batch.number;
            if number > self.number {
                self.number = number;
                let tenant = u8::from(batch.tenant.as_str() == TENANTS[1]);
                let batch = batch.batch(UnixNanos(0));
                let most = Ceiling::bytes(batch.plain_len as usize);
                self.told.listen(tenant, &inflate(batch.coding, &batch.body, most).map_err(text)?)?;
                let frame = Frame { tenant, items: batch.items, plain: Vec::new(), is_derived: true };
                self.logs[place(Signal::Traces)].frames.push_back(frame);
            }
            if tells {
                self.engine()?.given(Signal::Traces, number);
            }
        }
        // What is counted is judged elsewhere; it only must not wait.
        let counted = self.engine()?.outgoing(Signal::Metrics, usize::MAX).map_err(text)?;
        if let Some(last) = counted.last() {
            self.engine()?.given(Signal::Metrics, last.number);
        }
        Ok(())
    }

    /// Feeds the rest, and looks at everything.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn finish(mut self, end: u64, cases: &[Case]) -> Result<Seen, String> {
        self.run(u64::MAX)?;
        let last = end + 2 * LATE + 600 * SECOND;
        for (tenant, kind, records) in std::mem::take(&mut self.waiting) {
            if !records.is_empty() {
                self.batch(tenant, kind, &records, last)?;
            }
        }
        for (_, tenant, kind, body) in std::mem::take(&mut self.again) {
            self.append(tenant, kind, body, last)?;
        }
        self.read(last)?;
        self.engine()?.turn(UnixNanos(last + 60 * SECOND)).map_err(text)?;
        self.give(true)?;
        (self.seen.told, self.seen.doubled) = std::mem::take(&mut self.told).finish();
        self.look(cases)?;
        self.engine()?.turn(UnixNanos(last + 61 * SECOND)).map_err(text)?;
        self.open()?;
        Ok(self.seen)
    }

    /// Looks up every request by the ids of which it may be known.
    fn look(&mut self, cases: &[Case]) -> Result<(), String> {
        let told = self.seen.told.keys().map(|(_, trace, _)| *trace);
        let mut traces: Vec<u128> = told.chain(cases.iter().flat_map(Case::traces)).collect();
        traces.sort_unstable();
        traces.dedup();
        let mut names: Vec<(String, Option<(u8, Mark)>)> =
            traces.into_iter().map(|trace| (format!("{trace:032x}"), None)).collect();
        names.extend(cases.iter().flat_map(own_names));
        for (name, of) in names {
            let all = self.engine()?.look(&Sought::read(&name)).map_err(text)?;
            let shows = |found: &Found, (tenant, mark): (u8, Mark)| {
                let marks = || found.rows.iter().map(|(row, ..)| self.marks.get(&(row.offset, row.index)));
                tenant_of(found) == tenant && marks().any(|of| of == Some(&mark))
            };
            if let Some(of) = of.filter(|of| !all.iter().any(|found| shows(found, *of))) {
                self.seen.lost.insert(of.1.serial);
            }
            for found in all {
                let canonical = u128::from_be_bytes(found.canonical);
                let tenant = tenant_of(&found);
                let aliases = found.aliases.iter().map(|alias| u128::from_be_bytes(*alias)).collect();
                if self.seen.aliases.insert((tenant, canonical), aliases).is_some() {
                    continue;
                }
                for (trace, span, parent) in found.parents {
                    let key = (tenant, u128::from_be_bytes(trace), u64::from_be_bytes(span));
                    self.seen.parents.insert(key, u64::from_be_bytes(parent));
                }
                for (row, trace, span) in found.rows {
                    let Some(mark) = self.marks.get(&(row.offset, row.index)) else { continue };
                    self.seen.found.insert(*mark);
                    let shown = (tenant, canonical, u128::from_be_bytes(trace), u64::from_be_bytes(span));
                    self.seen.rows.push((*mark, shown));
                }
            }
        }
        Ok(())
    }
}
