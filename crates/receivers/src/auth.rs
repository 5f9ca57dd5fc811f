//! Who may send, and on whose behalf. Checked once, for every route, before anything of a body is read.
//!
//! Credentials are kept as SHA-256 digests and compared in constant time, all of them each time, so that neither the
//! length of a guess nor its place in the list can be measured.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use model::{Problem, Refusal, RefusalKind, Tenant};
use pipeline::settings::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::settings::tenant_problem;

/// Who may send.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Everybody who reaches the address: `none`.
    None,
    /// Whoever has one of these.
    Credentials(Credentials),
}

impl JsonSchema for Auth {
    fn schema_name() -> Cow<'static, str> {
        "Auth".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let credentials = generator.subschema_for::<Credentials>();
        json_schema!({ "description": "Who may send.", "anyOf": [{ "type": "string", "const": "none" }, credentials] })
    }
}

/// Lists of credentials; any one of them is enough.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// Tokens for `Authorization: Bearer …`.
    pub bearer: Vec<Token>,
    /// Users for `Authorization: Basic …`.
    pub basic: Vec<User>,
}

/// A bearer token: just the secret, or the secret and the tenant that it stands for.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum Token {
    /// For the tenant that the request names, or the default one.
    Plain(Secret),
    /// For one tenant only.
    Bound(BoundToken),
}

/// A bearer token for one tenant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundToken {
    /// The token.
    pub token: Secret,
    /// The tenant whose data it may send.
    pub tenant: String,
}

/// A user of basic authentication.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name, without a colon.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The tenant whose data it may send; left out, the one that the request names, or the default one.
    pub tenant: Option<String>,
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(word) if word == "none" => Ok(Self::None),
            serde_json::Value::String(word) => Err(de::Error::custom(format!(
                "{word:?} is no kind of auth; write \"none\", or bearer: or basic: with credentials"
            ))),
            other => Credentials::deserialize(other).map(Self::Credentials).map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self::Plain(Secret::new(text))),
            other => BoundToken::deserialize(other).map(Self::Bound).map_err(de::Error::custom),
        }
    }
}

/// The checked form: decides on every request.
#[derive(Clone)]
pub struct Gate {
    /// `None` lets everybody in.
    known: Option<Vec<Known>>,
    default: Tenant,
    header: Option<HeaderName>,
}

#[derive(Clone)]
struct Known {
    digest: [u8; 32],
    tenant: Option<Tenant>,
}

/// Who sent a request; an extension of every request that a guarded route sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// On whose behalf.
    pub tenant: Tenant,
    /// Whether the request may still name another tenant in its URL.
    pub may_choose: bool,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("credentials", &self.known.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// Checks credentials; what is wrong goes to `problems`.
    pub(crate) fn new(
        auth: &Auth,
        default: Tenant,
        header: Option<HeaderName>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let Auth::Credentials(credentials) = auth else { return Self { known: None, default, header } };
        let mut known = Vec::new();
        let mut add = |path: String, digest: [u8; 32], tenant: Option<&str>| {
            let checked = tenant.and_then(Tenant::new);
            if let (Some(name), None) = (tenant, &checked) {
                problems.push(tenant_problem(format!("{path}.tenant"), name));
            }
            known.push(Known { digest, tenant: checked });
        };
        let mut empty = Vec::new();
        for (index, token) in credentials.bearer.iter().enumerate() {
            let path = format!("auth.bearer[{index}]");
            let (secret, tenant) = match token {
                Token::Plain(secret) => (secret, None),
                Token::Bound(bound) => (&bound.token, Some(bound.tenant.as_str())),
            };
            if secret.expose().is_empty() {
                empty.push(Problem::new(
                    path.clone(),
                    "an empty token lets everybody in",
                    "write a long random token",
                ));
            }
            add(path, digest(Scheme::Bearer, secret.expose().as_bytes()), tenant);
        }
        for (index, user) in credentials.basic.iter().enumerate() {
            let path = format!("auth.basic[{index}]");
            if user.user.is_empty() || user.user.contains(':') || user.password.expose().is_empty() {
                empty.push(Problem::new(
                    path.clone(),
                    "a user needs a name without a colon and a password",
                    "write user: NAME and password: ${VAR}",
                ));
            }
            let pair = format!("{}:{}", user.user, user.password.expose());
            add(path, digest(Scheme::Basic, pair.as_bytes()), user.tenant.as_deref());
        }
        if known.is_empty() {
            empty.push(Problem::new(
                "auth",
                "no credential is listed, so nobody could send",
                "add one, or write \"none\"",
            ));
        }
        problems.append(&mut empty);
        Self { known: Some(known), default, header }
    }

    /// A gate that lets everybody in, on behalf of the default tenant.
    pub fn open() -> Self {
        Self { known: None, default: Tenant::default(), header: None }
    }

    /// Says who sent a request with these headers. `Unauthenticated` without right credentials, `Malformed` for an impossible tenant.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let bound = match &self.known {
            None => None,
            Some(known) => check(known, headers)?,
        };
        if let Some(tenant) = bound {
            return Ok(Caller { tenant: tenant.clone(), may_choose: false });
        }
        let Some(header) = &self.header else {
            return Ok(Caller { tenant: self.default.clone(), may_choose: false });
        };
        let Some(value) = headers.get(header) else {
            return Ok(Caller { tenant: self.default.clone(), may_choose: true });
        };
        let tenant = value.to_str().ok().and_then(|name| Tenant::new(name.trim()));
        let Some(tenant) = tenant else {
            return Err(Refusal::malformed(format!("header {header}: {value:?} is not a tenant name")));
        };
        Ok(Caller { tenant, may_choose: false })
    }
}

