//! `${VAR}` and `${file:PATH}` in string leaves. Filling in happens after parsing, so that a value can never change the
//! structure of the document; `$$` is a dollar sign.

use std::path::Path;

/// Where values come from.
pub trait Lookup {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// A file's text.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The process's environment and files; relative file paths start at the configuration's folder.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The folder that relative paths start from.
    pub folder: std::path::PathBuf,
}

impl Lookup for Surroundings {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.folder.join(Path::new(path))).map_err(|error| error.to_string())
    }
}

/// Fills in one text; the error is a message and a remedy.
pub(crate) fn interpolate(text: &str, lookup: &dyn Lookup) -> Result<String, (String, String)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = tail.strip_prefix('{') {
            let Some(end) = inner.find('}') else {
                return Err((
                    format!("\"{text}\" opens ${{ and never closes it"),
                    "close it, or write $${".into(),
                ));
            };
            out.push_str(&value_of(&inner[..end], lookup)?);
            rest = &inner[end + 1..];
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(name: &str, lookup: &dyn Lookup) -> Result<String, (String, String)> {
    if let Some(path) = name.strip_prefix("file:") {
        return match lookup.file(path) {
            Ok(text) => Ok(text
                .strip_suffix('\n')
                .map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t))
                .into()),
            Err(error) => {
                Err((format!("file {path} cannot be read: {error}"), "create it or mend the path".into()))
            }
        };
    }
    let good = name
        .bytes()
        .enumerate()
        .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
    if name.is_empty() || !good {
        let remedy = "write ${NAME}, ${file:PATH}, or $${ for a literal ${".into();
        return Err((format!("${{{name}}} is neither a variable nor a file"), remedy));
    }
    lookup.variable(name).ok_or_else(|| {
        (format!("variable {name} is not set"), format!("set {name} in the environment of the process"))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) struct Fixed;

    impl Lookup for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "HOST").then(|| "kafka: [1]".into())
        }

        fn file(&self, path: &str) -> Result<String, String> {
            if path == "/run/token" { Ok("s3cr3t\n".into()) } else { Err("no such file".into()) }
        }
    }

    #[test]
    fn variables_files_and_dollars() {
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("${HOST}:9092", Ok("kafka: [1]:9092")),
            ("Bearer ${file:/run/token}", Ok("Bearer s3cr3t")),
            ("$${HOST} $5", Ok("${HOST} $5")),
            ("${NOPE}", Err("variable NOPE is not set")),
            ("${file:/nope}", Err("file /nope cannot be read: no such file")),
            ("${1A}", Err("${1A} is neither a variable nor a file")),
            ("${HOST", Err("\"${HOST\" opens ${ and never closes it")),
        ] {
            let got = interpolate(text, &Fixed).map_err(|(message, _)| message);
            assert_eq!(got, expected.map(String::from).map_err(String::from), "{text}");
        }
    }
}
