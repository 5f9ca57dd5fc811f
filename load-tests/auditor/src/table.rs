//! The back ends, sorted by name.

use std::path::{Path, PathBuf};

use testkit::server::{Kafka, Prometheus, S3};

use crate::backend::{CannotHold, Copies, Form, Row, Server};
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, kafka, lines, otlp_json, prometheus, store};
use crate::recorder::Recorder;
use crate::{flatten, json};

/// Every back end that the auditor can read.
pub const BACKENDS: &[Row] = &[
    Row {
        name: "file",
        signals: &Signal::ALL,
        form: Form::Items,
        cannot_hold: &[CannotHold::NanPayloads],
        copies: Copies::Once,
        is_slow: false,
        start: |folder, _| Box::new(Archive { folder: folder.to_owned() }),
    },
    Row {
        name: "http",
        signals: &Signal::ALL,
        form: Form::Items,
        cannot_hold: &[CannotHold::NanPayloads],
        copies: Copies::AtLeastOnce,
        is_slow: false,
        start: |_, _| Box::new(Http(Recorder::start())),
    },
    Row {
        name: "kafka",
        signals: &Signal::ALL,
        form: Form::Items,
        cannot_hold: &[],
        copies: Copies::AtLeastOnce,
        is_slow: true,
        start: |folder, _| Box::new(Topics(Kafka::start(folder))),
    },
    Row {
        name: "object_store",
        signals: &Signal::ALL,
        form: Form::Items,
        cannot_hold: &[],
        copies: Copies::Once,
        is_slow: false,
        start: |folder, _| {
            let server = S3::start(folder);
            server.make_bucket(BUCKET);
            Box::new(Objects(server))
        },
    },
    Row {
        name: "otlp",
        signals: &Signal::ALL,
        form: Form::Items,
        cannot_hold: &[],
        copies: Copies::AtLeastOnce,
        is_slow: false,
        start: |_, _| Box::new(Otlp(Recorder::start())),
    },
    Row {
        name: "prometheus",
        signals: &[Signal::Metrics],
        form: Form::Samples,
        cannot_hold: &[],
        copies: Copies::Once,
        is_slow: false,
        start: |folder, _| Box::new(Metrics(Prometheus::start(folder, "global: {}\n"))),
    },
    Row {
        name: "store",
        signals: &Signal::ALL,
        form: Form::Items,
        cannot_hold: &[],
        copies: Copies::Once,
        is_slow: false,
        start: |_, data| Box::new(Store { folder: data.join("sinks/store") }),
    },
];

struct Archive {
    folder: PathBuf,
}

impl Server for Archive {
    fn sink(&self, _: u16) -> String {
        format!("{{ type: file, folder: {}, rotate_bytes: 1MiB }}", self.folder.join("archive").display())
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        lines::read(run, &self.folder.join("archive"), each)
    }
}

/// OTLP/JSON posted to any URL.
struct Http(Recorder);

impl Server for Http {
    fn port(&self) -> Option<u16> {
        Some(self.0.port())
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: http, url: 'http://127.0.0.1:{port}/items', format: otlp_json }}")
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for (_, body) in self.0.requests()? {
            for fields in otlp_json::items(&json::read_bytes(&body)?)? {
                each(Found::item(run, fields));
            }
        }
        Ok(())
    }
}

/// OTLP over HTTP.
struct Otlp(Recorder);

impl Server for Otlp {
    fn port(&self) -> Option<u16> {
        Some(self.0.port())
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: otlp, protocol: http, endpoint: 'http://127.0.0.1:{port}' }}")
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for (path, body) in self.0.requests()? {
            let signal = Signal::ALL.into_iter().find(|signal| path == format!("/v1/{}", signal.name()));
            let signal = signal.ok_or_else(|| format!("a request to {path}"))?;
            for fields in flatten::request(signal, &body).map_err(|error| error.to_string())? {
                each(Found::item(run, fields));
            }
        }
        Ok(())
    }
}

/// Topics of OTLP requests. Brokers tell their own address, so that no fault can be put before them; they can be killed.
struct Topics(Kafka);

impl Server for Topics {
    fn sink(&self, _: u16) -> String {
        format!("{{ type: kafka, brokers: ['127.0.0.1:{}'] }}", self.0.port)
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        let brokers = format!("127.0.0.1:{}", self.0.port);
        for (signal, topic) in
            [(Signal::Traces, "otlp_spans"), (Signal::Logs, "otlp_logs"), (Signal::Metrics, "otlp_metrics")]
        {
            for message in kafka::read(&brokers, topic)? {
                for fields in flatten::request(signal, &message).map_err(|error| error.to_string())? {
                    each(Found::item(run, fields));
                }
            }
        }
        Ok(())
    }
}

struct Metrics(Prometheus);

impl Server for Metrics {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!("{{ type: prometheus, url: 'http://127.0.0.1:{port}/api/v1/write' }}")
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        prometheus::read(run, self.0.port, each)
    }
}

const BUCKET: &str = "audit";

struct Objects(S3);

impl Server for Objects {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!(
            "{{ type: object_store, url: 's3://{BUCKET}/items', max_wait: 1s, options: {{ endpoint: 'http://127.0.0.1:{port}', region: us-east-1, access_key_id: '{}', secret_access_key: '{}' }} }}",
            S3::KEY_ID,
            S3::SECRET
        )
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for key in self.0.keys(BUCKET, "items/") {
            let object = self.0.get(BUCKET, &key);
            store::read_bytes(run, object.into(), each).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(())
    }
}

struct Store {
    folder: PathBuf,
}

impl Server for Store {
    fn sink(&self, _: u16) -> String {
        "{ type: store, flush_age: 1s }".to_owned()
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        store::read(run, &self.folder, each)
    }
}

/// The rows of these names; all quick ones when none is named, all of them when `all`.
pub fn chosen(names: &[String], all: bool) -> Result<Vec<Row>, String> {
    for name in names {
        if !BACKENDS.iter().any(|row| row.name == name) {
            let known: Vec<&str> = BACKENDS.iter().map(|row| row.name).collect();
            return Err(format!("{name} is no back end; there are: {}", known.join(", ")));
        }
    }
    let is_chosen = |row: &&Row| {
        if names.is_empty() { all || !row.is_slow } else { names.iter().any(|name| name == row.name) }
    };
    Ok(BACKENDS.iter().filter(is_chosen).copied().collect())
}

/// A folder of a back end's own.
pub(crate) fn folder(below: &Path, row: &Row) -> Result<PathBuf, String> {
    let folder = below.join(row.name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}
