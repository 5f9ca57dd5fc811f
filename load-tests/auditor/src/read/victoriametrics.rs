//! VictoriaMetrics, by its export: lines of JSON, but for infinities.

use std::collections::HashMap;

use testkit::process::http;
use testkit::server::encode;

use super::{Found, prometheus};
use crate::content::sample::STALE;
use crate::content::{Run, series};
use crate::json;
use crate::value::Value;

/// The name of an item, a series, a time in milliseconds and a value.
type Sample = (Option<String>, String, i64, Value);

/// Every sample that carries the name of an item.
pub(crate) fn read(run: &Run, port: u16, each: &mut dyn FnMut(Found)) -> Result<(), String> {
    let ask = |path: &str| {
        let answer = http(port, "GET", path, &[], &[]).map_err(|error| format!("{path}: {error}"))?;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{path} answered {}", answer.status)) }
    };
    // What was just written is not searchable before.
    ask("/internal/force_flush")?;
    let lines = ask(&format!("/api/v1/export?match%5B%5D={}", encode("{item!=\"\"}")))?.text();
    let mut samples = Vec::new();
    for line in lines.lines() {
        read_line(line, &mut samples).map_err(|error| format!("{error}: {line}"))?;
    }
    for layer in layers(samples) {
        prometheus::gather(run, layer.into_iter(), each);
    }
    Ok(())
}

/// Samples without their like beside them: what is there twice is in two layers.
fn layers(samples: Vec<Sample>) -> Vec<Vec<Sample>> {
    let mut seen: HashMap<(String, i64), usize> = HashMap::new();
    let mut layers: Vec<Vec<Sample>> = Vec::new();
    for sample in samples {
        let layer = seen.entry((sample.1.clone(), sample.2)).or_default();
        if layers.len() == *layer {
            layers.push(Vec::new());
        }
        layers[*layer].push(sample);
        *layer += 1;
    }
    layers
}

/// The samples of one series. The values come behind its labels and are no JSON where they are infinite.
fn read_line(line: &str, samples: &mut Vec<Sample>) -> Result<(), String> {
    let (head, rest) = line.rsplit_once(",\"values\":[").ok_or("no values")?;
    let (values, times) = rest.split_once("],\"timestamps\":[").ok_or("no times")?;
    let times = times.strip_suffix("]}").ok_or("no end")?;
    let head = json::read(&format!("{head}}}"))?;
    let labels = head["metric"].as_object().into_iter().flatten();
    let labels: Vec<(String, String)> =
        labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let name = labels.iter().find(|(name, _)| name == "item").map(|(_, value)| value.clone());
    let series = series(labels);
    let (values, times): (Vec<&str>, Vec<&str>) = (values.split(',').collect(), times.split(',').collect());
    if values.len() != times.len() {
        return Err(format!("{} values at {} times", values.len(), times.len()));
    }
    for (value, time) in values.into_iter().zip(times) {
        let time = time.parse().map_err(|_| format!("{time} is no time"))?;
        samples.push((name.clone(), series.clone(), time, number(value)?));
    }
    Ok(())
}

/// Of all NaN it keeps the stale marker alone.
fn number(text: &str) -> Result<Value, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Ok(Value::Double(STALE)),
        Ok(number) => Ok(Value::double(number)),
        Err(_) if text == "null" => Ok(Value::Double(STALE)),
        Err(_) => Err(format!("{text} is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_every_form_of_a_value() {
        let line = r#"{"metric":{"__name__":"m","item":"a.1","t":"],\"values\":["},"values":[null,+Inf,-Inf,0.1,1e300,NaN],"timestamps":[1,2,3,4,5,6]}"#;
        let mut samples = Vec::new();
        read_line(line, &mut samples).unwrap();
        let numbers = [f64::from_bits(STALE), f64::INFINITY, f64::NEG_INFINITY, 0.1, 1e300];
        let numbers = numbers.into_iter().chain([f64::from_bits(STALE)]).map(Value::double);
        let found: Vec<(i64, Value)> =
            samples.iter().map(|(_, _, time, value)| (*time, value.clone())).collect();
        assert_eq!(found, (1..).zip(numbers).collect::<Vec<_>>());
        assert_eq!(samples[0].0.as_deref(), Some("a.1"));
        samples.push(samples[1].clone());
        assert_eq!(layers(samples.clone()).iter().map(Vec::len).collect::<Vec<_>>(), [6, 1]);
        assert!(samples[0].1.contains("__name__=\"m\""), "{}", samples[0].1);
        for bad in [
            "{}",
            r#"{"metric":{},"values":[1,2],"timestamps":[1]}"#,
            r#"{"metric":{},"values":[x],"timestamps":[1]}"#,
        ] {
            assert!(read_line(bad, &mut Vec::new()).is_err(), "{bad}");
        }
    }
}
