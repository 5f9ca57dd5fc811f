//! Remote-write 2.0 → 1.0 with private fields. Symbols are written out once per series: points that came under the
//! same labels are gathered first, because real senders repeat the labels with every point.

use std::borrow::Cow;
use std::collections::HashMap;

use super::check::{Checked, Rejected, reject};
use super::histogram::{CUSTOM, Histogram, varints};
use super::labels::{self, Fault, METRIC_NAME, Pair};
use super::limits::{LABELS, MATERIALISED_BYTES, SERIES, SYMBOLS};
use crate::Counts;
use crate::rw::private;
use crate::walk::{self, Value};
use crate::{WireError, put};

/// Makes a 1.0 request with private fields of a 2.0 request.
///
/// A series whose labels break a rule, or that mixes samples with histograms, is left out and named; so is a single
/// histogram or exemplar. A start time of the series (field 6 of early drafts) goes to each point without its own.
/// A series of metadata alone becomes a metadata entry. Fails when the bytes are no protobuf message or hold more
/// symbols than `limits::SYMBOLS`.
pub fn v2_to_v1(plain: &[u8]) -> Result<Checked<'static>, WireError> {
    let symbols = read_symbols(plain)?;
    let mut groups = Groups { symbols: &symbols, by_refs: HashMap::new(), list: Vec::new(), materialised: 0 };
    let mut rejected = Vec::new();
    let mut entries = Vec::new();
    let mut index = 0;
    for field in walk::fields(plain) {
        let field = field?;
        if field.number != 5 {
            continue;
        }
        let entry = Entry::read(field.bytes()?, index)?;
        index += 1;
        match groups.place(&entry) {
            Ok(group) => entries.push((group, entry)),
            Err((group, fault)) => {
                let labels = group.map_or(&[][..], |group| &groups.list[group].labels);
                reject(&mut rejected, entry.index, labels, fault);
            }
        }
    }
    entries.sort_by_key(|&(group, _)| group);
    let mut writer = Writer {
        symbols: &symbols,
        materialised: groups.materialised,
        out: Vec::with_capacity(plain.len() * 2),
        tally: Counts::default(),
        rejected,
    };
    for members in entries.chunk_by(|a, b| a.0 == b.0) {
        writer.group(&groups.list[members[0].0].labels, members)?;
    }
    writer.rejected.sort_by_key(|rejected| rejected.index);
    Ok(Checked { bytes: Cow::Owned(writer.out), tally: writer.tally, rejected: writer.rejected })
}

fn read_symbols(plain: &[u8]) -> Result<Vec<&[u8]>, WireError> {
    let mut symbols = Vec::new();
    for field in walk::fields(plain) {
        let field = field?;
        if field.number == 4 {
            if symbols.len() == SYMBOLS {
                return Err(WireError::TooMany(SYMBOLS));
            }
            symbols.push(field.bytes()?);
        }
    }
    Ok(symbols)
}

/// One `TimeSeries` of the request.
struct Entry<'a> {
    index: u32,
    raw: &'a [u8],
    refs: Vec<u32>,
    samples: bool,
    histograms: bool,
    exemplars: bool,
    /// Milliseconds; 0 is none.
    start: i64,
    metadata: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    fn read(raw: &'a [u8], index: u32) -> Result<Self, WireError> {
        let mut entry = Self {
            index,
            raw,
            refs: Vec::new(),
            samples: false,
            histograms: false,
            exemplars: false,
            start: 0,
            metadata: None,
        };
        for field in walk::fields(raw) {
            let field = field?;
            match field.number {
                1 => read_refs(&field, &mut entry.refs)?,
                2 => entry.samples = true,
                3 => entry.histograms = true,
                4 => entry.exemplars = true,
                5 => entry.metadata = Some(field.bytes()?),
                6 => entry.start = field.varint()? as i64,
                _ => {}
            }
        }
        Ok(entry)
    }
}

/// Appends references; the rest beyond one over the limit of labels is passed over, for it will be refused.
fn read_refs(field: &walk::Field<'_>, refs: &mut Vec<u32>) -> Result<(), WireError> {
    varints(field, |value| {
        if refs.len() <= 2 * LABELS {
            refs.push(u32::try_from(value).unwrap_or(u32::MAX));
        }
    })
}

/// The distinct label sets, in order of appearance.
struct Groups<'a, 's> {
    symbols: &'s [&'a [u8]],
    /// By references and flavour: samples and histograms of one series must not share a `TimeSeries`.
    by_refs: HashMap<(Vec<u32>, bool), usize>,
    list: Vec<Group<'a>>,
    materialised: usize,
}

struct Group<'a> {
    labels: Vec<Pair<'a>>,
    fault: Option<Fault>,
}

