//! Where objects go: a URL and the options of its store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Problem;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use pipeline::settings::Secret;
use pipeline::{SinkContext, with_causes};

use super::connector::Connector;
use crate::client::{Client, Plan, Speak};

/// A place, checked.
#[derive(Debug)]
pub(super) struct Place {
    url: String,
    prefix: Path,
    store: Store,
}

#[derive(Debug)]
enum Store {
    S3 { bucket: String, options: Vec<(AmazonS3ConfigKey, Secret)> },
    Google { bucket: String, options: Vec<(GoogleConfigKey, Secret)> },
    Azure { container: String, options: Vec<(AzureConfigKey, Secret)> },
    Folder(PathBuf),
}

/// A place that objects can be put to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// How it is called in messages.
    pub(super) shown: String,
    /// Whether it keeps a content type.
    pub(super) has_attributes: bool,
}

impl Place {
    /// Takes URL and options apart. Pure.
    pub(super) fn check(
        url: &str,
        options: BTreeMap<String, Secret>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let mut bad = |message: &str| {
            problems.push(Problem::new("url", message, "write for example s3://BUCKET/PREFIX"));
            None
        };
        let Some((scheme, rest)) = url.split_once("://") else { return bad("has no scheme") };
        if rest.contains(['?', '#', '@']) {
            return bad("holds a query, a fragment or a user, of which stores know nothing");
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let place = |prefix, store| Some(Self { url: url.to_owned(), prefix, store });
        if scheme == "file" {
            if !host.is_empty() || path.is_empty() {
                return bad("a folder is written with three slashes: file:///FOLDER");
            }
            if let Some(name) = options.keys().next() {
                let message = format!("{name} is no option of a folder");
                problems.push(Problem::new(format!("options.{name}"), message, "remove it"));
            }
            return place(Path::default(), Store::Folder(PathBuf::from(format!("/{path}"))));
        }
        if host.is_empty() {
            return bad("names no bucket");
        }
        let Ok(prefix) = Path::parse(path.trim_end_matches('/')) else {
            return bad("its prefix is no path of an object");
        };
        let bucket = host.to_owned();
        match scheme {
            "s3" => place(prefix, Store::S3 { bucket, options: keys(options, problems) }),
            "gs" => place(prefix, Store::Google { bucket, options: keys(options, problems) }),
            "az" => place(prefix, Store::Azure { container: bucket, options: keys(options, problems) }),
            _ => bad("its scheme is none of s3, gs, az and file"),
        }
    }

    /// Opens the store; dials nothing. A folder is made.
    pub(super) fn open(self, plan: Plan, context: &SinkContext) -> Result<Opened, String> {
        let Self { url, prefix, store } = self;
        let connector = || -> Result<Connector, String> {
            Ok(Connector(Arc::new(Client::of(Speak::Http, plan, Arc::clone(&context.clock))?)))
        };
        let has_attributes = !matches!(store, Store::Folder(_));
        let failed = |error: object_store::Error| format!("{url}: {}", with_causes(&error));
        let store: Arc<dyn ObjectStore> = match store {
            Store::S3 { bucket, options } => {
                let builder =
                    options.into_iter().fold(AmazonS3Builder::from_env(), |builder, (key, value)| {
                        builder.with_config(key, value.expose())
                    });
                let builder = builder.with_bucket_name(bucket).with_http_connector(connector()?);
                Arc::new(builder.with_retry(RETRY).build().map_err(failed)?)
            }
            Store::Google { bucket, options } => {
                let builder = options
                    .into_iter()
                    .fold(GoogleCloudStorageBuilder::from_env(), |builder, (key, value)| {
                        builder.with_config(key, value.expose())
                    });
                let builder = builder.with_bucket_name(bucket).with_http_connector(connector()?);
                Arc::new(builder.with_retry(RETRY).build().map_err(failed)?)
            }
            Store::Azure { container, options } => {
                let builder =
                    options.into_iter().fold(MicrosoftAzureBuilder::from_env(), |builder, (key, value)| {
                        builder.with_config(key, value.expose())
                    });
                let builder = builder.with_container_name(container).with_http_connector(connector()?);
                Arc::new(builder.with_retry(RETRY).build().map_err(failed)?)
            }
            Store::Folder(folder) => {
                std::fs::create_dir_all(&folder)
                    .map_err(|error| format!("folder {} cannot be made: {error}", folder.display()))?;
                let folder = LocalFileSystem::new_with_prefix(&folder).map_err(failed)?;
                Arc::new(folder.with_fsync(true))
            }
        };
        Ok(Opened { store, prefix, shown: url, has_attributes })
    }
}

/// The courier does the retrying; what the library repeats at once is only what a connection that was just closed asks for.
const RETRY: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_millis(500),
        base: 2.0,
    },
    max_retries: 1,
    retry_timeout: Duration::from_secs(20),
};

/// Options by the names that their store knows.
fn keys<K: std::str::FromStr>(
    options: BTreeMap<String, Secret>,
    problems: &mut Vec<Problem>,
) -> Vec<(K, Secret)> {
    let mut known = Vec::new();
    for (name, value) in options {
        match name.to_ascii_lowercase().parse() {
            Ok(key) => known.push((key, value)),
            Err(_) => {
                let message = format!("{name} is no option of this store");
                let remedy = "see the page of this sink for the usual ones";
                problems.push(Problem::new(format!("options.{name}"), message, remedy));
            }
        }
    }
    known
}
