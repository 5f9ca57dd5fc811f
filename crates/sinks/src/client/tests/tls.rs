//! Against servers that speak TLS. `server.pem` is for 127.0.0.1 and signed by `ca.pem`; `named.pem` is for peer.test and signed by
//! `clients-ca.pem`, as the client certificates are.

use std::fs;
use std::net::SocketAddr;
use std::sync::Mutex;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::*;

/// A server that takes TLS for a peer which knows none.
struct Behind {
    address: SocketAddr,
    /// The certificate that each connection's client showed.
    shown: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

fn of_file(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(certificate(name)).unwrap()
}

/// Puts `name`.pem before `peer`; with `clients`, only a client whose certificate that authority signed is let in, and HTTP/1.1 is
/// spoken, where an answer can end its connection.
async fn behind_tls(peer: &Peer, name: &str, clients: Option<&str>) -> Behind {
    let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let config = match clients {
        None => config.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(of_file(authority)).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.unwrap().with_client_cert_verifier(verifier)
        }
    };
    let mut config = config.with_single_cert(vec![of_file(&format!("{name}.pem"))], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if clients.is_none() {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, peer) = (listener.local_addr().unwrap(), peer.address());
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut near) = acceptor.accept(stream).await else { continue };
            let certificates = near.get_ref().1.peer_certificates().unwrap_or_default();
            seen.lock().unwrap().extend(certificates.first().cloned().map(CertificateDer::into_owned));
            let mut far = tokio::net::TcpStream::connect(peer).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    Behind { address, shown }
}

/// One request by a client of its own.
async fn ask(speak: Speak, behind: &Behind, tls: &Tls) -> Result<Answer, Failure> {
    let client = as_written(speak, &Written { tls: Some(tls), ..nothing() }).unwrap();
    let url = format!("https://{}/", behind.address).parse().unwrap();
    client.post(&url, HeaderMap::new(), bytes::Bytes::from_static(b"body").into()).await
}

fn trusting(ca: &str) -> Tls {
    Tls { ca_file: Some(certificate(ca)), ..Tls::default() }
}

#[tokio::test]
async fn only_a_certificate_of_a_trusted_authority_is_taken() {
    let peer = Peer::start(Reply::status(200)).await;
    let behind = behind_tls(&peer, "server", None).await;
    for (number, speak) in [Speak::Http, Speak::Http2].into_iter().enumerate() {
        assert_eq!(ask(speak, &behind, &trusting("ca.pem")).await.unwrap().status, 200);
        assert_eq!(peer.seen()[number].version, http::Version::HTTP_2, "both offer it, so ALPN chooses it");
        for tls in [Tls::default(), trusting("clients-ca.pem")] {
            let reason = retry(ask(speak, &behind, &tls).await);
            assert!(reason.contains("certificate"), "{reason}");
        }
    }
    assert_eq!(peer.seen().len(), 2);
    let both = Tls { system_authorities: true, ..trusting("ca.pem") };
    assert_eq!(ask(Speak::Http, &behind, &both).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_certificate_must_hold_the_hosts_name_or_the_one_that_is_set() {
    let peer = Peer::start(Reply::status(200)).await;
    let behind = behind_tls(&peer, "named", None).await;
    let tls = trusting("clients-ca.pem");
    let reason = retry(ask(Speak::Http, &behind, &tls).await);
    assert!(reason.contains("certificate"), "{reason}");
    let named = Tls { server_name: Some("peer.test".into()), ..tls.clone() };
    assert_eq!(ask(Speak::Http, &behind, &named).await.unwrap().status, 200);
    let other = Tls { server_name: Some("other.test".into()), ..tls };
    retry(ask(Speak::Http, &behind, &other).await);
}

#[tokio::test]
async fn any_certificate_is_taken_only_where_the_operator_dares() {
    let peer = Peer::start(Reply::status(200)).await;
    let behind = behind_tls(&peer, "named", None).await;
    let daring = Tls { insecure_skip_verify: true, ..Tls::default() };
    assert_eq!(ask(Speak::Http, &behind, &daring).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_peer_that_demands_a_certificate_is_shown_ours_and_then_the_renewed_one() {
    let folder = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| {
        fs::write(folder.path().join(to), fs::read(certificate(from)).unwrap()).unwrap();
    };
    // A connection that ends with its answer: each request shakes hands.
    let peer = Peer::start(Reply::status(200).header("connection", "close")).await;
    let behind = behind_tls(&peer, "server", Some("clients-ca.pem")).await;
    retry(ask(Speak::Http, &behind, &trusting("ca.pem")).await);
    assert!(peer.seen().is_empty());

    put("client-first.pem", "tls.crt");
    put("client-first.key", "tls.key");
    let tls = Tls {
        cert_file: Some(folder.path().join("tls.crt")),
        key_file: Some(folder.path().join("tls.key")),
        ..trusting("ca.pem")
    };
    let client = as_written(Speak::Http, &Written { tls: Some(&tls), ..nothing() }).unwrap();
    let url = format!("https://{}/", behind.address).parse().unwrap();
    let shown = async || {
        assert_eq!(client.post(&url, HeaderMap::new(), Payload::default()).await.unwrap().status, 200);
        behind.shown.lock().unwrap().last().cloned().unwrap()
    };
    assert_eq!(shown().await, of_file("client-first.pem"));
    put("client-second.pem", "tls.crt");
    assert_eq!(shown().await, of_file("client-first.pem"), "without its key the renewed one is of no use");
    put("client-second.key", "tls.key");
    assert_eq!(shown().await, of_file("client-second.pem"));
    fs::remove_file(folder.path().join("tls.key")).unwrap();
    assert_eq!(shown().await, of_file("client-second.pem"));
}

#[test]
fn client_certificates_that_cannot_be_used_are_told_when_the_sink_opens() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    let cases = [
        (folder.path().join("none"), certificate("client-first.key"), "none cannot be read"),
        (empty.clone(), certificate("client-first.key"), "empty holds no certificate"),
        (certificate("client-first.pem"), folder.path().join("none"), "none cannot be read"),
        (certificate("client-first.pem"), empty, "empty holds no private key"),
        (certificate("client-first.pem"), certificate("client-second.key"), "unusable together"),
    ];
    for (cert_file, key_file, expected) in cases {
        let tls = Tls { cert_file: Some(cert_file), key_file: Some(key_file), ..Tls::default() };
        let error = as_written(Speak::Http, &Written { tls: Some(&tls), ..nothing() }).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
