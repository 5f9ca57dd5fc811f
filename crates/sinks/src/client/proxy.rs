//! Which requests go through a proxy: through the one that the operator wrote, or, only when asked, through those that the
//! environment names.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use model::Problem;
use pipeline::settings::Secret;

use super::percent;
use super::settings::has_bad_port;

/// The word that asks for the environment's proxies.
const ENVIRONMENT: &str = "environment";
const REMEDY: &str = "write for example http://user:password@proxy.example:3128, or environment";

/// What the operator wrote, checked.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    source: Source,
    except: Vec<Except>,
}

#[derive(Debug, Default)]
enum Source {
    /// No proxy at all.
    #[default]
    Direct,
    One(Arc<Proxy>),
    Environment,
}

/// The proxies in use.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    except: Vec<Except>,
}

/// One proxy. It is spoken to in the clear; what goes through a tunnel keeps its own TLS.
#[derive(Debug)]
pub(super) struct Proxy {
    /// `http://HOST:PORT`, without credentials.
    pub(super) url: Uri,
    /// The credentials as the value of Proxy-Authorization.
    pub(super) authorization: Option<HeaderValue>,
}

/// Hosts that are reached directly.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Except {
    All,
    /// A domain with everything below it, on one port or on all.
    Domain(String, Option<u16>),
    /// The addresses that share so many leading bits, on one port or on all.
    Net(IpAddr, u8, Option<u16>),
}

impl Choice {
    /// Checks `proxy` and `no_proxy`. No problem repeats the proxy's URL: it holds a password.
    pub(crate) fn check(proxy: Option<&Secret>, no_proxy: &[String], problems: &mut Vec<Problem>) -> Self {
        let source = match proxy.map(Secret::expose) {
            None => Source::Direct,
            Some(ENVIRONMENT) => Source::Environment,
            Some(url) => match Proxy::parse(url) {
                Ok(proxy) => Source::One(Arc::new(proxy)),
                Err(message) => {
                    problems.push(Problem::new("proxy", message, REMEDY));
                    Source::Direct
                }
            },
        };
        if proxy.is_none() && !no_proxy.is_empty() {
            problems.push(Problem::new("no_proxy", "has no effect without proxy", "set proxy, or remove it"));
        }
        let mut except = Vec::new();
        for (number, text) in no_proxy.iter().enumerate() {
            match Except::parse(text) {
                Some(entry) => except.push(entry),
                None => problems.push(Problem::new(
                    format!("no_proxy[{number}]"),
                    format!("{text:?} is neither a host, an address nor a range of addresses"),
                    "write for example intern.example, 10.0.0.0/8 or [::1]:4318",
                )),
            }
        }
        Self { source, except }
    }

    /// The proxies to use; the environment's are read through `variable` now.
    pub(super) fn resolve(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Proxies, String> {
        let mut proxies = Proxies::default();
        match &self.source {
            Source::Direct => return Ok(proxies),
            Source::One(proxy) => {
                (proxies.http, proxies.https) = (Some(Arc::clone(proxy)), Some(Arc::clone(proxy)));
            }
            Source::Environment => {
                let named = |name: &str| -> Option<(String, String)> {
                    let found =
                        |name: String| Some((variable(&name)?, name)).filter(|(text, _)| !text.is_empty());
                    found(name.to_lowercase()).or_else(|| found(name.to_uppercase()))
                };
                let proxy = |name: &str| -> Result<Option<Arc<Proxy>>, String> {
                    let Some((text, name)) = named(name).or_else(|| named("ALL_PROXY")) else {
                        return Ok(None);
                    };
                    let proxy =
                        Proxy::parse(&text).map_err(|why| format!("environment variable {name} {why}"))?;
                    Ok(Some(Arc::new(proxy)))
                };
                (proxies.http, proxies.https) = (proxy("HTTP_PROXY")?, proxy("HTTPS_PROXY")?);
                // Other programs read the same variable and know more forms; what is not ours is theirs.
                let all = named("NO_PROXY").map(|(text, _)| text).unwrap_or_default();
                proxies.except.extend(all.split(',').filter_map(|text| Except::parse(text.trim())));
            }
        }
        proxies.except.extend(self.except.iter().cloned());
        Ok(proxies)
    }
}

impl Proxies {
    /// The proxy through which `url` is reached.
    pub(super) fn of(&self, url: &Uri) -> Option<&Arc<Proxy>> {
        let secure = url.scheme_str() == Some("https");
        let proxy = if secure { self.https.as_ref() } else { self.http.as_ref() }?;
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = plain_host(url.host()?);
        if is_metadata(&host) {
            return None;
        }
        (!self.except.iter().any(|except| except.holds(&host, port))).then_some(proxy)
    }
}

/// Whether this is where a cloud tells a machine about itself, its credentials among it: link-local addresses and the few names and
/// addresses that clouds use beside them. A proxy would get the credentials of its own machine, or nothing.
fn is_metadata(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local() || address.segments()[..2] == AWS_LOCAL,
        Err(_) => host == "metadata.google.internal",
    }
}

