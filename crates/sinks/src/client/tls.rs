//! Whom a client trusts: the machine's certificate authorities, or those of one file instead.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::Tls;

/// The TLS side of a client. An authority of the machine that cannot be read is passed over; of a configured file, never.
pub(super) fn config(tls: Option<&Tls>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match tls {
        None => {
            let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(Tls { ca_file }) => {
            let at = ca_file.display();
            let certificates = CertificateDer::pem_file_iter(ca_file)
                .map_err(|error| format!("{at} cannot be read: {error}"))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| format!("{at} is not PEM: {error}"))?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("{at} holds an unusable certificate: {error}"))?;
            }
            if roots.is_empty() {
                return Err(format!("{at} holds no certificate"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
