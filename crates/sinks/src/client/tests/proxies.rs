//! Through a proxy that opens tunnels and records what it is asked.

use std::sync::Mutex;

use pipeline::settings::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A proxy: after `answer` it connects through to wherever it is asked, or, without a status of success, hangs up.
struct Between {
    url: Secret,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn between(answer: &'static str) -> Between {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Secret::new(format!("http://user:s3cret@{}", listener.local_addr().unwrap()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(near.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target =
                head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            record.lock().unwrap().push(head);
            near.write_all(answer.as_bytes()).await.unwrap();
            if let (Some(target), true) = (target, answer.starts_with("HTTP/1.1 2")) {
                let mut far = TcpStream::connect(target).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            }
        }
    });
    Between { url, asked }
}

async fn ask(speak: Speak, between: &Between, no_proxy: &[String], url: &str) -> Result<Answer, Failure> {
    let client = as_written(speak, &Written { proxy: Some(&between.url), no_proxy, ..nothing() }).unwrap();
    client.post(&url.parse().unwrap(), HeaderMap::new(), bytes::Bytes::from_static(b"body").into()).await
}

/// `user:s3cret` in base64.
const CREDENTIALS: &str = "Basic dXNlcjpzM2NyZXQ=";

#[tokio::test]
async fn http_2_goes_through_a_tunnel_and_the_peer_sees_no_credentials() {
    let peer = Peer::start(Reply::status(200)).await;
    let between = between("HTTP/1.1 200 Connection established\r\nx-any: thing\r\n\r\n").await;
    assert_eq!(ask(Speak::Http2, &between, &[], &peer.url("/path")).await.unwrap().status, 200);
    let asked = between.asked.lock().unwrap().clone();
    assert!(asked[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", peer.address())), "{asked:?}");
    assert!(asked[0].contains(&format!("\r\nproxy-authorization: {CREDENTIALS}\r\n")));
    let seen = &peer.seen()[0];
    assert_eq!(
        (seen.version, &seen.body[..], seen.path.as_str()),
        (http::Version::HTTP_2, &b"body"[..], "/path")
    );
    assert_eq!(seen.header("proxy-authorization"), "");
}

#[tokio::test]
async fn an_https_url_is_asked_for_by_its_port_whatever_the_version() {
    let between = between("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    for speak in [Speak::Http, Speak::Http2] {
        let reason = retry(ask(speak, &between, &[], "https://peer.invalid/s3cret-path").await);
        assert!(reason.starts_with("https://peer.invalid cannot be reached: proxy 127.0.0.1:"), "{reason}");
        assert!(
            reason.ends_with("answers \"HTTP/1.1 403 Forbidden\"") && !reason.contains("s3cret"),
            "{reason}"
        );
    }
    assert!(
        between
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|head| head.starts_with("CONNECT peer.invalid:443 HTTP/1.1\r\n"))
    );
}

#[tokio::test]
async fn http_1_goes_to_the_proxy_itself_in_absolute_form() {
    let between = between("HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\n\r\nfine").await;
    let answer = ask(Speak::Http, &between, &[], "http://peer.invalid:81/path?query").await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b"fine"[..]));
    let asked = between.asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("POST http://peer.invalid:81/path?query HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nhost: peer.invalid:81\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nproxy-authorization: {CREDENTIALS}\r\n")), "{asked}");
}

#[tokio::test]
async fn an_excepted_host_is_reached_directly_and_sees_no_credentials() {
    let peer = Peer::start(Reply::status(200)).await;
    let between = between("").await;
    let except = ["127.0.0.0/8".to_owned()];
    for speak in [Speak::Http, Speak::Http2] {
        assert_eq!(ask(speak, &between, &except, &peer.url("/")).await.unwrap().status, 200);
    }
    assert!(peer.seen().iter().all(|seen| seen.header("proxy-authorization").is_empty()));
    assert!(between.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_no_answer_of_the_peer() {
    let endless = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(9000)).into_boxed_str());
    let cases = [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "answers \"HTTP/1.1 407 Proxy Authentication Required\"",
        ),
        ("HTTP/1.1 2", "end of file"),
        ("SSH-2.0-\x1b[31m\r\n\r\n", "answers \"SSH-2.0- [31m\""),
        ("HTTP/1.\r\n\r\n", "answers"),
        ("", "end of file"),
        (endless, "a head of more than 8192 bytes"),
    ];
    for (answer, expected) in cases {
        let hangs_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Secret::new(format!("http://{}", hangs_up.local_addr().unwrap()));
        let proxy = tokio::spawn(async move {
            let (mut near, _) = hangs_up.accept().await.unwrap();
            // Everything is read before the end, so that the client meets an end and not a reset.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(near.read_u8().await.unwrap());
            }
            near.write_all(answer.as_bytes()).await.unwrap();
            near.shutdown().await.unwrap();
            let _ = near.read_to_end(&mut head).await;
        });
        let between = Between { url, asked: Arc::default() };
        let reason = retry(ask(Speak::Http, &between, &[], "https://peer.invalid/").await);
        assert!(
            reason.contains("cannot be reached: proxy 127.0.0.1:") && reason.contains(expected),
            "{reason}"
        );
        proxy.await.unwrap();
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let between = Between { url: Secret::new(format!("http://{nobody}")), asked: Arc::default() };
    let reason = retry(ask(Speak::Http, &between, &[], "http://peer.invalid/").await);
    assert!(reason.contains(&format!("proxy {nobody}: ")), "{reason}");
}
