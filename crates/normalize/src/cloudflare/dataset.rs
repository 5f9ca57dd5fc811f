//! Which dataset a record belongs to: Logpush names it nowhere, so the URL does, or the record's own fields.

use super::fields::{Field, Row};
use crate::Hint;

/// The datasets with a mapping of their own, and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dataset {
    HttpRequests,
    WorkersTraceEvents,
    Tail,
    EdgeRequest,
    FirewallEvents,
    DnsLogs,
    AuditLogs,
    InstantLogs,
    /// Named by the URL only.
    Named,
    Unknown,
}

impl Dataset {
    /// The dataset that the URL names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" => return None,
            "http_requests" => Self::HttpRequests,
            "workers_trace_events" => Self::WorkersTraceEvents,
            "tail" => Self::Tail,
            "edge_request" => Self::EdgeRequest,
            "firewall_events" => Self::FirewallEvents,
            "dns_logs" => Self::DnsLogs,
            "audit_logs" => Self::AuditLogs,
            "instant_logs" => Self::InstantLogs,
            _ => Self::Named,
        })
    }

    /// The name kept on the record.
    pub(crate) fn name(self, hint: &Hint) -> &str {
        match self {
            Self::HttpRequests => "http_requests",
            Self::WorkersTraceEvents => "workers_trace_events",
            Self::Tail => "tail",
            Self::EdgeRequest => "edge_request",
            Self::FirewallEvents => "firewall_events",
            Self::DnsLogs => "dns_logs",
            Self::AuditLogs => "audit_logs",
            Self::InstantLogs => "instant_logs",
            Self::Named => hint.dataset.as_deref().unwrap_or("unknown"),
            Self::Unknown => "unknown",
        }
    }
}

/// The dataset that the record's fields tell; the first rule that fits.
pub(crate) fn recognise(row: &Row<'_>) -> Dataset {
    use Field as F;
    let has = |fields: &[Field]| fields.iter().all(|field| row.has(*field));
    if has(&[F::EdgeStartTimestamp]) {
        Dataset::HttpRequests
    } else if has(&[F::EventType, F::ScriptName, F::Outcome]) {
        Dataset::WorkersTraceEvents
    } else if has(&[F::Action, F::RuleID, F::MatchIndex])
        || has(&[F::Action, F::Source, F::RayID, F::Datetime])
    {
        Dataset::FirewallEvents
    } else if has(&[F::RayID, F::ClientRequestHost, F::EdgeResponseStatus]) {
        // Only now: firewall events hold these three as well.
        Dataset::HttpRequests
    } else if has(&[F::QueryName, F::ResponseCode, F::ColoCode]) {
        Dataset::DnsLogs
    } else if has(&[F::ActionType, F::ActorType, F::When]) {
        Dataset::AuditLogs
    } else if has(&[F::EdgeRequest])
        || row.members.iter().any(|member| super::edge_request::is_dotted(member.key))
    {
        Dataset::EdgeRequest
    } else if has(&[F::ScriptName, F::EventTimestamp]) {
        Dataset::Tail
    } else if has(&[F::SampleInterval, F::RayID]) {
        Dataset::InstantLogs
    } else {
        Dataset::Unknown
    }
}
