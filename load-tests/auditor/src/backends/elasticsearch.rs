//! Elasticsearch 7 and OpenSearch 2, with templates that the gateway puts.

use testkit::server::{Kind, OpenSearch};

use crate::backend::{Copies, Form, Row, Server};
use crate::cannot_hold::CannotHold;
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, elasticsearch};

/// The row of Elasticsearch 7.
pub(crate) const ELASTICSEARCH: Row = Row {
    name: "elasticsearch",
    signals: &Signal::ALL,
    form: Form::Items,
    cannot_hold: &[CannotHold::Bytes, CannotHold::NanPayloads],
    copies: Copies::Once,
    is_slow: true,
    start: |folder, _| Box::new(Documents(OpenSearch::start_with(Kind::Elasticsearch7, folder, &[]))),
};

/// The row of OpenSearch 2.
pub(crate) const OPENSEARCH: Row = Row {
    name: "opensearch",
    start: |folder, _| Box::new(Documents(OpenSearch::start(folder))),
    ..ELASTICSEARCH
};

struct Documents(OpenSearch);

impl Server for Documents {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: elasticsearch, nodes: ['http://127.0.0.1:{port}'], setup: {{ replicas: 0 }} }}")
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        elasticsearch::read(run, self.0.port, each)
    }
}
