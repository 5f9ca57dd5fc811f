//! A sink's rules as the operator writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::settings::Secret;

/// What a sink is given of what the journal holds. The journal keeps the original; other sinks are not touched.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSettings {
    /// The only signals that the sink is given. Left out: all that it takes.
    pub signals: Option<Vec<SignalName>>,
    /// Whose data the sink is given. Left out: everybody's.
    pub tenants: TenantSettings,
    /// Only items that meet one of these conditions are given. Left out: all.
    pub keep: Vec<ConditionSettings>,
    /// Items that meet one of these conditions are not given, even where `keep` names them.
    pub drop: Vec<ConditionSettings>,
    /// A share of all traces. Left out: all.
    pub sample: Option<SampleSettings>,
    /// Which attributes of spans, events, links, log records, scopes and exemplars are given.
    pub attributes: NameSettings,
    /// Which attributes of the resources of spans and log records are given.
    pub resource_attributes: NameSettings,
    /// What is made unreadable, in the values of attributes and labels, in log bodies, names of spans and events, and status messages.
    pub redact: Vec<RedactSettings>,
}

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignalName {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

/// Whose data a sink is given.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// Only these tenants. Left out: all.
    pub allow: Option<Vec<String>>,
    /// Not these tenants.
    pub deny: Vec<String>,
}

/// Which attributes are given, by name; `*` stands for any text, as in `http.request.header.*`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NameSettings {
    /// Only attributes of these names; `*` stands for any text. Left out: all.
    pub keep: Option<Vec<String>>,
    /// No attributes of these names, even where `keep` names them; `*` stands for any text.
    pub remove: Vec<String>,
}

/// A share of all traces, the same at every gateway and with every tool that samples by trace id.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleSettings {
    /// The share of traces to keep, from 0 to 1. An item is kept when the low 56 bits of its trace id are at least (1 - ratio) * 2^56. Items
    /// without a trace id are kept.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// Whether spans with an error status and log records of severity ERROR and above are kept whatever their trace id.
    #[serde(default)]
    pub keep_errors: bool,
}

/// A condition on one item: a subject with its tests, or other conditions together. A condition about what an item of this kind cannot have (the
/// severity of a span) is left out of account.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConditionSettings {
    /// Met when one of these is.
    pub any: Option<Vec<ConditionSettings>>,
    /// Met when all of these are.
    pub all: Option<Vec<ConditionSettings>>,
    /// Met when none of these is.
    pub none: Option<Vec<ConditionSettings>>,
    /// Subject: the attribute of this name of the span, log record or data point; for remote-write the label of this name.
    pub attribute: Option<String>,
    /// Subject: the attribute of this name of the item's resource.
    pub resource: Option<String>,
    /// Subject: a field of the item.
    pub field: Option<FieldName>,
    /// Test: whether there is such a value.
    pub exists: Option<bool>,
    /// Test: the value is this.
    pub equals: Option<Scalar>,
    /// Test: the value is one of these.
    pub one_of: Option<Vec<Scalar>>,
    /// Test: the text begins with this.
    pub prefix: Option<String>,
    /// Test: the text ends with this.
    pub suffix: Option<String>,
    /// Test: this is somewhere in the text.
    pub contains: Option<String>,
    /// Test: this regular expression matches somewhere in the text.
    pub matches: Option<String>,
    /// Test: the number is greater than this. For the severity a word will do: trace, debug, info, warn, error, fatal.
    pub above: Option<Scalar>,
    /// Test: the number is this or greater.
    pub at_least: Option<Scalar>,
    /// Test: the number is less than this.
    pub below: Option<Scalar>,
    /// Test: the number is this or less.
    pub at_most: Option<Scalar>,
}

/// A field of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldName {
    /// `traces`, `logs` or `metrics`.
    Signal,
    /// The receiver that it came through.
    Source,
    /// The name of its instrumentation scope.
    Scope,
    /// The name of a span.
    Name,
    /// The kind of a span: `internal`, `server`, `client`, `producer`, `consumer`.
    Kind,
    /// The status of a span: `unset`, `ok`, `error`.
    Status,
    /// The duration of a span in milliseconds.
    Duration,
    /// The severity of a log record: its number, or `trace`, `debug`, `info`, `warn`, `error`, `fatal`.
    Severity,
    /// The body of a log record, where it is a text.
    Body,
    /// The name of a metric.
    Metric,
}

/// A text, a number or a truth value.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// Something that is made unreadable: exactly one of `preset`, `attribute` and `pattern`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactSettings {
    /// What is known to be secret or personal.
    pub preset: Option<Preset>,
    /// The whole value of attributes, labels and members of JSON bodies of this name; `*` stands for any text. Letter case does not matter.
    pub attribute: Option<String>,
    /// Whatever this regular expression matches in any text.
    pub pattern: Option<String>,
    /// What is written in its place.
    pub with: With,
    /// The secret key of `hash`, of at least 16 bytes. Whoever has it can tell whether a hash is that of a given text.
    #[serde(serialize_with = "dots")]
    pub key: Option<Secret>,
}

/// What is known to be secret or personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The headers that carry credentials (`Authorization`, `Proxy-Authorization`, `X-Api-Key` and their like), and `Bearer` and `Basic` credentials anywhere.
    Authorization,
    /// The headers `Cookie` and `Set-Cookie`, and `cookies` by whatever case.
    Cookies,
    /// E-mail addresses.
    Emails,
    /// Payment card numbers: of a known issuer's form, with a right check digit.
    CardNumbers,
}

/// What takes the place of what is redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// `[redacted]`.
    #[default]
    Mask,
    /// `[hash:…]` with 32 hex digits: the same for the same text and key, so that it can still be counted and joined.
    Hash,
}

fn dots<S: Serializer>(key: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(|_| "•••").serialize(serializer)
}
