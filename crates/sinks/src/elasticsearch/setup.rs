//! What is put to the server before the first delivery when the operator asks for it: an index template for each signal, and a
//! lifecycle policy. What is there already is left as it is. All by the API calls of the `elasticsearch` crate.

use std::path::Path;
use std::time::Duration;

use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use elasticsearch::http::{Method, StatusCode, Url};
use elasticsearch::ilm::{IlmGetLifecycleParts, IlmPutLifecycleParts};
use elasticsearch::indices::IndicesPutIndexTemplateParts;
use elasticsearch::{Elasticsearch, Error};
use http::{HeaderMap, HeaderValue, Uri, header};
use model::{Failure, Signal};
use serde_json::{Value, json};

use super::retry;
use super::settings::{Attributes, Kind, Lifecycle, Setup};
use crate::client::answer::BODY_LIMIT;
use crate::client::{Client, Payload, Plan, Tls};
use crate::document::Mode;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read. The crate can only read an answer whole, so its length must be known before.
const LONGEST: u64 = BODY_LIMIT as u64;

/// What is put, and where.
#[derive(Debug)]
pub(super) struct Puts {
    pub(super) setup: Setup,
    pub(super) mode: Mode,
    /// For each signal what all names of its indices begin with.
    pub(super) patterns: Vec<(Signal, String)>,
    pub(super) nodes: Vec<Uri>,
}

/// A server's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Elasticsearch,
    OpenSearch,
}

/// A connection to each node.
pub(super) struct Peers(Vec<Peer>);

struct Peer {
    url: Uri,
    /// Scheme and authority: what may be shown of the URL.
    name: String,
    calls: Elasticsearch,
}

impl Peers {
    /// Reads certificates; dials nothing. `plan` is that of the client that delivers.
    pub(super) fn open(puts: &Puts, plan: &Plan) -> Result<Self, String> {
        let mut headers = plan.headers.clone();
        // Of an answer that is compressed the length is not known.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut peers = Vec::new();
        for node in &puts.nodes {
            let url = Url::parse(&node.to_string()).map_err(|error| format!("{node}: {error}"))?;
            let name = format!("{}://{}", url.scheme(), url.authority());
            let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
                .disable_proxy()
                .enable_meta_header(false)
                .headers(headers.clone())
                .timeout(PATIENCE);
            if node.scheme_str() == Some("https") {
                builder = builder.cert_validation(trust(&plan.tls)?);
                if let (Some(certificate), Some(key)) = (&plan.tls.cert_file, &plan.tls.key_file) {
                    let pem = [file(certificate)?, file(key)?].join(&b'\n');
                    builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem)));
                }
            }
            let transport = builder.build().map_err(|error| error.to_string())?;
            peers.push(Peer { url: node.clone(), name, calls: Elasticsearch::new(transport) });
        }
        Ok(Self(peers))
    }
}

