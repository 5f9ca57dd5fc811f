use super::*;
use crate::fixture::SetClock;
use http::StatusCode;
use testkit::peer::{Peer, Reply};

fn client(speak: Speak, headers: HeaderMap) -> Client {
    Client::open(speak, None, headers, Arc::new(SetClock::new())).unwrap()
}

async fn post(peer: &Peer, speak: Speak) -> Result<Answer, Failure> {
    let url = peer.url("/secret-path?token=s3cret").parse().unwrap();
    client(speak, HeaderMap::new())
        .post(&url, HeaderMap::new(), bytes::Bytes::from_static(b"body").into())
        .await
}

fn retry(result: Result<Answer, Failure>) -> String {
    match result {
        Err(Failure::Retry { after: None, reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_body_arrives_whole_in_either_version() {
    for (speak, version) in [(Speak::Http, http::Version::HTTP_11), (Speak::Http2, http::Version::HTTP_2)] {
        let peer = Peer::start(Reply::body(202, "fine")).await;
        let answer = post(&peer, speak).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..], answer.whole),
            (StatusCode::ACCEPTED, &b"fine"[..], true)
        );
        let seen = &peer.seen()[0];
        assert_eq!(
            (seen.version, &seen.body[..], seen.path.as_str()),
            (version, &b"body"[..], "/secret-path?token=s3cret")
        );
        assert!(seen.header("user-agent").starts_with("tidegate/"));
    }
}

#[tokio::test]
async fn a_framed_payload_is_its_pieces_in_order() {
    for (head, rest) in [("head", "rest"), ("", "rest"), ("head", ""), ("", "")] {
        let peer = Peer::start(Reply::status(200)).await;
        let url = peer.url("/").parse().unwrap();
        let payload = Payload::framed(head.into(), rest.into());
        client(Speak::Http2, HeaderMap::new()).post(&url, HeaderMap::new(), payload).await.unwrap();
        assert_eq!(peer.seen()[0].body, format!("{head}{rest}"));
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Peer::start(Reply::status(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::start(Reply::status(status).header("location", &other.url("/"))).await;
        assert_eq!(post(&peer, Speak::Http).await.unwrap().status.as_u16(), status);
        assert_eq!(peer.seen().len(), 1);
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn no_more_than_64_kib_of_an_answer_is_read() {
    let at_limit = Peer::start(Reply::body(200, vec![b'x'; answer::BODY_LIMIT])).await;
    let answer = post(&at_limit, Speak::Http).await.unwrap();
    assert_eq!((answer.body.len(), answer.whole), (answer::BODY_LIMIT, true));
    for speak in [Speak::Http, Speak::Http2] {
        let beyond = Peer::start(Reply::body(200, vec![b'x'; answer::BODY_LIMIT + 1])).await;
        let answer = post(&beyond, speak).await.unwrap();
        assert_eq!((answer.body.len(), answer.whole), (answer::BODY_LIMIT, false));
    }
}

#[tokio::test]
async fn a_large_head_is_no_answer() {
    let peer = Peer::start(Reply::status(200).header("x-large", &"x".repeat(200 << 10))).await;
    for speak in [Speak::Http, Speak::Http2] {
        retry(post(&peer, speak).await);
    }
}

#[tokio::test]
async fn without_an_answer_the_reason_names_the_peer_and_hides_path_and_query() {
    let hangup = Peer::start(Reply::Hangup).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for speak in [Speak::Http, Speak::Http2] {
        let reason = retry(post(&hangup, speak).await);
        let named = format!("http://{} gave no answer: ", hangup.address());
        assert!(reason.starts_with(&named) && !reason.contains("s3cret"), "{reason}");
        let url = format!("http://{free}/s3cret").parse().unwrap();
        let nobody =
            client(speak, HeaderMap::new()).post(&url, HeaderMap::new(), bytes::Bytes::new().into()).await;
        let reason = retry(nobody);
        let named = format!("http://{free} cannot be reached: ");
        assert!(reason.starts_with(&named) && !reason.contains("s3cret"), "{reason}");
    }
}

#[tokio::test]
async fn a_peer_that_hung_up_is_spoken_to_again() {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(Reply::Hangup);
    let (client, url) = (client(Speak::Http2, HeaderMap::new()), peer.url("/").parse().unwrap());
    let ask = || client.post(&url, HeaderMap::new(), bytes::Bytes::new().into());
    retry(ask().await);
    assert_eq!(ask().await.unwrap().status, 200);
}

#[tokio::test]
async fn the_sinks_headers_are_sent_and_the_requests_own_win() {
    let peer = Peer::start(Reply::status(200)).await;
    let mut own = HeaderMap::new();
    own.insert("x-tenant", HeaderValue::from_static("a"));
    own.insert("x-kind", HeaderValue::from_static("sink"));
    let mut request = HeaderMap::new();
    request.insert("x-kind", HeaderValue::from_static("request"));
    let url = peer.url("/").parse().unwrap();
    client(Speak::Http, own).post(&url, request, bytes::Bytes::new().into()).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!((seen.header("x-tenant"), seen.header("x-kind")), ("a", "request"));
    assert_eq!(seen.headers.get_all("x-kind").iter().count(), 1);
}

#[test]
fn a_certificate_file_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let open = |ca_file: &std::path::Path| {
        let tls = Tls { ca_file: ca_file.to_owned() };
        Client::open(Speak::Http, Some(&tls), HeaderMap::new(), Arc::new(SetClock::new())).unwrap_err()
    };
    assert!(open(&file).contains("cannot be read"));
    std::fs::write(&file, "no certificate").unwrap();
    assert!(open(&file).contains("holds no certificate"));
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(open(&file).contains("unusable certificate"));
}

/// Takes TLS for a peer that knows none. The certificate is for 127.0.0.1, signed by `certificates/ca.pem`.
async fn behind_tls(peer: &Peer) -> std::net::SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_slice(include_bytes!("certificates/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("certificates/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, peer) = (listener.local_addr().unwrap(), peer.address());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut near) = acceptor.accept(stream).await else { continue };
            let mut far = tokio::net::TcpStream::connect(peer).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    address
}

#[tokio::test]
async fn only_a_certificate_of_a_trusted_authority_is_taken() {
    let peer = Peer::start(Reply::status(200)).await;
    let url = format!("https://{}/", behind_tls(&peer).await).parse().unwrap();
    let tls = Tls { ca_file: concat!(env!("CARGO_MANIFEST_DIR"), "/src/client/certificates/ca.pem").into() };
    let ask = async |speak, tls| {
        let client = Client::open(speak, tls, HeaderMap::new(), Arc::new(SetClock::new())).unwrap();
        client.post(&url, HeaderMap::new(), bytes::Bytes::from_static(b"body").into()).await
    };
    for (number, speak) in [Speak::Http, Speak::Http2].into_iter().enumerate() {
        assert_eq!(ask(speak, Some(&tls)).await.unwrap().status, 200);
        assert_eq!(peer.seen()[number].version, http::Version::HTTP_2, "both offer it, so ALPN chooses it");
        let reason = retry(ask(speak, None).await);
        assert!(reason.contains("certificate"), "{reason}");
    }
    assert_eq!(peer.seen().len(), 2);
}
