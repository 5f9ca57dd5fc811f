//! Media types as senders really write them: any case, blanks around `;` and `=`, quoted parameters.

use http::{HeaderMap, header};

/// A parsed `Content-Type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Media {
    /// `type/subtype`, lower case.
    pub(crate) essence: String,
    parameters: Vec<(String, String)>,
}

impl Media {
    /// The request's content type; `None` when there is none or it is empty.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let bytes = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let text = String::from_utf8_lossy(bytes);
        let mut parts = text.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        if essence.is_empty() {
            return None;
        }
        let parameters = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| {
                (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
            })
            .collect();
        Some(Self { essence, parameters })
    }

    /// A parameter's value, its case kept.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_media_type_are_one() {
        for text in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; proto=io.prometheus.write.v2.Request",
            "Application/X-Protobuf ; charset=utf-8 ; PROTO = \"io.prometheus.write.v2.Request\"",
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
            let media = Media::of(&headers).unwrap();
            assert_eq!(media.essence, "application/x-protobuf");
            assert_eq!(media.parameter("proto"), Some("io.prometheus.write.v2.Request"), "{text}");
        }
    }

    #[test]
    fn an_empty_type_is_none() {
        assert_eq!(Media::of(&HeaderMap::new()), None);
        for text in ["", " ", " ; charset=utf-8"] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
            assert_eq!(Media::of(&headers), None, "{text:?}");
        }
    }
}
