//! An object to its store, once. Everything that goes wrong here is tried again: it is never the items' fault.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Failure;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
};

use super::make::Object;
use super::place::Opened;

/// Writes objects below a prefix.
#[derive(Debug)]
pub(super) struct Putter {
    opened: Opened,
    part_size: usize,
    /// Whether the store has said that it knows no condition.
    unconditional: AtomicBool,
}

impl Putter {
    pub(super) fn new(opened: Opened, part_size: usize) -> Self {
        Self { opened, part_size, unconditional: AtomicBool::new(false) }
    }

    /// Resolves when the object is in the store: put now, or there already.
    ///
    /// # Errors
    /// Only `Failure::Retry` and `Failure::Unreachable`.
    pub(super) async fn put(&self, object: Object) -> Result<(), Failure> {
        let path = Path::from_iter(self.opened.prefix.parts().chain(Path::from(&*object.key).parts()));
        let put = if object.bytes.len() <= self.part_size {
            self.put_whole(&path, object).await
        } else {
            self.put_parts(&path, object).await
        };
        put.map_err(|error| self.failure(&error))
    }

    async fn put_whole(&self, path: &Path, object: Object) -> Result<(), Error> {
        if !self.unconditional.load(Ordering::Relaxed) {
            let options =
                PutOptions { mode: PutMode::Create, attributes: self.attributes(), ..PutOptions::default() };
            match self.opened.store.put_opts(path, object.bytes.clone().into(), options).await {
                Ok(_) => return Ok(()),
                // Either an earlier attempt has put it, or another one is at it just now: look.
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                    return if self.is_there(path, &object).await? { Ok(()) } else { Err(error) };
                }
                Err(error) if knows_no_condition(&error) => self.unconditional.store(true, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        let options = PutOptions { attributes: self.attributes(), ..PutOptions::default() };
        self.opened.store.put_opts(path, object.bytes.into(), options).await.map(drop)
    }

    async fn put_parts(&self, path: &Path, object: Object) -> Result<(), Error> {
        if self.is_there(path, &object).await? {
            return Ok(());
        }
        let options = PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let mut upload = self.opened.store.put_multipart_opts(path, options).await?;
        let mut rest = object.bytes;
        let uploaded = async {
            while !rest.is_empty() {
                let part = rest.split_to(self.part_size.min(rest.len()));
                upload.put_part(part.into()).await?;
            }
            upload.complete().await
        };
        if let Err(error) = uploaded.await {
            // What it says does not matter: the next attempt begins a new upload.
            let _ = upload.abort().await;
            return Err(error);
        }
        Ok(())
    }

    /// Whether the object is in the store, whole. Its name tells what is in it; an upload becomes an object when it is complete.
    async fn is_there(&self, path: &Path, object: &Object) -> Result<bool, Error> {
        match self.opened.store.head(path).await {
            Ok(found) => Ok(found.size == object.bytes.len() as u64),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn attributes(&self) -> Attributes {
        if !self.opened.has_attributes {
            return Attributes::default();
        }
        Attributes::from_iter([(Attribute::ContentType, "application/vnd.apache.parquet")])
    }

    fn failure(&self, error: &Error) -> Failure {
        let hint = match error {
            Error::NotFound { .. } => "is there such a bucket? ",
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => "are the credentials right? ",
            _ => "",
        };
        let reason = format!("{}: {hint}{}", self.opened.shown, pipeline::with_causes(error));
        if is_connect(error) { Failure::Unreachable { reason } } else { retry(reason) }
    }
}

/// Whether no connection came up.
fn is_connect(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<HttpError>().is_some_and(|error| error.kind() == HttpErrorKind::Connect) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a store refuses the condition itself. S3's protocol has the code `NotImplemented` for a header that a store does not know.
fn knows_no_condition(error: &Error) -> bool {
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || pipeline::with_causes(error).contains("NotImplemented")
}

/// Try again.
pub(super) fn retry(reason: String) -> Failure {
    Failure::Retry { after: None, reason }
}