fn file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The same authorities as the client that delivers trusts.
fn trust(tls: &Tls) -> Result<CertificateValidation, String> {
    if tls.insecure_skip_verify {
        return Ok(CertificateValidation::None);
    }
    let mut chain: Option<Certificate> = None;
    let mut add = |certificate| match &mut chain {
        Some(chain) => chain.append(certificate),
        none => *none = Some(certificate),
    };
    if let Some(path) = &tls.ca_file {
        add(Certificate::from_pem(&file(path)?).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    if tls.ca_file.is_none() || tls.system_authorities {
        let authorities = rustls_native_certs::load_native_certs().certs;
        // One that cannot be read is passed over, as everywhere.
        authorities.iter().filter_map(|der| Certificate::from_der(der).ok()).for_each(add);
    }
    Ok(chain.map_or(CertificateValidation::Default, CertificateValidation::Full))
}

impl Puts {
    /// Puts everything to the first node that answers `client`.
    ///
    /// # Errors
    /// Only `Failure::Retry` and, where the last node cannot be reached, `Failure::Unreachable`.
    pub(super) async fn put(&self, peers: &Peers, client: &Client, sink: &str) -> Result<(), Failure> {
        let mut away = retry("there is no node".to_owned());
        for peer in &peers.0 {
            match flavour(peer, client).await {
                Ok(flavour) => return self.put_to(peer, flavour, sink).await.map_err(retry),
                Err(failure) => away = failure,
            }
        }
        Err(away)
    }

    async fn put_to(&self, peer: &Peer, flavour: Flavour, sink: &str) -> Result<(), String> {
        let (name, peer) = (&*peer.name, &peer.calls);
        let policy = match &self.setup.lifecycle {
            None => None,
            Some(lifecycle) => {
                let put = match flavour {
                    Flavour::Elasticsearch => self.put_ilm(name, peer, lifecycle).await,
                    Flavour::OpenSearch => self.put_ism(name, peer, lifecycle).await,
                };
                match put? {
                    Put::There => Some(&*self.setup.name),
                    Put::NoSuchApi(answer) => {
                        tracing::warn!(
                            sink,
                            peer = name,
                            answer,
                            "the server has no lifecycle policies; indices are never rolled over or deleted by it"
                        );
                        None
                    }
                }
            }
        };
        for (signal, beginning) in &self.patterns {
            let body = self.template(*signal, beginning, flavour, policy);
            let template = format!("{}-{signal}", self.setup.name);
            let parts = IndicesPutIndexTemplateParts::Name(&template);
            // With `create` the server itself leaves alone what is there.
            let sent = peer.indices().put_index_template(parts).create(true).body(body).send().await;
            let (status, answer) = read(name, sent).await?;
            let exists = status == StatusCode::BAD_REQUEST && answer.contains("already exists");
            if !status.is_success() && !exists {
                return Err(format!("{name} answered {status} to index template {template}: {answer}"));
            }
        }
        Ok(())
    }

    async fn put_ilm(&self, name: &str, peer: &Elasticsearch, lifecycle: &Lifecycle) -> Result<Put, String> {
        let found = peer.ilm().get_lifecycle(IlmGetLifecycleParts::Policy(&self.setup.name)).send().await;
        let (status, answer) = read(name, found).await?;
        match status.as_u16() {
            200 => return Ok(Put::There),
            404 => {}
            400 | 405 => return Ok(Put::NoSuchApi(answer)),
            _ => {
                return Err(format!(
                    "{name} answered {status} to a look at policy {}: {answer}",
                    self.setup.name
                ));
            }
        }
        let mut hot = json!({ "min_age": "0ms", "actions": {} });
        if self.setup.kind == Kind::DataStream {
            hot["actions"] = json!({ "rollover": {
                "max_age": lifecycle.rollover_after.to_string(), "max_size": bytes(lifecycle) } });
        }
        let delete = json!({ "min_age": lifecycle.delete_after.to_string(), "actions": { "delete": {} } });
        let body = json!({ "policy": { "phases": { "hot": hot, "delete": delete } } });
        let parts = IlmPutLifecycleParts::Policy(&self.setup.name);
        let (status, answer) = read(name, peer.ilm().put_lifecycle(parts).body(body).send().await).await?;
        accepted(name, status, answer)
    }

    async fn put_ism(&self, name: &str, peer: &Elasticsearch, lifecycle: &Lifecycle) -> Result<Put, String> {
        // OpenSearch's own API: the crate knows no call for it, but sends what it is given.
        let path = format!("/_plugins/_ism/policies/{}", self.setup.name);
        let found = peer.send(Method::Get, &path, HeaderMap::new(), None::<&()>, None::<()>, None).await;
        let (status, answer) = read(name, found).await?;
        match status.as_u16() {
            200 => return Ok(Put::There),
            404 => {}
            400 | 405 => return Ok(Put::NoSuchApi(answer)),
            _ => {
                return Err(format!(
                    "{name} answered {status} to a look at policy {}: {answer}",
                    self.setup.name
                ));
            }
        }
        let mut actions = Vec::new();
        if self.setup.kind == Kind::DataStream {
            actions.push(json!({ "rollover": {
                "min_index_age": lifecycle.rollover_after.to_string(), "min_size": bytes(lifecycle) } }));
        }
        let patterns: Vec<String> =
            self.patterns.iter().map(|(_, beginning)| format!("{beginning}*")).collect();
        let body = json!({ "policy": {
            "description": "put by tidegate",
            "default_state": "hot",
            "states": [
                { "name": "hot", "actions": actions, "transitions": [
                    { "state_name": "delete", "conditions": { "min_index_age": lifecycle.delete_after.to_string() } } ] },
                { "name": "delete", "actions": [{ "delete": {} }], "transitions": [] },
            ],
            "ism_template": [{ "index_patterns": patterns, "priority": self.setup.priority }],
        } });
        let body = Some(elasticsearch::http::request::JsonBody::new(body));
        let sent = peer.send(Method::Put, &path, HeaderMap::new(), None::<&()>, body, None).await;
        let (status, answer) = read(name, sent).await?;
        accepted(name, status, answer)
    }

    /// The body of a signal's index template.
    fn template(&self, signal: Signal, beginning: &str, flavour: Flavour, policy: Option<&str>) -> Value {
        let setup = &self.setup;
        let mut index = json!({ "mapping": { "total_fields": { "limit": setup.total_fields } } });
        for (key, number) in [("number_of_shards", setup.shards), ("number_of_replicas", setup.replicas)] {
            if let Some(number) = number {
                index[key] = number.into();
            }
        }
        // OpenSearch's policies name their indices themselves.
        if let Some(policy) = policy.filter(|_| flavour == Flavour::Elasticsearch) {
            index["lifecycle"] = json!({ "name": policy });
        }
        let flat = json!({ "type": match flavour {
            Flavour::Elasticsearch => "flattened",
            Flavour::OpenSearch => "flat_object",
        } });
        let time = json!({ "type": "date_nanos" });
        let text = json!({ "type": "text" });
        let mut properties = json!({ "@timestamp": time });
        if self.mode == Mode::Ecs {
            properties["message"] = text;
        } else {
            for name in ["observed_timestamp", "start_timestamp", "end_timestamp"] {
                properties[name] = time.clone();
            }
            properties["body"] = json!({ "properties": { "text": text } });
            if self.mode == Mode::Raw && signal == Signal::Logs {
                properties = json!({ "@timestamp": time, "message": text });
            } else if setup.attributes == Attributes::Flat {
                properties["attributes"] = flat.clone();
                properties["resource"] = json!({ "properties": { "attributes": flat } });
            }
        }
        if signal == Signal::Metrics {
            let double = json!({ "type": "double" });
            properties["value"] = double.clone();
            for name in ["histogram", "exponential_histogram", "native_histogram", "summary"] {
                properties[name] = json!({ "properties": { "sum": double } });
            }
        }
        let strings =
            json!({ "match_mapping_type": "string", "mapping": { "type": "keyword", "ignore_above": 1024 } });
        let numbers = json!({ "path_match": "numeric_labels.*", "mapping": { "type": "double" } });
        // The servers' own guess is a float of 32 bits, which refuses what is beyond its range.
        let doubles = json!({ "match_mapping_type": "double", "mapping": { "type": "double" } });
        let mut body = json!({
            "index_patterns": [format!("{beginning}*")],
            "priority": setup.priority,
            "_meta": { "managed_by": "tidegate" },
            "template": {
                "settings": { "index": index },
                "mappings": {
                    "date_detection": false,
                    "dynamic_templates": [{ "numeric_labels": numbers }, { "doubles": doubles }, { "strings": strings }],
                    "properties": properties,
                },
            },
        });
        if setup.kind == Kind::DataStream {
            body["data_stream"] = json!({});
        }
        body
    }
}

fn bytes(lifecycle: &Lifecycle) -> String {
    format!("{}b", lifecycle.rollover_bytes.0)
}

/// What came of putting a policy.
enum Put {
    There,
    /// With the server's words.
    NoSuchApi(String),
}

fn accepted(name: &str, status: StatusCode, answer: String) -> Result<Put, String> {
    // Without the API its path is taken for an index and a document.
    let unknown = ["no handler found", "invalid_index_name_exception", "must not start with '_'"];
    match status.as_u16() {
        // 409: another gateway was faster.
        200..=299 | 409 => Ok(Put::There),
        405 => Ok(Put::NoSuchApi(answer)),
        400 if unknown.iter().any(|text| answer.contains(text)) => Ok(Put::NoSuchApi(answer)),
        _ => Err(format!("{name} answered {status} to a lifecycle policy: {answer}")),
    }
}

/// Asks by the client that delivers, which follows no redirect: the crate would.
async fn flavour(peer: &Peer, client: &Client) -> Result<Flavour, Failure> {
    let name = &peer.name;
    let body = Payload::from(bytes::Bytes::new());
    let asked = client.request(http::Method::GET, &peer.url, HeaderMap::new(), body, BODY_LIMIT).await;
    let answer = asked?;
    if !answer.status.is_success() {
        let (status, text) = (answer.status, answer.text());
        let reason = format!("{name} answered {status} when asked who it is: {text}");
        return Err(Failure::Retry { after: answer.after, reason });
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match told["version"]["distribution"].as_str() {
        Some("opensearch") => Ok(Flavour::OpenSearch),
        _ if told["version"]["number"].is_string() => Ok(Flavour::Elasticsearch),
        _ => Err(retry(format!("{name} is neither Elasticsearch nor OpenSearch: {}", answer.text()))),
    }
}

/// The answer's status and text. One from elsewhere, or of unknown length, is not read.
async fn read(name: &str, sent: Result<Response, Error>) -> Result<(StatusCode, String), String> {
    let response =
        sent.map_err(|error| format!("{name} cannot be asked: {}", pipeline::with_causes(&error)))?;
    let url = response.url();
    if format!("{}://{}", url.scheme(), url.authority()) != name {
        return Err(format!("{name} answered with a redirect; redirects are not followed"));
    }
    let status = response.status_code();
    match response.content_length() {
        Some(length) if length <= LONGEST => {
            let text = response.text().await.map_err(|error| format!("{name} was cut off: {error}"))?;
            Ok((status, text))
        }
        Some(length) => Ok((status, format!("(an answer of {length} bytes, not read)"))),
        None => Ok((status, "(an answer of unknown length, not read)".to_owned())),
    }
}
