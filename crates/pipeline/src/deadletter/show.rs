//! A letter's items as a person reads them: OTLP as its JSON, remote-write in lines like those of an exposition, anything else
//! as base64.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Layout, Signal};
use serde::Serialize;
use wire::WireError;
use wire::rw::{Count, v1};

use super::{Letter, Listed};
use crate::courier::layout_of;

/// One letter with its items. One of the last three is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// What is known about it.
    #[serde(flatten)]
    pub listed: Listed,
    /// An OTLP request in JSON that holds exactly its items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<serde_json::Value>,
    /// Remote-write points, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl Shown {
    pub(crate) fn of(listed: Listed, letter: &Letter) -> Self {
        let mut shown = Self { listed, otlp: None, text: None, base64: None };
        let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == letter.head.signal);
        match (layout_of(&letter.head.layout), signal) {
            _ if letter.head.unreadable => {}
            (Some(Layout::Otlp), Some(signal)) => {
                let json = wire::json::to_json(signal, &letter.plain).ok();
                shown.otlp = json.and_then(|json| serde_json::from_slice(&json).ok());
            }
            (Some(Layout::RemoteWrite), _) => shown.text = lines(&letter.plain).ok(),
            _ => {}
        }
        if shown.otlp.is_none() && shown.text.is_none() {
            shown.base64 = Some(STANDARD.encode(&letter.plain));
        }
        shown
    }
}

/// Series as `name{labels} value time`, times in milliseconds.
fn lines(plain: &[u8]) -> Result<String, WireError> {
    let mut text = String::new();
    for series in v1::series(plain) {
        let series = series?;
        let name = name_of(series.labels())?;
        for sample in series.samples() {
            let sample = sample?;
            let _ = writeln!(text, "{name} {} {}", f64::from_bits(sample.value_bits), sample.timestamp);
        }
        for histogram in series.histograms() {
            let histogram = histogram?;
            let count = match histogram.count {
                Some(Count::Int(count)) => count.to_string(),
                Some(Count::Float(bits)) => f64::from_bits(bits).to_string(),
                None => "0".to_owned(),
            };
            let sum = f64::from_bits(histogram.sum_bits);
            let (schema, time) = (histogram.schema, histogram.timestamp);
            let _ = writeln!(text, "{name} histogram count={count} sum={sum} schema={schema} {time}");
        }
        for exemplar in series.exemplars() {
            let exemplar = exemplar?;
            let (labels, value) = (name_of(exemplar.labels())?, f64::from_bits(exemplar.value_bits));
            let _ = writeln!(text, "{name} exemplar {labels} {value} {}", exemplar.timestamp);
        }
    }
    for metadata in v1::metadata(plain) {
        let metadata = metadata?;
        let _ = writeln!(text, "# {} {:?} unit {:?}", metadata.family, metadata.help, metadata.unit);
    }
    Ok(text)
}

fn name_of(labels: v1::Labels<'_>) -> Result<String, WireError> {
    let (mut name, mut rest) = (String::new(), String::new());
    for label in labels {
        match label? {
            ("__name__", value) => value.clone_into(&mut name),
            (label, value) => {
                let _ = write!(rest, "{}{label}={value:?}", if rest.is_empty() { "" } else { "," });
            }
        }
    }
    Ok(format!("{name}{{{rest}}}"))
}
