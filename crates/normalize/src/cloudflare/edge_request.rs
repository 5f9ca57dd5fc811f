//! The `EdgeRequest` shape: nested, or flat with dotted keys; headers as an object or as a list; numbers as strings;
//! no time of its own.

use std::borrow::Cow;

use model::id::{Ray, derived};

use super::fields::Field;
use super::http::{Form, attribute, severity, whole};
use super::{Mapper, Service, Source};
use crate::json::{self, Kind, Value};
use crate::trace::{Header, Headers, Trace};

const PREFIX: &[u8] = b"EdgeRequest.";

/// Whether the key is one of the flat form.
pub(super) fn is_dotted(key: &[u8]) -> bool {
    key.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

impl<'a> Mapper<'a> {
    /// Maps the request in the row.
    pub(super) fn edge_request(&mut self, source: Source<'a>) {
        let nested = self.row.get(Field::EdgeRequest).filter(|value| value.kind == Kind::Object);
        let get = |name: &str| -> Option<Value<'a>> {
            let flat = |name: &str| {
                let fits =
                    |key: &[u8]| is_dotted(key) && key[PREFIX.len()..].eq_ignore_ascii_case(name.as_bytes());
                self.row.members.iter().rev().find(|member| fits(member.key)).map(|member| member.value)
            };
            nested.and_then(|object| object.get(name)).or_else(|| flat(name))
        };
        let headers_value =
            get("Request").and_then(|request| request.get("Headers")).or_else(|| get("Request.Headers"));
        let (id, origin, method) = (get("ID"), get("Source"), get("Method"));
        let (duration, status) = (get("Duration"), get("Status"));

        let record = &mut self.record;
        record.start(None, self.received, severity(status.and_then(whole)), "cloudflare.edge_request");
        record.body(source.text);
        let mut headers = Headers::default();
        if let Some(found) = headers_value {
            headers.add(found, &mut record.replaced);
        }
        let trace = Trace::of(&headers, None);
        let id_text = id.map_or(Cow::Borrowed(""), |id| json::text(id, &mut false));
        let ray = Ray::parse(&id_text);
        let span = ray.filter(|_| trace.id.is_some()).map(|ray| derived::id8("cf.edge", &[ray.as_str()]));
        record.trace(&trace, span);
        if let Some(ray) = ray {
            record.str("cloudflare.ray_id", ray.as_str());
            record.str("tidegate.key", &format!("edge_request|{ray}"));
        } else if let Some(id) = id {
            record.text("cloudflare.edge_request.id", id);
        }
        match origin.filter(|value| !value.raw.is_empty()) {
            Some(origin) => record.text("source", origin),
            None => record.str("source", "cloudflare-worker"),
        }
        if let Some(method) = method {
            record.text("http.request.method", method);
        }
        if let Some(status) = status {
            attribute(record, "http.response.status_code", status, Form::Number);
        }
        if let Some(duration) = duration {
            let number = Value {
                kind: if json::decimal(duration.raw).is_some() { Kind::Number } else { duration.kind },
                ..duration
            };
            record.value("cloudflare.edge_request.duration_ms", number);
        }
        for (header, key) in [
            (Header::Host, "server.address"),
            (Header::UserAgent, "user_agent.original"),
            (Header::ConnectingIp, "client.address"),
            (Header::KongRequestId, "kong.request.id"),
        ] {
            if let Some(text) = headers.get(header) {
                record.str(key, text);
            }
        }
        self.finish(source, Service::Edge);
    }
}
