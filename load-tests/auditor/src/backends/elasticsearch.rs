//! OpenSearch 2, with data streams of templates that the gateway puts, and Elasticsearch 7, with indices by day of a template that an operator has
//! put. Both keep attributes without a type for each, and lists of several kinds, which the auditor sends, as they are.

use serde_json::json;
use testkit::server::{Kind, OpenSearch};

use crate::backend::{Copies, Form, Refusal, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::content::poison::{CONFLICT, Poison, poison};
use crate::item::{Id, Signal};
use crate::read::elasticsearch::DATA_STREAM;
use crate::read::{Found, elasticsearch};

/// The row of Elasticsearch 7.
pub(crate) const ELASTICSEARCH: Row = Row {
    name: "elasticsearch",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[CannotHold::Bytes, CannotHold::NanPayloads],
    copies: Copies::Once,
    is_slow: true,
    start: |folder, _| {
        let server = OpenSearch::start_with(Kind::Elasticsearch7, folder, &[]);
        // Its Apache-licensed builds have no type `flattened`.
        let template = json!({
            "index_patterns": ["tidegate-*"],
            "template": {
                "settings": { "number_of_replicas": 0 },
                "mappings": {
                    "dynamic": false,
                    "properties": {
                        "@timestamp": { "type": "date_nanos" },
                        "trace_id": { "type": "keyword" },
                        "value": { "type": "double" },
                    },
                },
            },
        });
        let answer = server.request("PUT", "/_index_template/audit", &template);
        assert_eq!(answer.status, 200, "{}", answer.text());
        Box::new(Documents { server, more: ", mixed_lists: keep".to_owned() })
    },
};

/// The row of OpenSearch 2.
pub(crate) const OPENSEARCH: Row = Row {
    name: "opensearch",
    start: |folder, _| {
        let more = format!(
            ", index: 'tidegate-{{signal}}-{DATA_STREAM}', setup: {{ kind: data_stream, attributes: flat, replicas: 0 }}"
        );
        Box::new(Documents { server: OpenSearch::start(folder), more })
    },
    ..ELASTICSEARCH
};

struct Documents {
    server: OpenSearch,
    /// Further settings of the sink.
    more: String,
}

impl Server for Documents {
    fn port(&self) -> Option<u16> {
        Some(self.server.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: elasticsearch, nodes: ['http://127.0.0.1:{port}']{} }}", self.more)
    }

    fn kill(&mut self) {
        self.server.process.kill();
    }

    fn restart(&mut self) {
        self.server.restart();
    }

    fn has_disk(&self) -> bool {
        true
    }

    /// Shards that could not write are given up after some tries, and indices stay read-only for a while.
    fn disk_emptied(&mut self) {
        self.server.restart();
        self.server.request(
            "PUT",
            "/_all/_settings",
            &json!({ "index.blocks.read_only_allow_delete": null }),
        );
    }

    /// By a template above all others, which knows one attribute as a number.
    fn make_picky(&mut self) -> Result<(), String> {
        let template = json!({
            "index_patterns": ["tidegate-*"],
            "priority": 500,
            "template": {
                "settings": { "number_of_replicas": 0 },
                "mappings": {
                    "dynamic": false,
                    "properties": {
                        "@timestamp": { "type": "date_nanos" },
                        "attributes": { "properties": { CONFLICT: { "type": "integer" } } },
                    },
                },
            },
        });
        let answer = self.server.request("PUT", "/_index_template/picky", &template);
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    }

    fn refuses(&self, run: &Run, id: Id) -> Option<Refusal> {
        let is_refused = poison(run, id) == Some(Poison::Conflict);
        is_refused.then_some(Refusal::Letter("attributes.conflict"))
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        elasticsearch::read(run, self.server.port, each)
    }
}
