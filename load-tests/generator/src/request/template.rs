//! A sample as text with gaps, so that the same record under other ids and at another time costs a copy.

use super::Request;

/// What is put into a gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gap {
    /// The trace id, in hex or as bytes.
    Trace,
    TraceBytes,
    /// The ray of a hop.
    Ray(usize),
    /// Kong's request id.
    Kong,
    /// A span id by its number, in hex or as bytes.
    Span(u64),
    SpanBytes(u64),
    /// A time of the sample in milliseconds, in nanoseconds, as Kong writes the latter, as bytes.
    Millis(u64),
    Nanos(u64),
    Exponent(f64),
    NanosBytes(u64),
}

/// Text and gaps in turns; the last text has no gap behind it.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<(Vec<u8>, Gap)>,
    rest: Vec<u8>,
}

/// How times of the sample begin.
const DAY: &str = "17724384";

impl Template {
    /// A sample with a gap wherever one of these is, and at each time of the sample's minute that is written in digits.
    pub(super) fn new(sample: &[u8], gaps: &[(Vec<u8>, Gap)]) -> Self {
        let (mut parts, mut text, mut at) = (Vec::new(), Vec::new(), 0);
        while at < sample.len() {
            let rest = &sample[at..];
            let known = gaps
                .iter()
                .find(|(there, _)| rest.starts_with(there))
                .map(|(there, gap)| (there.len(), *gap));
            match known.or_else(|| time(rest)) {
                Some((length, gap)) => {
                    parts.push((std::mem::take(&mut text), gap));
                    at += length;
                }
                None => {
                    text.push(sample[at]);
                    at += 1;
                }
            }
        }
        Self { parts, rest: text }
    }

    /// Appends the sample as that of another request.
    pub(super) fn write(&self, request: &Request, out: &mut Vec<u8>) {
        for (text, gap) in &self.parts {
            out.extend_from_slice(text);
            match *gap {
                Gap::Trace => out.extend_from_slice(format!("{:032x}", request.trace).as_bytes()),
                Gap::TraceBytes => out.extend_from_slice(&request.trace.to_be_bytes()),
                Gap::Ray(hop) => out.extend_from_slice(format!("{:016x}", request.rays[hop]).as_bytes()),
                Gap::Kong => out.extend_from_slice(format!("{:032x}", request.kong).as_bytes()),
                Gap::Span(number) => {
                    out.extend_from_slice(format!("{:016x}", request.span(number)).as_bytes());
                }
                Gap::SpanBytes(number) => out.extend_from_slice(&request.span(number).to_be_bytes()),
                Gap::Millis(time) => out.extend_from_slice((time + request.later).to_string().as_bytes()),
                Gap::Nanos(time) => {
                    out.extend_from_slice((time + request.later * 1_000_000).to_string().as_bytes());
                }
                Gap::Exponent(time) => {
                    let time = (time + request.later as f64 * 1e6) / 1e18;
                    out.extend_from_slice(format!("{time:.13}e+18").as_bytes());
                }
                Gap::NanosBytes(time) => {
                    out.extend_from_slice(&(time + request.later * 1_000_000).to_le_bytes());
                }
            }
        }
        out.extend_from_slice(&self.rest);
    }
}

/// A time that this begins with, and how long it is.
fn time(text: &[u8]) -> Option<(usize, Gap)> {
    let text = std::str::from_utf8(&text[..text.len().min(24)]).ok()?;
    if text.starts_with(DAY) {
        let length = text.bytes().take_while(u8::is_ascii_digit).count();
        let value = text[..length].parse().ok()?;
        return match length {
            13 => Some((length, Gap::Millis(value))),
            19 => Some((length, Gap::Nanos(value))),
            _ => None,
        };
    }
    let mantissa = text.strip_prefix("1.")?;
    if !mantissa.starts_with(&DAY[1..]) {
        return None;
    }
    let length = 2 + mantissa.find("e+18")? + 4;
    Some((length, Gap::Exponent(text[..length].parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_of_a_sample_become_those_of_the_request() {
        let sample = br#"{"a":1772438400143,"b":1772438400131000200,"c":1.7724384001451e+18,"d":17724384,"ray":"d1c4"}"#;
        let template = Template::new(sample, &[(b"d1c4".to_vec(), Gap::Ray(1))]);
        let request = Request { later: 1_000, ..Request::new(5, 0) };
        let mut out = Vec::new();
        template.write(&request, &mut out);
        let wanted = format!(
            r#"{{"a":1772438401143,"b":1772438401131000200,"c":1.7724384011451e+18,"d":17724384,"ray":"{:016x}"}}"#,
            request.rays[1]
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