#[derive(Clone, Copy)]
enum Scheme {
    Bearer,
    Basic,
}

fn digest(scheme: Scheme, secret: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([scheme as u8]);
    hash.update(secret);
    hash.finalize().into()
}

/// The tenant that the presented credential is bound to, if any.
fn check<'a>(known: &'a [Known], headers: &HeaderMap) -> Result<Option<&'a Tenant>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        (None, _) => return Err(unauthenticated("no credentials")),
        (Some(_), Some(_)) => return Err(unauthenticated("more than one Authorization header")),
    };
    let blank = value.iter().position(|b| *b == b' ').unwrap_or(value.len());
    let (scheme, secret) = (&value[..blank], value[blank..].trim_ascii());
    let presented = if scheme.eq_ignore_ascii_case(b"bearer") {
        digest(Scheme::Bearer, secret)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = BASE64_STANDARD
            .decode(secret)
            .map_err(|_| unauthenticated("Basic credentials are not base64"))?;
        digest(Scheme::Basic, &pair)
    } else {
        return Err(unauthenticated("the scheme is neither Bearer nor Basic"));
    };
    let mut found = u32::MAX;
    for (index, one) in known.iter().enumerate() {
        found.conditional_assign(&(index as u32), one.digest.ct_eq(&presented));
    }
    match known.get(found as usize) {
        Some(one) => Ok(one.tenant.as_ref()),
        None => Err(unauthenticated("unknown credentials")),
    }
}

fn unauthenticated(message: &str) -> Refusal {
    Refusal { kind: RefusalKind::Unauthenticated, message: message.into(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(header: Option<&str>) -> Gate {
        let auth: Auth = serde_json::from_value(serde_json::json!({
            "bearer": ["plain", { "token": "bound", "tenant": "shop" }],
            "basic": [{ "user": "prom", "password": "p:w" }],
        }))
        .unwrap();
        let mut problems = Vec::new();
        let gate = Gate::new(&auth, Tenant::default(), header.map(|h| h.parse().unwrap()), &mut problems);
        assert_eq!(problems, []);
        gate
    }

    fn check(gate: &Gate, headers: &[(&str, &str)]) -> Result<(String, bool), RefusalKind> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        gate.admit(&map).map(|c| (c.tenant.to_string(), c.may_choose)).map_err(|r| r.kind)
    }

    #[test]
    fn only_listed_credentials_come_in() {
        let gate = gate(None);
        let basic = format!("Basic {}", BASE64_STANDARD.encode("prom:p:w"));
        for good in ["Bearer plain", "bearer  plain", basic.as_str()] {
            assert_eq!(check(&gate, &[("authorization", good)]), Ok(("default".into(), false)), "{good}");
        }
        assert_eq!(check(&gate, &[("authorization", "Bearer bound")]), Ok(("shop".into(), false)));
        let swapped = format!("Basic {}", BASE64_STANDARD.encode("plain"));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer plai",
            "Bearer plainn",
            "plain",
            "Digest plain",
            "Basic !",
            swapped.as_str(),
        ] {
            assert_eq!(check(&gate, &[("authorization", bad)]), Err(RefusalKind::Unauthenticated), "{bad:?}");
        }
        assert_eq!(check(&gate, &[]), Err(RefusalKind::Unauthenticated));
        let twice = [("authorization", "Bearer wrong"), ("authorization", "Bearer plain")];
        assert_eq!(check(&gate, &twice), Err(RefusalKind::Unauthenticated));
    }

    #[test]
    fn the_tenant_header_counts_only_when_configured_and_never_against_the_credential() {
        let scope = ("x-scope-orgid", "other");
        assert_eq!(
            check(&gate(None), &[("authorization", "Bearer plain"), scope]),
            Ok(("default".into(), false))
        );
        let gate = gate(Some("X-Scope-OrgID"));
        assert_eq!(check(&gate, &[("authorization", "Bearer plain"), scope]), Ok(("other".into(), false)));
        assert_eq!(check(&gate, &[("authorization", "Bearer bound"), scope]), Ok(("shop".into(), false)));
        assert_eq!(check(&gate, &[("authorization", "Bearer plain")]), Ok(("default".into(), true)));
        for bad in ["../etc", "a|b", ""] {
            let headers = [("authorization", "Bearer plain"), ("x-scope-orgid", bad)];
            assert_eq!(check(&gate, &headers), Err(RefusalKind::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let auth: Auth = serde_json::from_value(serde_json::json!({ "bearer": ["canary"] })).unwrap();
        let text = format!("{auth:?} {:?}", gate(None));
        assert!(!text.contains("canary") && !text.contains("plain"), "{text}");
    }
}
