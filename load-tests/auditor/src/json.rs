//! JSON with exact numbers. `serde_json` reads doubles a bit off unless a feature is on, and a feature would be on for the
//! gateway too, which is built with us.

use serde_json::{Map, Number, Value};

/// Objects and arrays within each other.
const DEEPEST: usize = 64;

/// Reads one JSON text.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at == text.len() { Ok(value) } else { Err(reader.wrong("more behind the value")) }
}

/// Reads the JSON of an answer.
pub fn read_bytes(bytes: &[u8]) -> Result<Value, String> {
    read(std::str::from_utf8(bytes).map_err(|error| error.to_string())?)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("{what} at byte {} of the JSON", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.space();
        if depth > DEEPEST {
            return Err(self.wrong("too deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(_) => self.word(),
            None => Err(self.wrong("nothing")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut members = Map::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.wrong("no colon"));
            }
            let value = self.value(depth + 1)?;
            if members.insert(key, value).is_some() {
                return Err(self.wrong("a key twice"));
            }
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("no comma"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Value::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.wrong("no comma"));
            }
        }
    }

    /// Escapes are left to `serde_json`, which reads them exactly.
    fn string(&mut self) -> Result<String, String> {
        let begin = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("no string"));
        }
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += match byte {
                b'\\' => 2,
                b'"' => {
                    self.at += 1;
                    let text = &self.text[begin..self.at];
                    return serde_json::from_str(text).map_err(|error| format!("{error}: {text}"));
                }
                _ => 1,
            };
        }
        Err(self.wrong("a string without end"))
    }

    fn word(&mut self) -> Result<Value, String> {
        let rest = &self.text[self.at..];
        let end = rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        let word = &rest[..end];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Number(number(word).ok_or_else(|| self.wrong("no value"))?),
        };
        self.at += end;
        Ok(value)
    }
}

fn number(word: &str) -> Option<Number> {
    if !word.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
        return None;
    }
    if word != "-0" {
        if let Ok(whole) = word.parse::<i64>() {
            return Some(whole.into());
        }
        if let Ok(whole) = word.parse::<u64>() {
            return Some(whole.into());
        }
    }
    Number::from_f64(word.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_double_is_read_to_its_last_bit() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let number = f64::from_bits(random.u64(..));
            if number.is_finite() {
                let read = read(&format!("[{number:?}]")).unwrap()[0].as_f64().unwrap();
                assert_eq!(read.to_bits(), number.to_bits(), "{number:?}");
            }
        }
        assert_eq!(read("-0").unwrap().as_f64().unwrap().to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn everything_else_is_read_as_serde_json_does_and_bad_text_is_refused() {
        for text in
            [r#"{"a":[1,-2,18446744073709551615,"\u00e9\"\\\n",{"b":null}],"c":true}"#, "[]", " {} ", "\"x\""]
        {
            assert_eq!(read(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
        for text in ["", "[1", "{\"a\":1,}", "nan", "{\"a\":1,\"a\":2}", "[1] 2", "\"\\", "tru"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
