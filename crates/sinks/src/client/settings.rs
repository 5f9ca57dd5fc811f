//! The settings that every HTTP sink shares, and the one place that checks URLs and headers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use model::Problem;
use pipeline::settings::Secret;
use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;

use super::proxy::Choice;

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

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip.
    #[default]
    Gzip,
    /// zstd: cheaper and smaller, but fewer peers read it.
    Zstd,
}

impl From<Compression> for Coding {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// How TLS is spoken when the URL says `https`. Files are named by their path and hold PEM.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// A file of certificate authorities, trusted instead of the machine's own. Set it for a peer with a private authority. Read
    /// when the sink opens.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether the machine's certificate authorities are trusted beside those of `ca_file`. Default: false.
    pub(crate) system_authorities: bool,
    /// The certificate by which the gateway shows the peer who it is (mutual TLS), with its intermediates. It and its key are read again
    /// whenever they change, so that a renewed certificate is used from the next connection on.
    pub(crate) cert_file: Option<PathBuf>,
    /// The unencrypted private key of `cert_file`.
    pub(crate) key_file: Option<PathBuf>,
    /// The name that the peer's certificate must hold, if it is not the URL's host; also sent as server name (SNI).
    pub(crate) server_name: Option<String>,
    /// DANGEROUS: takes any certificate, so that anybody on the way to the peer can read and change what is sent, credentials
    /// included. For tests only; use `ca_file` or `server_name` instead. Default: false.
    pub(crate) insecure_skip_verify: bool,
}

/// Custom headers by name. The values are kept secret: API keys travel in them.
pub(crate) type Headers = BTreeMap<String, Secret>;

/// What an HTTP sink's settings say of its connections and headers, as written.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    pub(crate) headers: &'a Headers,
    pub(crate) tenant_header: Option<&'a str>,
    pub(crate) auth: Option<&'a Auth>,
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) proxy: Option<&'a Secret>,
    pub(crate) no_proxy: &'a [String],
}

/// The same, checked: all that a client needs to know before it is opened.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) headers: HeaderMap,
    /// The header that carries a parcel's tenant.
    pub(crate) tenant_header: Option<HeaderName>,
    pub(crate) tls: Tls,
    pub(crate) proxy: Choice,
}

impl Plan {
    /// Checks what is written; with a problem found the plan is not to be used.
    pub(crate) fn check(written: &Written<'_>, problems: &mut Vec<Problem>) -> Self {
        let tls = written.tls.cloned().unwrap_or_default();
        tls.check(problems);
        let headers = headers(written.headers, written.auth, problems);
        let tenant_header =
            written.tenant_header.and_then(|name| own_header("tenant_header", name, &headers, problems));
        let proxy = Choice::check(written.proxy, written.no_proxy, problems);
        Self { headers, tenant_header, tls, proxy }
    }
}

impl Tls {
    fn check(&self, problems: &mut Vec<Problem>) {
        let mut problem =
            |path: &str, message: &str, remedy: &str| problems.push(Problem::new(path, message, remedy));
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => problem("tls.cert_file", "has no key", "set key_file too"),
            (None, Some(_)) => problem("tls.key_file", "has no certificate", "set cert_file too"),
            _ => {}
        }
        if self.system_authorities && self.ca_file.is_none() {
            let message = "has no effect without ca_file, since they are trusted then";
            problem("tls.system_authorities", message, "remove it");
        }
        if self.insecure_skip_verify && self.ca_file.is_some() {
            let message = "contradicts ca_file: no certificate would be checked against it";
            problem("tls.insecure_skip_verify", message, "remove one of them");
        }
        if let Some(name) = &self.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            problem(
                "tls.server_name",
                "is neither a host's name nor an address",
                "write for example peer.example",
            );
        }
    }
}

/// Checks the name of a header that the gateway fills in, beside the `custom` ones.
pub(crate) fn own_header(
    path: &str,
    name: &str,
    custom: &HeaderMap,
    problems: &mut Vec<Problem>,
) -> Option<HeaderName> {
    let mut bad = |message: String, remedy: &str| {
        problems.push(Problem::new(path, message, remedy));
        None
    };
    let Ok(header) = HeaderName::try_from(name) else {
        return bad(format!("{name:?} is not a header name"), "write for example X-Scope-OrgID");
    };
    if is_ours(&header) {
        return bad(format!("header {name:?} is set by the gateway itself"), "choose another header");
    }
    if custom.contains_key(&header) {
        return bad(format!("header {name:?} has a value in headers already"), "remove it there or here");
    }
    Some(header)
}

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

fn is_ours(name: &HeaderName) -> bool {
    OURS.contains(&name.as_str()) || OUR_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

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
        if is_ours(&parsed) {
            let remedy = if parsed == header::AUTHORIZATION { "use auth" } else { "remove it" };
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
    if has_bad_port(authority) {
        return bad("holds a port that is no number up to 65535");
    }
    Some(uri)
}

/// Whether something stands behind the host that is no port; the parser lets it pass.
pub(super) fn has_bad_port(authority: &Authority) -> bool {
    let behind_user = authority.as_str().rsplit('@').next().unwrap_or_default();
    behind_user.len() > authority.host().len() && authority.port_u16().is_none()
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
    fn tls_settings_that_do_not_go_together_are_problems() {
        let file = || Some(PathBuf::from("x.pem"));
        let name = |name: &str| Some(name.to_owned());
        let cases = [
            (Tls { cert_file: file(), ..Tls::default() }, Some("tls.cert_file")),
            (Tls { key_file: file(), ..Tls::default() }, Some("tls.key_file")),
            (Tls { cert_file: file(), key_file: file(), ..Tls::default() }, None),
            (Tls { system_authorities: true, ..Tls::default() }, Some("tls.system_authorities")),
            (Tls { system_authorities: true, ca_file: file(), ..Tls::default() }, None),
            (
                Tls { insecure_skip_verify: true, ca_file: file(), ..Tls::default() },
                Some("tls.insecure_skip_verify"),
            ),
            (Tls { insecure_skip_verify: true, ..Tls::default() }, None),
            (Tls { server_name: name("peer.example"), ..Tls::default() }, None),
            (Tls { server_name: name("::1"), ..Tls::default() }, None),
            (Tls { server_name: name("a b"), ..Tls::default() }, Some("tls.server_name")),
        ];
        for (tls, expected) in cases {
            let mut problems = Vec::new();
            tls.check(&mut problems);
            let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(paths, Vec::from_iter(expected), "{tls:?}");
        }
    }

    #[test]
    fn a_tenant_header_is_the_operators_and_has_no_other_value() {
        let (custom, _) = check(&[("x-team", "a")], None);
        for (name, good) in [
            ("X-Scope-OrgID", true),
            ("AccountID", true),
            ("X-Team", false),
            ("Host", false),
            ("a b", false),
            ("", false),
        ] {
            let mut problems = Vec::new();
            assert_eq!(own_header("tenant_header", name, &custom, &mut problems).is_some(), good, "{name}");
            assert_eq!(problems.is_empty(), good, "{name}");
        }
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
            ("http://peer.example:port/", false),
            ("http://peer.example:65536/", false),
            ("http://peer.example:/", false),
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