/// `fd00:ec2::/32`, where AWS has its link-local services for IPv6.
const AWS_LOCAL: [u16; 2] = [0xfd00, 0x0ec2];

/// A host as it is compared: lower case, without the brackets of an IPv6 address and without the root's dot.
fn plain_host(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

impl Proxy {
    /// Reads `http://[USER:PASSWORD@]HOST[:PORT]`; user and password are percent-encoded as in any URL.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("is an https URL, but proxies are spoken to over plain HTTP only"),
            Some(_) => return Err("is not an HTTP proxy"),
            None => return Err("has no scheme http"),
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("holds a path or query, which a proxy has no use for");
        }
        let authority = uri.authority().ok_or("names no host")?.as_str();
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let url: Uri = format!("http://{host}").parse().map_err(|_| "is not a URL")?;
        if url.host().is_none_or(str::is_empty) {
            return Err("names no host");
        }
        if url.authority().is_some_and(has_bad_port) {
            return Err("holds a port that is no number up to 65535");
        }
        let authorization = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let (name, password) = (percent::decode(name.as_bytes()), percent::decode(password.as_bytes()));
            let pair = STANDARD.encode([&name[..], b":", &password].concat());
            let mut value =
                HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is text for a header");
            value.set_sensitive(true);
            value
        });
        Ok(Self { url, authorization })
    }
}