impl<'a> Groups<'a, '_> {
    /// The group of the entry's labels, or why the entry is refused, with the group where it has one.
    fn place(&mut self, entry: &Entry<'_>) -> Result<usize, (Option<usize>, Fault)> {
        if entry.index >= SERIES {
            return Err((
                None,
                ("series_limit", format!("the request exceeds the limit of {SERIES} series")),
            ));
        }
        let key = (entry.refs.clone(), entry.histograms);
        let group = match self.by_refs.get(&key) {
            Some(&group) => group,
            None => {
                let group = self.resolve(&entry.refs);
                self.list.push(group);
                self.by_refs.insert(key, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        if let Some(fault) = &self.list[group].fault {
            return Err((Some(group), fault.clone()));
        }
        if entry.samples && entry.histograms {
            return Err((Some(group), ("mixed", "samples and histograms share a series".into())));
        }
        Ok(group)
    }

    fn resolve(&mut self, refs: &[u32]) -> Group<'a> {
        let mut labels = match resolve(self.symbols, refs) {
            Ok(labels) => labels,
            Err(fault) => return Group { labels: Vec::new(), fault: Some(fault) },
        };
        let fault = match labels::settle(&mut labels) {
            Err(fault) => Some(fault),
            Ok(_) => {
                let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
                self.materialised += bytes;
                (self.materialised > MATERIALISED_BYTES).then(amplification)
            }
        };
        Group { labels, fault }
    }
}

fn amplification() -> Fault {
    (
        "amplification",
        format!("the labels of the request written out exceed the limit of {MATERIALISED_BYTES} bytes"),
    )
}

/// The labels that `refs` name.
fn resolve<'a>(symbols: &[&'a [u8]], refs: &[u32]) -> Result<Vec<Pair<'a>>, Fault> {
    if refs.len() > 2 * LABELS {
        return Err(("labels_limit", format!("more than {LABELS} labels")));
    }
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(("refs", format!("{} label references are odd", refs.len())));
    }
    pairs.iter().map(|&[name, value]| Ok((symbol(symbols, name)?, symbol(symbols, value)?))).collect()
}

fn symbol<'a>(symbols: &[&'a [u8]], reference: u32) -> Result<&'a [u8], Fault> {
    let text = symbols.get(reference as usize).copied();
    text.ok_or_else(|| {
        ("refs", format!("label reference {reference} is beyond the {} symbols", symbols.len()))
    })
}

/// Writes the groups out.
struct Writer<'a, 's> {
    symbols: &'s [&'a [u8]],
    materialised: usize,
    out: Vec<u8>,
    tally: Counts,
    rejected: Vec<Rejected>,
}

