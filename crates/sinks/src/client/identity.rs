//! The certificate by which the gateway shows a peer who it is (mutual TLS). Short-lived certificates are renewed in place, so
//! the files are looked at before every handshake and read again when they changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;

/// A certificate chain and its key, as their files have them.
#[derive(Debug)]
pub(super) struct Identity {
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    stamp: Option<Stamp>,
    certified: Arc<CertifiedKey>,
}

/// When both files were written, and how long they are.
type Stamp = [(SystemTime, u64); 2];

impl Identity {
    /// Reads both files.
    pub(super) fn read(chain: &Path, key: &Path, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        // Before the content: what is written in between is read again.
        let stamp = stamp(chain, key);
        let certified = Arc::new(certified(chain, key, &provider)?);
        let held = Mutex::new(Held { stamp, certified });
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), provider, held })
    }

    /// What to show now. Files that cannot be used (one of the two may not be renewed yet) leave the last pair in use.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.chain, &self.key);
        if stamp != held.stamp {
            match certified(&self.chain, &self.key, &self.provider) {
                Ok(certified) => *held = Held { stamp, certified: Arc::new(certified) },
                Err(error) => tracing::warn!(
                    error,
                    "a renewed client certificate is unusable; the last one stays in use"
                ),
            }
        }
        Arc::clone(&held.certified)
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn stamp(chain: &Path, key: &Path) -> Option<Stamp> {
    let of = |file: &Path| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    Some([of(chain)?, of(key)?])
}

fn certified(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let certificates = super::tls::certificates(chain)?;
    let at = key.display();
    let pem = fs::read(key).map_err(|error| format!("{at} cannot be read: {error}"))?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| format!("{at} holds no private key; an encrypted one must be decrypted first"))?;
    CertifiedKey::from_der(certificates, private, provider)
        .map_err(|error| format!("{} and {at} are unusable together: {error}", chain.display()))
}