impl Except {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((net, bits)) = text.split_once('/') {
            let net: IpAddr = net.parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(net))?;
            return Some(Self::Net(net, bits, None));
        }
        // A bare IPv6 address has colons of its own.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (text, None),
        };
        let host = plain_host(host);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Net(address, width(address), port));
        }
        let domain = host.strip_prefix("*.").or(host.strip_prefix('.')).unwrap_or(&host);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        (!domain.is_empty() && domain.bytes().all(good)).then(|| Self::Domain(domain.to_owned(), port))
    }

    fn holds(&self, host: &str, at: u16) -> bool {
        match self {
            Self::All => true,
            Self::Domain(domain, port) => {
                let below = host.strip_suffix(domain.as_str());
                port.is_none_or(|port| port == at)
                    && below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Self::Net(net, bits, port) => {
                let address = host.parse().ok();
                port.is_none_or(|port| port == at)
                    && address.is_some_and(|address| same_net(*net, address, *bits))
            }
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_net(net: IpAddr, address: IpAddr, bits: u8) -> bool {
    // How many bits of the difference must be zero: those above the net's own.
    let leading_zeros = match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => (net.to_bits() ^ address.to_bits()).leading_zeros(),
        (IpAddr::V6(net), IpAddr::V6(address)) => (net.to_bits() ^ address.to_bits()).leading_zeros(),
        _ => return false,
    };
    leading_zeros >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(proxy: Option<&str>, no_proxy: &[&str]) -> Result<Choice, Vec<String>> {
        let no_proxy: Vec<String> = no_proxy.iter().map(|text| (*text).to_owned()).collect();
        let mut problems = Vec::new();
        let choice = Choice::check(proxy.map(Secret::new).as_ref(), &no_proxy, &mut problems);
        if problems.is_empty() {
            Ok(choice)
        } else {
            Err(problems.iter().map(|p| format!("{p:?}")).collect())
        }
    }

    fn resolved(proxy: &str, no_proxy: &[&str]) -> Proxies {
        check(Some(proxy), no_proxy).unwrap().resolve(|_| panic!("the environment is read unasked")).unwrap()
    }

    /// The proxy's host and port for `url`, empty if it is reached directly.
    fn way(proxies: &Proxies, url: &str) -> String {
        proxies
            .of(&url.parse().unwrap())
            .map(|proxy| proxy.url.authority().unwrap().to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_proxy_is_read_with_its_credentials_which_are_not_shown() {
        let proxies = resolved("http://us%40er:p%3Ass%20w%C3%B6rd@proxy.example:3128", &[]);
        assert_eq!(way(&proxies, "http://peer.example/"), "proxy.example:3128");
        assert_eq!(way(&proxies, "https://peer.example/"), "proxy.example:3128");
        let proxy = proxies.http.as_ref().unwrap();
        let expected = format!("Basic {}", STANDARD.encode("us@er:p:ss wörd"));
        assert_eq!(proxy.authorization.as_ref().unwrap(), &expected);
        assert!(!format!("{proxies:?}").contains(&expected));
        assert!(resolved("http://[::1]:3128/", &[]).http.as_ref().unwrap().authorization.is_none());
    }

    #[test]
    fn what_is_no_proxy_is_a_problem_that_hides_it() {
        for text in [
            "",
            "proxy.example:3128",
            "socks5://s3cret@proxy.example",
            "https://user:s3cret@proxy.example",
            "http://user:s3cret@",
            "http://user:s3cret@proxy.example/path",
            "http://user:s3cret@proxy.example?query",
            "http://user:s3cret@proxy.example:port",
            "http://proxy example",
            "ENVIRONMENT",
        ] {
            let problems = check(Some(text), &[]).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].contains("proxy") && !problems[0].contains("s3cret"), "{}", problems[0]);
        }
        assert_eq!(check(None, &["peer.example"]).unwrap_err().len(), 1);
        let bad = ["", "10.0.0.0/33", "::1/129", "a b", "host:port", "x/8", "http://peer.example", ":80"];
        assert_eq!(check(Some("http://p:1"), &bad).unwrap_err().len(), bad.len());
    }

    #[test]
    fn hosts_below_an_exception_are_reached_directly() {
        let except = [
            "intern.example",
            ".dotted.example",
            "*.star.example",
            "10.0.0.0/8",
            "[fd00::1]:99",
            "fe80::/10",
            "one.example:81",
        ];
        let proxies = resolved("http://p:1", &except);
        let cases = [
            ("http://intern.example/", false),
            ("https://a.INTERN.example.:444/", false),
            ("http://notintern.example/", true),
            ("http://intern.example.org/", true),
            ("http://dotted.example/", false),
            ("http://b.a.dotted.example/", false),
            ("http://a.star.example/", false),
            ("http://10.255.0.1:4318/", false),
            ("http://11.0.0.1/", true),
            ("http://[fd00::1]:99/", false),
            ("http://[fd00::1]:98/", true),
            ("http://[fe80::7]/", false),
            ("http://[::a00:1]/", true),
            ("http://one.example:81/", false),
            ("http://one.example/", true),
            ("https://one.example/", true),
        ];
        for (url, proxied) in cases {
            assert_eq!(way(&proxies, url), if proxied { "p:1" } else { "" }, "{url}");
        }
        assert_eq!(way(&resolved("http://p:1", &["*"]), "http://peer.example/"), "");
        assert_eq!(way(&resolved("http://p:1", &["0.0.0.0/0"]), "http://1.2.3.4/"), "");
    }

    #[test]
    fn what_a_cloud_tells_its_machine_is_never_asked_of_a_proxy() {
        let proxies = resolved("http://p:1", &[]);
        for url in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2:80/v2/credentials",
            "http://[fe80::a9fe:a9fe]/",
            "http://[fd00:ec2::254]/latest/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://METADATA.google.internal./",
            "https://169.254.169.254/",
        ] {
            assert_eq!(way(&proxies, url), "", "{url}");
        }
        for url in
            ["http://169.253.169.254/", "http://[fd00:ec1::254]/", "http://x.metadata.google.internal/"]
        {
            assert_eq!(way(&proxies, url), "p:1", "{url}");
        }
    }

    #[test]
    fn the_environment_is_read_only_when_asked() {
        let variables = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let asked = check(Some("environment"), &["own.example"]).unwrap();
        let proxies = asked
            .resolve(variables(&[
                ("HTTP_PROXY", "http://upper:1"),
                ("http_proxy", "http://lower:1"),
                ("ALL_PROXY", "http://all:1"),
                ("NO_PROXY", "a.example, 10.0.0.0/8,,strange entry"),
            ]))
            .unwrap();
        assert_eq!(way(&proxies, "http://peer.example/"), "lower:1");
        assert_eq!(way(&proxies, "https://peer.example/"), "all:1");
        for direct in ["http://a.example/", "https://10.1.1.1/", "http://own.example/"] {
            assert_eq!(way(&proxies, direct), "");
        }
        let none = asked.resolve(variables(&[("HTTPS_PROXY", "")])).unwrap();
        assert_eq!(way(&none, "https://peer.example/"), "");
        let error = asked.resolve(variables(&[("https_proxy", "socks5://u:s3cret@p:1")])).unwrap_err();
        assert_eq!(error, "environment variable https_proxy is not an HTTP proxy");
    }
}
