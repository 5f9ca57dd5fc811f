//! The settings that every HTTP sink shares, and the one place that checks URLs and headers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use model::Problem;
use pipeline::settings::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// How the gateway shows the peer who it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Auth {
    /// A token, sent as `Authorization: Bearer …`.
    Bearer(Secret),
    /// A user and a password, sent as `Authorization: Basic …`.
    Basic {
        /// The user's name; it must not hold a colon.
        user: String,
        /// The user's password.
        password: Secret,
    },
}

/// Whom the gateway trusts when the URL says `https`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// A PEM file of certificate authorities, used instead of the machine's own. Set it for a peer with a private authority.
    pub(crate) ca_file: PathBuf,
}

/// Custom headers by name. The values are kept secret: API keys travel in them.
pub(crate) type Headers = BTreeMap<String, Secret>;

/// Headers that HTTP itself, its framing or a protocol's negotiation own.
const OURS: [&str; 17] = [
    "host",
    "user-agent",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "www-authenticate",
    "accept-encoding",
    "retry-attempt",
    "x-prometheus-remote-write-version",
    "authorization",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-timeout",
];
const OUR_PREFIXES: [&str; 3] = ["content-", "proxy-", "x-amz-"];

/// The headers sent with every request, marked sensitive so that no `Debug` shows them.
pub(crate) fn headers(custom: &Headers, auth: Option<&Auth>, problems: &mut Vec<Problem>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in custom {
        let path = format!("headers.{name}");
        let Ok(parsed) = HeaderName::try_from(name.as_str()) else {
            let message = format!("{name:?} is not a header name");
            problems.push(Problem::new(path, message, "write letters, digits and -"));
            continue;
        };
        let lower = parsed.as_str();
        if OURS.contains(&lower) || OUR_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            let remedy = if lower == "authorization" { "use auth" } else { "remove it" };
            problems.push(Problem::new(
                path,
                format!("header {name:?} is set by the gateway itself"),
                remedy,
            ));
            continue;
        }
        if let Some(value) = secret(path, value.expose(), problems) {
            map.insert(parsed, value);
        }
    }
    let authorization = match auth {
        None => None,
        Some(Auth::Bearer(token)) => {
            secret("auth.bearer".into(), &format!("Bearer {}", token.expose()), problems)
        }
        Some(Auth::Basic { user, .. }) if user.contains(':') => {
            let message = "a user name must not hold a colon";
            problems.push(Problem::new("auth.basic.user", message, "remove the colon"));
            None
        }
        Some(Auth::Basic { user, password }) => {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            secret("auth.basic".into(), &format!("Basic {pair}"), problems)
        }
    };
    if let Some(value) = authorization {
        map.insert(header::AUTHORIZATION, value);
    }
    map
}

fn secret(path: String, text: &str, problems: &mut Vec<Problem>) -> Option<HeaderValue> {
    let Ok(mut value) = HeaderValue::from_str(text) else {
        let message = "the value holds characters that no header may hold";
        problems.push(Problem::new(path, message, "remove line breaks and control characters"));
        return None;
    };
    value.set_sensitive(true);
    Some(value)
}

/// Checks an absolute `http` or `https` URL without user information. The text itself is not repeated in a problem: it may
/// hold a token.
pub(crate) fn url(path: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Uri> {
    let mut bad = |message: &str| {
        problems.push(Problem::new(path, message, "write for example http://peer.example:4318"));
        None
    };
    let Ok(uri) = text.parse::<Uri>() else { return bad("is not a URL") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return bad("has no scheme http or https");
    }
    let Some(authority) = uri.authority() else { return bad("names no host") };
    if authority.as_str().contains('@') {
        problems.push(Problem::new(path, "holds a user or password", "use auth"));
        return None;
    }
    if authority.host().is_empty() {
        return bad("names no host");
    }
    Some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(custom: &[(&str, &str)], auth: Option<&Auth>) -> (HeaderMap, Vec<String>) {
        let custom = custom.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
        let mut problems = Vec::new();
        let map = headers(&custom, auth, &mut problems);
        (map, problems.into_iter().map(|problem| problem.path).collect())
    }

    #[test]
    fn every_header_that_is_not_the_operators_is_a_problem() {
        let ours = "Host Content-Type content-encoding User-Agent Connection Keep-Alive Proxy-Authorization TE Trailer \
                    WWW-Authenticate Accept-Encoding X-Prometheus-Remote-Write-Version X-Amz-Date Authorization \
                    Transfer-Encoding Retry-Attempt grpc-encoding bad/name bäd";
        for name in ours.split_whitespace().chain([""]) {
            let (map, problems) = check(&[(name, "v")], None);
            assert_eq!((map.len(), problems), (0, vec![format!("headers.{name}")]));
        }
        let (map, problems) = check(&[("X-Scope-OrgID", "team-a"), ("X-Api-Key", "k")], None);
        assert_eq!((map.len(), problems), (2, vec![]));
        assert_eq!(map["x-scope-orgid"], "team-a");
    }

    #[test]
    fn all_header_problems_come_at_once_and_hide_the_values() {
        let auth = Auth::Bearer(Secret::new("s3cret\n"));
        let custom = [("X-A", "s3cret\r\nX-B: 1"), ("Host", "s3cret")]
            .map(|(k, v)| (k.to_owned(), Secret::new(v)))
            .into_iter()
            .collect();
        let mut problems = Vec::new();
        headers(&custom, Some(&auth), &mut problems);
        assert_eq!(problems.len(), 3);
        assert!(!format!("{problems:?}").contains("s3cret"));
    }

    #[test]
    fn credentials_become_an_authorization_header_that_debug_hides() {
        let (map, _) = check(&[("x-key", "s3cret")], Some(&Auth::Bearer(Secret::new("t0ken"))));
        assert_eq!(map["authorization"], "Bearer t0ken");
        let shown = format!("{map:?}");
        assert!(!shown.contains("t0ken") && !shown.contains("s3cret"), "{shown}");
        let basic = Auth::Basic { user: "Aladdin".into(), password: Secret::new("open sesame") };
        assert!(!format!("{basic:?}").contains("sesame"));
        // The example of RFC 7617, section 2.
        assert_eq!(check(&[], Some(&basic)).0["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn a_url_needs_scheme_and_host_and_holds_no_credentials() {
        let cases = [
            ("http://127.0.0.1:4318", true),
            ("https://peer.example/base?tenant=a", true),
            ("http://[::1]:4318/", true),
            ("peer.example:4318", false),
            ("/v1/traces", false),
            ("ftp://peer.example", false),
            ("http://", false),
            ("http://:80/", false),
            ("http://user:s3cret@peer.example", false),
            ("http://a b", false),
            ("", false),
        ];
        for (text, good) in cases {
            let mut problems = Vec::new();
            assert_eq!(url("url", text, &mut problems).is_some(), good, "{text}");
            assert_eq!(problems.is_empty(), good, "{text}");
            assert!(!format!("{problems:?}").contains("s3cret"));
        }
    }
}
