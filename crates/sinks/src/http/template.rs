//! Header values with places for what a request is about. The places are a closed set whose words hold nothing that could end a
//! header, and everything else is checked before anything is sent: no data of any item ever becomes a header.

use http::HeaderValue;
use pipeline::Parcel;

/// A value, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tenant,
    Signal,
    Sink,
    RangeId,
}

/// The version of how items become bodies; a change of the documents changes what a range's id stands for.
const RULES: u32 = 1;

impl Template {
    /// Reads a value: `{tenant}`, `{signal}`, `{sink}` and `{range_id}` are places, `{{` and `}}` are braces.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let place = rest.split_once('}').filter(|_| brace == "{");
            let Some((name, after)) = place else { return Err("holds a single brace".into()) };
            let piece = match name {
                "tenant" => Piece::Tenant,
                "signal" => Piece::Signal,
                "sink" => Piece::Sink,
                "range_id" => Piece::RangeId,
                _ => return Err(format!("knows no place {name:?}")),
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(piece);
            rest = after;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        let template = Self(pieces);
        let texts = template
            .0
            .iter()
            .filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None });
        if texts.clone().any(|text| HeaderValue::from_str(text).is_err()) {
            return Err("holds characters that no header may hold".into());
        }
        Ok(template)
    }

    /// Whether the value says which items are sent, so that a resend must be of the same.
    pub(super) fn names_range(&self) -> bool {
        self.0.contains(&Piece::RangeId)
    }

    /// The value for one parcel; `None` if the sink's name is no text for a header.
    pub(super) fn fill(&self, parcel: &Parcel) -> Option<HeaderValue> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Tenant => out.push_str(parcel.tenant.as_str()),
                Piece::Signal => out.push_str(parcel.signal.as_str()),
                Piece::Sink => out.push_str(&parcel.sink),
                Piece::RangeId => out.push_str(&parcel.range_id(RULES)),
            }
        }
        HeaderValue::try_from(out).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::traces;
    use wire::Coding;

    #[test]
    fn places_are_filled_and_braces_can_be_written() {
        let parcel = traces(1, Coding::Plain, &["a"]);
        let id = parcel.range_id(RULES);
        let cases = [
            ("plain", "plain".to_owned()),
            ("", String::new()),
            ("{tenant}/{signal}-{sink}", "default/traces-test".to_owned()),
            ("{range_id}", id.clone()),
            ("{{tenant}} {{{range_id}}}", format!("{{tenant}} {{{id}}}")),
        ];
        for (text, expected) in cases {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.fill(&parcel).unwrap(), expected.as_str(), "{text}");
            assert_eq!(template.names_range(), text.contains("range_id"), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused_before_anything_is_sent() {
        for text in [
            "{",
            "}",
            "a } b",
            "{tenant",
            "{Tenant}",
            "{body}",
            "{}",
            "{{{",
            "x\r\ny: 1",
            "{tenant}\n",
            "\u{7f}",
        ] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
    }
}
