//! Remote-write 1.0 with private fields → 2.0, for peers that speak it. Nothing is lost on this way.

use std::collections::HashMap;

use super::from_v2::copy_fields;
use super::labels::{self, METRIC_NAME, Pair};
use crate::rw::private;
use crate::walk::{self, Value};
use crate::{WireError, put};

/// Makes a 2.0 request of a 1.0 request with private fields.
///
/// Start times, custom buckets and series metadata return to the places that 2.0 has for them. A metadata entry goes
/// to the series of its family; without any it becomes a series of metadata alone.
pub fn v1_to_v2(plain: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut symbols = Symbols::default();
    symbols.reference(b"");
    let mut families = read_families(plain)?;
    let mut body = Vec::with_capacity(plain.len());
    for field in walk::fields(plain) {
        let field = field?;
        if field.number == 1 {
            series(field.bytes()?, &mut families, &mut symbols, &mut body)?;
        }
    }
    let mut alone: Vec<_> = families.into_iter().filter(|(_, family)| !family.used).collect();
    alone.sort_by_key(|&(name, _)| name);
    for (name, family) in alone {
        let refs = symbols.references(&[(METRIC_NAME, name)]);
        put::message(&mut body, 5, |out| {
            put::bytes(out, 1, &refs);
            family.write(&mut symbols, out);
        });
    }
    let mut out =
        Vec::with_capacity(body.len() + symbols.list.iter().map(|symbol| symbol.len() + 6).sum::<usize>());
    for symbol in &symbols.list {
        put::bytes(&mut out, 4, symbol);
    }
    out.extend_from_slice(&body);
    Ok(out)
}

/// Each text once, by the number under which it is referred to.
#[derive(Default)]
struct Symbols<'a> {
    list: Vec<&'a [u8]>,
    numbers: HashMap<&'a [u8], u32>,
}

impl<'a> Symbols<'a> {
    fn reference(&mut self, symbol: &'a [u8]) -> u32 {
        let list = &mut self.list;
        *self.numbers.entry(symbol).or_insert_with(|| {
            list.push(symbol);
            // A symbol takes two bytes of a body that is far below 4 GiB.
            (list.len() - 1) as u32
        })
    }

    /// The packed references of `labels`.
    fn references(&mut self, labels: &[Pair<'a>]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(labels.len() * 4);
        for &(name, value) in labels {
            put::varint(&mut packed, self.reference(name).into());
            put::varint(&mut packed, self.reference(value).into());
        }
        packed
    }
}

/// A 1.0 `MetricMetadata`, or the private one of a series.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Family<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: u64,
    pub(super) help: &'a [u8],
    pub(super) unit: &'a [u8],
    pub(super) used: bool,
}

impl<'a> Family<'a> {
    pub(super) fn read(metadata: &'a [u8]) -> Result<Self, WireError> {
        let mut family = Self::default();
        for field in walk::fields(metadata) {
            let field = field?;
            match field.number {
                1 => family.kind = field.varint()?,
                2 => family.name = field.bytes()?,
                4 => family.help = field.bytes()?,
                5 => family.unit = field.bytes()?,
                _ => {}
            }
        }
        Ok(family)
    }

    /// Appends the 2.0 `Metadata` to a series.
    fn write(&self, symbols: &mut Symbols<'a>, out: &mut Vec<u8>) {
        let (help, unit) = (symbols.reference(self.help), symbols.reference(self.unit));
        put::message(out, 5, |out| {
            put::uint(out, 1, self.kind);
            put::uint(out, 3, help.into());
            put::uint(out, 4, unit.into());
        });
    }
}

/// The metadata entries of a 1.0 request by family name; the last of a name wins.
pub(super) fn read_families(plain: &[u8]) -> Result<HashMap<&[u8], Family<'_>>, WireError> {
    let mut families = HashMap::new();
    for field in walk::fields(plain) {
        let field = field?;
        if field.number == 3 {
            let family = Family::read(field.bytes()?)?;
            families.insert(family.name, family);
        }
    }
    Ok(families)
}

/// The endings that Prometheus' text formats add to a family's name.
const FAMILY_ENDINGS: [&[u8]; 6] = [b"_total", b"_bucket", b"_count", b"_sum", b"_created", b"_info"];

pub(super) fn find_family<'m, 'a>(
    families: &'m mut HashMap<&'a [u8], Family<'a>>,
    name: &[u8],
) -> Option<&'m mut Family<'a>> {
    let stems = FAMILY_ENDINGS.iter().filter_map(|ending| name.strip_suffix(*ending));
    let found = std::iter::once(name).chain(stems).find(|name| families.contains_key(name))?;
    families.get_mut(found)
}

fn series<'a>(
    series: &'a [u8],
    families: &mut HashMap<&'a [u8], Family<'a>>,
    symbols: &mut Symbols<'a>,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let mut labels = Vec::new();
    let mut metadata = None;
    let (mut samples, mut histograms, mut exemplars) = (Vec::new(), Vec::new(), Vec::new());
    for field in walk::fields(series) {
        let field = field?;
        match field.number {
            1 => labels.push(labels::read(field.bytes()?)?),
            2 => put::message(&mut samples, 2, |out| sample(field.bytes()?, out))?,
            3 => put::message(&mut exemplars, 4, |out| exemplar(field.bytes()?, symbols, out))?,
            4 | private::CUSTOM_HISTOGRAM => {
                put::message(&mut histograms, 3, |out| histogram(field.bytes()?, out))?;
            }
            private::SERIES_METADATA => metadata = Some(Family::read(field.bytes()?)?),
            _ => {}
        }
    }
    let name = labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or(&b""[..], |(_, value)| value);
    if let Some(family) = find_family(families, name) {
        family.used = true;
        metadata = metadata.or(Some(*family));
    }
    let refs = symbols.references(&labels);
    // Samples and histograms must not share a series; exemplars go with the first of them that there is.
    let parts = match (samples.is_empty(), histograms.is_empty()) {
        (false, false) => vec![[samples, exemplars], [histograms, Vec::new()]],
        (true, _) => vec![[histograms, exemplars]],
        (false, true) => vec![[samples, exemplars]],
    };
    for part in parts {
        put::message(out, 5, |out| {
            put::bytes(out, 1, &refs);
            for points in part {
                out.extend_from_slice(&points);
            }
            if let Some(metadata) = metadata {
                metadata.write(symbols, out);
            }
        });
    }
    Ok(())
}

fn sample(sample: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    for field in walk::fields(sample) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Fixed64(bits)) => put::fixed64(out, 1, bits),
            (2, Value::Varint(time)) => put::uint(out, 2, time),
            (private::START, Value::Varint(time)) => put::uint(out, 3, time),
            (1 | 2 | private::START, _) => return Err(WireError::Mismatch(field.number)),
            _ => {}
        }
    }
    Ok(())
}

fn histogram(histogram: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    copy_fields(histogram, 1..=16, out)?;
    for field in walk::fields(histogram) {
        let field = field?;
        if field.number == private::START {
            put::uint(out, 17, field.varint()?);
        }
    }
    Ok(())
}

fn exemplar<'a>(exemplar: &'a [u8], symbols: &mut Symbols<'a>, out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut labels = Vec::new();
    for field in walk::fields(exemplar) {
        let field = field?;
        if field.number == 1 {
            labels.push(labels::read(field.bytes()?)?);
        }
    }
    put::bytes(out, 1, &symbols.references(&labels));
    copy_fields(exemplar, 2..=3, out)
}
