//! The rules of a series' labels (remote-write 2.0 specification, "Labels"): sorted by bytes, no empty value, no
//! name twice, a metric name, UTF-8 throughout. What can be set right is; the rest rejects the series.

use super::limits::{LABELS, NAME_BYTES, VALUE_BYTES};
use crate::walk::{self, Value};
use crate::{WireError, put};

/// Name and value, not yet known to be UTF-8.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// The label that holds the metric's name.
pub(super) const METRIC_NAME: &[u8] = b"__name__";

/// A reason from the closed set, and what is wrong.
pub(super) type Fault = (&'static str, String);

/// Reads a 1.0 `Label`.
pub(super) fn read(label: &[u8]) -> Result<Pair<'_>, WireError> {
    let (mut name, mut value) = (&[][..], &[][..]);
    for field in walk::fields(label) {
        let field = field?;
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Appends a 1.0 `Label` as `field`.
pub(super) fn write(out: &mut Vec<u8>, field: u32, (name, value): Pair<'_>) {
    let content = 2
        + put::varint_len(name.len() as u64)
        + name.len()
        + put::varint_len(value.len() as u64)
        + value.len();
    put::varint(out, u64::from(field) << 3 | 2);
    put::varint(out, content as u64);
    put::bytes(out, 1, name);
    put::bytes(out, 2, value);
}

/// Sorts `labels`, drops those without a value, and checks what is left. Answers whether anything changed.
pub(super) fn settle(labels: &mut Vec<Pair<'_>>) -> Result<bool, Fault> {
    if labels.len() > LABELS {
        return Err(("labels_limit", format!("{} labels exceed the limit of {LABELS}", labels.len())));
    }
    for &(name, value) in &*labels {
        check_pair(name, value)?;
    }
    let before = labels.len();
    labels.retain(|(_, value)| !value.is_empty());
    let mut changed = labels.len() != before;
    if !labels.is_sorted_by(|a, b| a.0 <= b.0) {
        labels.sort_by(|a, b| a.0.cmp(b.0));
        changed = true;
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(("label_duplicate", format!("label {} comes twice", quoted(pair[0].0))));
    }
    if !labels.iter().any(|(name, _)| *name == METRIC_NAME) {
        return Err(("metric_name", "there is no label __name__ with a value".into()));
    }
    Ok(changed)
}

/// The rules of one label alone; exemplars' labels know no others.
pub(super) fn check_pair(name: &[u8], value: &[u8]) -> Result<(), Fault> {
    if simdutf8::basic::from_utf8(name).is_err() || simdutf8::basic::from_utf8(value).is_err() {
        return Err(("utf8", format!("label {} is not UTF-8", quoted(name))));
    }
    if name.is_empty() {
        return Err(("label_name", format!("the label with the value {} has no name", quoted(value))));
    }
    if name.len() > NAME_BYTES {
        let text =
            format!("label name {} of {} bytes exceeds the limit of {NAME_BYTES}", quoted(name), name.len());
        return Err(("labels_limit", text));
    }
    if value.len() > VALUE_BYTES {
        let text =
            format!("label {} of {} bytes exceeds the limit of {VALUE_BYTES}", quoted(name), value.len());
        return Err(("labels_limit", text));
    }
    Ok(())
}

/// The series for a message: its name and first labels, cut to about 200 characters.
pub(super) fn shown(labels: &[Pair<'_>]) -> String {
    const LONGEST: usize = 200;
    let name = labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or(&b""[..], |(_, value)| value);
    let mut text = cut(name, 80);
    let mut opening = '{';
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        if text.len() > LONGEST {
            text.push_str(", …");
            break;
        }
        text.push(opening);
        opening = ',';
        text.push_str(&cut(name, 40));
        text.push('=');
        text.push_str(&quoted(value));
    }
    if opening == ',' {
        text.push('}');
    }
    text
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", cut(bytes, 60))
}

fn cut(bytes: &[u8], longest: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(longest * 4)]);
    if text.chars().count() <= longest && bytes.len() <= longest * 4 {
        return text.into_owned();
    }
    text.chars().take(longest).chain(['…']).collect()
}

/// Reads the 1.0 labels of an exemplar and checks each.
pub(super) fn check_exemplar(exemplar: &[u8]) -> Result<Result<(), Fault>, WireError> {
    let mut count = 0;
    for field in walk::fields(exemplar) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Len(label)) => {
                count += 1;
                let (name, value) = read(label)?;
                if let Err(fault) = check_pair(name, value) {
                    return Ok(Err(fault));
                }
            }
            (1, _) | (2, Value::Varint(_) | Value::Len(_) | Value::Fixed32(_)) => {
                return Err(WireError::Mismatch(field.number));
            }
            (3, _) => drop(field.varint()?),
            _ => {}
        }
    }
    if count > LABELS {
        return Ok(Err((
            "labels_limit",
            format!("{count} labels of an exemplar exceed the limit of {LABELS}"),
        )));
    }
    Ok(Ok(()))
}
