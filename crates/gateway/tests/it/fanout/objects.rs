//! An S3 store behind the `object_store` sink.

use std::path::Path;

use testkit::server::S3;

use super::back_end::{BackEnd, Fact};
use super::facts_of_store;
use crate::stored::{Row, rows};

const BUCKET: &str = "lake";
const PREFIX: &str = "it";

/// s3s-fs, which checks every signature.
pub(crate) struct InS3(S3);

impl InS3 {
    pub(crate) fn start(folder: &Path) -> Self {
        let store = S3::start(folder);
        store.make_bucket(BUCKET);
        Self(store)
    }

    /// Every object, got by a client of our own and laid below a folder.
    fn download(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for key in self.0.keys(BUCKET, PREFIX) {
            let path = folder.path().join(key.strip_prefix(PREFIX).unwrap().trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.0.get(BUCKET, &key)).unwrap();
        }
        folder
    }
}

impl BackEnd for InS3 {
    fn name(&self) -> &'static str {
        "lake"
    }

    fn sink(&self) -> String {
        format!(
            "{{ type: object_store, url: 's3://{BUCKET}/{PREFIX}', max_wait: 1s, backoff: 200ms, options: {{ endpoint: '{}', region: us-east-1, \
             access_key_id: {}, secret_access_key: {} }} }}",
            self.0.endpoint(),
            S3::KEY_ID,
            S3::SECRET
        )
    }

    fn facts(&self) -> Vec<Fact> {
        facts_of_store(self.download().path())
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    /// Every row of every signal, the story's and the numbered, with all that it says, to the bit.
    fn check_story(&self, store: &Path) {
        let lake = self.download();
        for signal in ["traces", "logs", "metrics"] {
            let all = |folder: &Path| -> Vec<Row> {
                let mut all = rows(
                    folder,
                    signal,
                    &["timestamp", "attributes", "resource_attributes", "source", "resource", "scope", "raw"],
                );
                all.sort();
                all
            };
            let (here, there) = (all(store), all(lake.path()));
            assert_eq!(here.len(), there.len(), "{signal}");
            assert!(here == there, "{signal}: the lake's rows are not the store's");
        }
    }
}