impl<'a> Writer<'a, '_> {
    fn group(&mut self, labels: &[Pair<'a>], members: &[(usize, Entry<'a>)]) -> Result<(), WireError> {
        let mut metadata = None;
        for (_, entry) in members {
            if let Some(raw) = entry.metadata {
                match self.metadata(raw)? {
                    Ok(found) => metadata = found.or(metadata),
                    Err(fault) => reject(&mut self.rejected, entry.index, labels, fault),
                }
            }
        }
        let mut body = Vec::new();
        let before = self.tally;
        for (_, entry) in members {
            self.points(entry, labels, &mut body)?;
        }
        if self.tally != before {
            put::message(&mut self.out, 1, |out| {
                for &pair in labels {
                    labels::write(out, 1, pair);
                }
                out.extend_from_slice(&body);
                if let Some(metadata) = metadata {
                    put::message(out, private::SERIES_METADATA, |out| metadata.write(out, None));
                }
            });
        } else if let Some(metadata) = metadata
            && let Some((_, family)) = labels.iter().find(|(name, _)| *name == METRIC_NAME)
        {
            put::message(&mut self.out, 3, |out| metadata.write(out, Some(family)));
            self.tally.metadata += 1;
        }
        Ok(())
    }

    fn points(&mut self, entry: &Entry<'a>, labels: &[Pair<'a>], out: &mut Vec<u8>) -> Result<(), WireError> {
        for field in walk::fields(entry.raw) {
            let field = field?;
            match field.number {
                2 => {
                    let sample = field.bytes()?;
                    put::message(out, 2, |out| write_sample(sample, entry.start, out))?;
                    self.tally.samples += 1;
                }
                3 => {
                    let raw = field.bytes()?;
                    let histogram = Histogram::read(raw)?;
                    if let Err(text) = histogram.check() {
                        reject(&mut self.rejected, entry.index, labels, ("histogram", text));
                        continue;
                    }
                    let number = if histogram.schema == CUSTOM { private::CUSTOM_HISTOGRAM } else { 4 };
                    put::message(out, number, |out| write_histogram(raw, &histogram, entry.start, out))?;
                    self.tally.histograms += 1;
                }
                4 => match self.exemplar(field.bytes()?, out)? {
                    Ok(()) => self.tally.exemplars += 1,
                    Err(fault) => reject(&mut self.rejected, entry.index, labels, fault),
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn exemplar(&mut self, exemplar: &[u8], out: &mut Vec<u8>) -> Result<Result<(), Fault>, WireError> {
        let mut refs = Vec::new();
        for field in walk::fields(exemplar) {
            let field = field?;
            match field.number {
                1 => read_refs(&field, &mut refs)?,
                2 => drop(field.fixed64()?),
                3 => drop(field.varint()?),
                _ => {}
            }
        }
        let labels = match resolve(self.symbols, &refs) {
            Ok(labels) => labels,
            Err(fault) => return Ok(Err(fault)),
        };
        for &(name, value) in &labels {
            self.materialised += name.len() + value.len() + 8;
            if let Err(fault) = labels::check_pair(name, value) {
                return Ok(Err(fault));
            }
        }
        if self.materialised > MATERIALISED_BYTES {
            return Ok(Err(amplification()));
        }
        put::message(out, 3, |out| {
            for pair in labels {
                labels::write(out, 1, pair);
            }
            copy_fields(exemplar, 2..=3, out)
        })?;
        Ok(Ok(()))
    }

    /// Reads a series' metadata; `None` when it says nothing.
    fn metadata(&mut self, raw: &[u8]) -> Result<Result<Option<Metadata<'a>>, Fault>, WireError> {
        let (mut kind, mut help, mut unit) = (0, 0, 0);
        for field in walk::fields(raw) {
            let field = field?;
            match field.number {
                1 => kind = field.varint()?,
                3 => help = field.varint()?,
                4 => unit = field.varint()?,
                _ => {}
            }
        }
        let text = |reference: u64| match reference {
            0 => Ok(&b""[..]),
            _ => {
                let text = symbol(self.symbols, u32::try_from(reference).unwrap_or(u32::MAX))?;
                match simdutf8::basic::from_utf8(text) {
                    Ok(_) => Ok(text),
                    Err(_) => Err(("utf8", format!("symbol {reference} of the metadata is not UTF-8"))),
                }
            }
        };
        let metadata = match (text(help), text(unit)) {
            (Ok(help), Ok(unit)) => Metadata { kind, help, unit },
            (Err(fault), _) | (_, Err(fault)) => return Ok(Err(fault)),
        };
        if metadata.kind == 0 && metadata.help.is_empty() && metadata.unit.is_empty() {
            return Ok(Ok(None));
        }
        self.materialised += metadata.help.len() + metadata.unit.len();
        Ok(if self.materialised > MATERIALISED_BYTES { Err(amplification()) } else { Ok(Some(metadata)) })
    }
}

#[derive(Clone, Copy)]
struct Metadata<'a> {
    kind: u64,
    help: &'a [u8],
    unit: &'a [u8],
}

impl Metadata<'_> {
    /// Appends the fields of a 1.0 `MetricMetadata`, without a family when it stands inside its series.
    fn write(&self, out: &mut Vec<u8>, family: Option<&[u8]>) {
        put::uint(out, 1, self.kind);
        if let Some(family) = family {
            put::bytes(out, 2, family);
        }
        put::bytes(out, 4, self.help);
        put::bytes(out, 5, self.unit);
    }
}

fn write_sample(sample: &[u8], series_start: i64, out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut start = 0;
    for field in walk::fields(sample) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Fixed64(bits)) => put::fixed64(out, 1, bits),
            (2, Value::Varint(time)) => put::uint(out, 2, time),
            (3, Value::Varint(time)) => start = time as i64,
            (1..=3, _) => return Err(WireError::Mismatch(field.number)),
            _ => {}
        }
    }
    write_start(if start == 0 { series_start } else { start }, out);
    Ok(())
}

fn write_histogram(
    raw: &[u8],
    histogram: &Histogram,
    series_start: i64,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    copy_fields(raw, 1..=16, out)?;
    // A private field that the sender made up is no start time: only its own field 17 counts.
    let own = if histogram.private { own_start(raw)? } else { histogram.start };
    write_start(if own == 0 { series_start } else { own }, out);
    Ok(())
}

fn own_start(raw: &[u8]) -> Result<i64, WireError> {
    let mut start = 0;
    for field in walk::fields(raw) {
        let field = field?;
        if field.number == 17 {
            start = field.varint()? as i64;
        }
    }
    Ok(start)
}

fn write_start(start: i64, out: &mut Vec<u8>) {
    if start != 0 {
        put::uint(out, private::START, start as u64);
    }
}

/// Copies the fields of these numbers, in order.
pub(super) fn copy_fields(
    message: &[u8],
    numbers: std::ops::RangeInclusive<u32>,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    for field in walk::fields(message) {
        let field = field?;
        if numbers.contains(&field.number) {
            out.extend_from_slice(&message[field.start..field.end]);
        }
    }
    Ok(())
}
