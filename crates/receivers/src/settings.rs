//! The front door's settings: where it listens, whom it lets in, and how long it waits for slow clients.

use std::net::SocketAddr;
use std::time::Duration;

use model::{Problem, Tenant};
use pipeline::settings::{Period, Size};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::{Auth, Gate};

/// Settings of the front door, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Addresses to listen on; each serves every protocol by path, over HTTP/1.1, HTTP/2 and gRPC. Beyond loopback `auth` must be set.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<SocketAddr>,
    /// Who may send: `none`, or lists of credentials. Left out, only loopback addresses are allowed.
    pub auth: Option<Auth>,
    /// On whose behalf data is taken.
    pub tenant: TenantSettings,
    /// Connections served at once; more wait in the system's queue.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Period,
    /// How long a connection without requests is kept; senders of OTLP and remote-write reuse theirs.
    pub idle_timeout: Period,
    /// How long any body may take before `body_rate` is asked of it.
    pub body_grace: Period,
    /// Bytes per second that a body must bring on average after `body_grace`.
    pub body_rate: Size,
    /// How long a whole body may take at most; Logpush bodies only obey `body_rate`.
    pub body_timeout: Period,
}

/// Which tenant a request belongs to. A tenant bound to a credential wins over everything else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// The tenant of requests that name none.
    pub default: String,
    /// A request header that names the tenant, usually `X-Scope-OrgID`; the query parameter `tenant` of Logpush URLs is then
    /// obeyed as well. Only set it where every sender is trusted. Left out, the tenant cannot be chosen by the sender.
    pub header: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addresses: vec![
                SocketAddr::from(([127, 0, 0, 1], 4318)),
                SocketAddr::from(([127, 0, 0, 1], 4317)),
            ],
            auth: None,
            tenant: TenantSettings::default(),
            max_connections: 4096,
            header_timeout: Period(Duration::from_secs(10)),
            idle_timeout: Period(Duration::from_secs(300)),
            body_grace: Period(Duration::from_secs(10)),
            body_rate: Size(4 << 10),
            body_timeout: Period(Duration::from_secs(120)),
        }
    }
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self { default: "default".into(), header: None }
    }
}

/// Settings of the front door that hold together.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Where to listen, at least one address.
    pub addresses: Vec<SocketAddr>,
    /// Who may come in, on whose behalf.
    pub gate: Gate,
    /// How connections are kept.
    pub keeping: Keeping,
    /// How slowly a body may come.
    pub pace: Pace,
}

/// How long connections are kept, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// Connections at once, at least 1.
    pub max_connections: usize,
    /// The most time for the head of a request, above zero.
    pub header_timeout: Duration,
    /// The most time without any request, above zero.
    pub idle_timeout: Duration,
}

/// How slowly a body may come: `grace`, then `rate` on average, and never longer than `total`.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time before the rate counts.
    pub grace: Duration,
    /// Bytes per second, at least 1.
    pub rate: u64,
    /// The most time for the whole body; `None` where only the rate counts.
    pub total: Option<Duration>,
}

impl Settings {
    /// Checks what types cannot say; all problems at once, paths relative to these settings.
    pub fn check(&self) -> Result<Checked, Vec<Problem>> {
        let mut problems = Vec::new();
        if self.addresses.is_empty() {
            problems.push(Problem::new(
                "addresses",
                "no address to listen on",
                "write for example [\"127.0.0.1:4318\"]",
            ));
        }
        if self.auth.is_none() {
            for (index, address) in self.addresses.iter().enumerate().filter(|(_, a)| !a.ip().is_loopback()) {
                problems.push(Problem::new(
                    format!("addresses[{index}]"),
                    format!("{address} is reachable from other machines and auth is not set"),
                    "set auth to a list of credentials, or to \"none\" if the network itself keeps strangers out",
                ));
            }
        }
        if self.max_connections == 0 {
            problems.push(Problem::new("max_connections", "0 connections serve nobody", "write at least 1"));
        }
        for (path, period) in [
            ("header_timeout", self.header_timeout),
            ("idle_timeout", self.idle_timeout),
            ("body_timeout", self.body_timeout),
        ] {
            if period.0.is_zero() {
                problems.push(Problem::new(
                    path,
                    "0 leaves no time for any request",
                    "write for example 10s",
                ));
            }
        }
        if self.body_rate.0 == 0 {
            problems.push(Problem::new(
                "body_rate",
                "0 bytes per second never ends a slow body",
                "write for example 4KiB",
            ));
        }
        let tenant = Tenant::new(&self.tenant.default).unwrap_or_else(|| {
            problems.push(tenant_problem("tenant.default", &self.tenant.default));
            Tenant::default()
        });
        let header = self.tenant.header.as_deref().and_then(|name| match name.parse::<http::HeaderName>() {
            Ok(header) => Some(header),
            Err(_) => {
                problems.push(Problem::new(
                    "tenant.header",
                    format!("{name:?} is not a header name"),
                    "write X-Scope-OrgID",
                ));
                None
            }
        });
        let gate = Gate::new(self.auth.as_ref().unwrap_or(&Auth::None), tenant, header, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Checked {
            addresses: self.addresses.clone(),
            gate,
            keeping: Keeping {
                max_connections: self.max_connections,
                header_timeout: self.header_timeout.0,
                idle_timeout: self.idle_timeout.0,
            },
            pace: Pace { grace: self.body_grace.0, rate: self.body_rate.0, total: Some(self.body_timeout.0) },
        })
    }
}

pub(crate) fn tenant_problem(path: impl Into<String>, name: &str) -> Problem {
    Problem::new(
        path,
        format!("{name:?} is not a tenant name"),
        "write 1 to 64 letters, digits, \"_\", \"-\" or \".\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: serde_json::Value) -> Vec<String> {
        let settings: Settings = serde_json::from_value(text).unwrap();
        settings.check().map_or_else(|found| found.iter().map(|p| p.path.clone()).collect(), |_| Vec::new())
    }

    #[test]
    fn an_address_beyond_loopback_needs_an_explicit_word_on_auth() {
        let public = serde_json::json!({ "addresses": ["127.0.0.1:1", "0.0.0.0:4318", "[::]:4317"] });
        assert_eq!(problems(public), ["addresses[1]", "addresses[2]"]);
        assert_eq!(problems(serde_json::json!({ "addresses": ["0.0.0.0:4318"], "auth": "none" })), [""; 0]);
        assert_eq!(
            problems(serde_json::json!({ "addresses": ["0.0.0.0:1"], "auth": { "bearer": ["t"] } })),
            [""; 0]
        );
        assert_eq!(problems(serde_json::json!({})), [""; 0]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = serde_json::json!({
            "addresses": [], "max_connections": 0, "header_timeout": "0s", "body_rate": "0B",
            "tenant": { "default": "..", "header": "a b" },
            "auth": { "bearer": [""], "basic": [{ "user": "a:b", "password": "x" }] },
        });
        let expected = [
            "addresses",
            "max_connections",
            "header_timeout",
            "body_rate",
            "tenant.default",
            "tenant.header",
            "auth.bearer[0]",
            "auth.basic[0]",
        ];
        assert_eq!(problems(text), expected);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            serde_json::json!({ "adresses": [] }),
            serde_json::json!({ "auth": { "bearrer": [] } }),
            serde_json::json!({ "auth": { "bearer": [{ "token": "a", "tennant": "b" }] } }),
            serde_json::json!({ "auth": "open" }),
        ] {
            assert!(serde_json::from_value::<Settings>(text.clone()).is_err(), "{text}");
        }
    }
}
