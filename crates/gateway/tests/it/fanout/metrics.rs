//! Prometheus and VictoriaMetrics behind the `prometheus` sink.

use std::path::Path;

use testkit::server::{Prometheus, VictoriaMetrics};

use super::back_end::{BackEnd, Fact};
use crate::numbered::Input;

const MILLI: i64 = 1_000_000;

/// Prometheus by remote-write 2.0.
pub(crate) struct InPrometheus(Prometheus);

impl InPrometheus {
    pub(crate) fn start(folder: &Path) -> Self {
        // What comes late, after a kill, is older than what is there.
        let config = "global: {}\nstorage: {tsdb: {out_of_order_time_window: 1h}}\n";
        Self(Prometheus::start(folder, config))
    }
}

impl BackEnd for InPrometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn sink(&self) -> String {
        let url = format!("http://127.0.0.1:{}/api/v1/write", self.0.port);
        format!("{{ type: prometheus, url: '{url}', message: '2.0', backoff: 200ms }}")
    }

    fn inputs(&self) -> &'static [Input] {
        &[Input::RemoteWrite]
    }

    fn nanos(&self) -> i64 {
        MILLI
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for series in self.0.query("numbered[1h]").as_array().unwrap() {
            let name = series["metric"]["number"].as_str().unwrap();
            for point in series["values"].as_array().unwrap() {
                let millis = (point[0].as_f64().unwrap() * 1e3).round() as i64;
                let value: f64 = point[1].as_str().unwrap().parse().unwrap();
                let nanos = (millis * MILLI).to_string();
                facts.extend(Fact::new(Input::RemoteWrite, name, &nanos, value.to_string()));
            }
        }
        facts
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    /// The story has no metrics.
    fn check_story(&self, _: &Path) {}
}

/// VictoriaMetrics by remote-write 1.0, which is all that it speaks.
pub(crate) struct InVictoriaMetrics(VictoriaMetrics);

impl InVictoriaMetrics {
    pub(crate) fn start(folder: &Path) -> Self {
        Self(VictoriaMetrics::start(folder))
    }
}

impl BackEnd for InVictoriaMetrics {
    fn name(&self) -> &'static str {
        "victoriametrics"
    }

    fn sink(&self) -> String {
        let url = format!("http://127.0.0.1:{}/api/v1/write", self.0.port);
        format!("{{ type: prometheus, url: '{url}', message: '1.0', backoff: 200ms }}")
    }

    fn inputs(&self) -> &'static [Input] {
        &[Input::RemoteWrite]
    }

    fn nanos(&self) -> i64 {
        MILLI
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for series in self.0.export("numbered") {
            let name = series["metric"]["number"].as_str().unwrap();
            let times = series["timestamps"].as_array().unwrap();
            for (time, value) in times.iter().zip(series["values"].as_array().unwrap()) {
                let nanos = (time.as_i64().unwrap() * MILLI).to_string();
                let value = value.as_f64().unwrap().to_string();
                facts.extend(Fact::new(Input::RemoteWrite, name, &nanos, value));
            }
        }
        facts
    }

    /// Cleanly: by its own documentation it may lose the last seconds of what it acknowledged when it is killed.
    fn kill(&mut self) {
        self.0.process.terminate();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    /// The story has no metrics.
    fn check_story(&self, _: &Path) {}
}
