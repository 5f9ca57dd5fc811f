//! The TLS side of a client: whom it trusts, and what it shows of itself.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Tls;
use super::identity::Identity;

/// Reads the files that `tls` names.
pub(super) fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if tls.insecure_skip_verify {
        tracing::warn!(
            "insecure_skip_verify is set: anybody on the way to the peer can read and change what is sent"
        );
        config.dangerous().with_custom_certificate_verifier(Arc::new(AnyPeer(Arc::clone(&provider))))
    } else {
        config.with_root_certificates(roots(tls)?)
    };
    match (&tls.cert_file, &tls.key_file) {
        (Some(chain), Some(key)) => {
            let identity = Arc::new(Identity::read(chain, key, provider)?);
            let mut config = config.with_client_cert_resolver(identity);
            // A resumed session stands on the certificate that was shown when it began, which may have been renewed since.
            config.resumption = Resumption::disabled();
            Ok(config)
        }
        _ => Ok(config.with_no_client_auth()),
    }
}

/// The trusted authorities. One of the machine that cannot be read is passed over; of a configured file, never.
fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if tls.ca_file.is_none() || tls.system_authorities {
        let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(file) = &tls.ca_file {
        let at = file.display();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| format!("{at} holds an unusable certificate: {error}"))?;
        }
    }
    Ok(roots)
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let at = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("{at} cannot be read: {error}"))?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{at} is not PEM: {error}"))?;
    if all.is_empty() { Err(format!("{at} holds no certificate")) } else { Ok(all) }
}

/// Takes every certificate; only the handshake's signature is checked, so that the peer has at least the certificate's key.
#[derive(Debug)]
struct AnyPeer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyPeer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
