//! Every dataset without a mapping of its own: what has a name in semantic conventions gets it, every other field
//! becomes `cloudflare.field.<its name>`.

use std::borrow::Cow;
use std::collections::HashSet;

use model::UnixNanos;
use model::id::{Ray, derived};

use super::dataset::Dataset;
use super::fields::{Field, Row, named};
use super::http::{self, ATTRIBUTES};
use super::{Mapper, Service, Source};
use crate::json::{self, Value};
use crate::log::{INFO, Severity, WARN};
use crate::time;
use crate::trace::{Headers, Trace};

impl<'a> Mapper<'a> {
    /// Maps the record in the row.
    pub(super) fn other(&mut self, source: Source<'a>) {
        let row = &self.row;
        let record = &mut self.record;
        record.start(event_time(row), self.received, event_severity(source.dataset, row), "cloudflare.event");
        record.body(source.text);
        let ray = row.plain(Field::RayID).and_then(Ray::parse);
        if let Some(found) = row.get(Field::RequestHeaders) {
            let mut headers = Headers::default();
            headers.add(found, &mut record.replaced);
            let trace = Trace::of(&headers, None);
            record.trace(&trace, ray.map(|ray| derived::id8("cf.edge", &[ray.as_str()])));
        }
        http::attributes(record, row);
        http::rays(record, row, ray);
        if let Some(path) = http::path(row) {
            record.text("url.path", path);
        }
        if let Some(key) = key(source.dataset, row) {
            record.str("tidegate.key", &key);
        }
        // Backwards, since of fields with the same name the last one counts.
        let mut seen = HashSet::new();
        let mut duplicate = row.duplicate;
        for member in row.members.iter().rev() {
            if !seen.insert(member.key) {
                duplicate = true;
                continue;
            }
            if named(member.key).is_some_and(|(field, exact)| exact && is_mapped(field)) {
                continue;
            }
            let name = json::text(Value { raw: member.key, kind: member.key_kind }, &mut record.replaced);
            record.value(&format!("cloudflare.field.{name}"), member.value);
        }
        self.row.duplicate = duplicate;
        let service = match source.dataset {
            Dataset::FirewallEvents | Dataset::InstantLogs => Service::Edge,
            _ => Service::Other,
        };
        self.finish(source, service);
    }
}

/// Whether `http::attributes` and what follows it have written the field already.
fn is_mapped(field: Field) -> bool {
    matches!(
        field,
        Field::RayID
            | Field::ParentRayID
            | Field::OriginatorRayID
            | Field::ClientRequestPath
            | Field::RequestHeaders
    ) || ATTRIBUTES.iter().any(|(mapped, ..)| *mapped == field)
}

fn event_time(row: &Row<'_>) -> Option<UnixNanos> {
    [
        Field::EdgeStartTimestamp,
        Field::Timestamp,
        Field::Datetime,
        Field::EventTimestampMs,
        Field::When,
        Field::SessionStartTime,
    ]
    .into_iter()
    .filter_map(|field| row.get(field))
    .find_map(time::stamp)
}

fn event_severity(dataset: Dataset, row: &Row<'_>) -> Severity {
    let action = row.plain(Field::Action).unwrap_or("").to_ascii_lowercase();
    let stopped = matches!(action.as_str(), "block" | "drop" | "connection_close" | "connectionclose")
        || action.contains("challenge");
    if dataset == Dataset::FirewallEvents && stopped { WARN } else { INFO }
}

/// The natural key, in datasets that have one.
fn key(dataset: Dataset, row: &Row<'_>) -> Option<String> {
    let text = |field| row.get(field).map_or(Cow::Borrowed(""), |value| json::text(value, &mut false));
    match dataset {
        Dataset::FirewallEvents => {
            let ray = Ray::parse(&text(Field::RayID))?;
            let parts = [text(Field::RuleID), text(Field::MatchIndex), text(Field::Action)];
            Some(format!("firewall_events|{ray}|{}", parts.join("|")))
        }
        Dataset::AuditLogs => {
            let id = text(Field::ID);
            (!id.is_empty()).then(|| format!("audit_logs|{id}"))
        }
        _ => None,
    }
}
