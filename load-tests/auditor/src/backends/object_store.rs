//! Parquet files in a bucket.

use testkit::server::S3;

use crate::backend::{Copies, Form, Row, Secret, Server};
use crate::content::Run;
use crate::item::{Id, Signal};
use crate::read::{Found, store};

/// The row.
pub(crate) const ROW: Row = Row {
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
};

const BUCKET: &str = "audit";

struct Objects(S3);

impl Server for Objects {
    fn port(&self) -> Option<u16> {
        Some(self.0.port)
    }

    fn sink(&self, port: u16) -> String {
        format!(
            "{{ type: object_store, url: 's3://{BUCKET}/items', max_wait: 1s, options: {{ endpoint: 'http://127.0.0.1:{port}', region: us-east-1, access_key_id: '{}', secret_access_key: '${{AUDIT_S3}}' }} }}",
            S3::KEY_ID
        )
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret { variable: "AUDIT_S3", right: S3::SECRET })
    }

    fn has_disk(&self) -> bool {
        true
    }

    fn read(&self, run: &Run, _: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
        for key in self.0.keys(BUCKET, "items/") {
            let object = self.0.get(BUCKET, &key);
            store::read_bytes(run, object.into(), each).map_err(|error| format!("{key}: {error}"))?;
        }
        Ok(())
    }
}
