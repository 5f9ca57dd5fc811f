//! Object stores that speak S3 and check every signature: s3s-fs, and with `--all` MinIO. Read back by a small client
//! of our own (path style, Signature Version 4), so that what a sink's client thinks of S3 is not asked of itself.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::{binary, encode, installed};
use crate::process::{Answer, Process, answers, eventually, free_port, http};

const REGION: &str = "us-east-1";
const KEY_ID: &str = "tidegate";
const SECRET: &str = "tidegate-secret";

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// s3s-fs 0.14.1: light; accepts a PUT into a bucket that is not there.
    S3sFs,
    /// MinIO of 2026-02-12 (`--all`): the strict one.
    MinIo,
}

/// A real object store.
#[derive(Debug)]
pub struct S3 {
    /// Its process.
    pub process: Process,
    /// Its port.
    pub port: u16,
    store: Store,
    folder: PathBuf,
}

impl S3 {
    /// The access key that it takes.
    pub const KEY_ID: &str = KEY_ID;
    /// The secret key to it.
    pub const SECRET: &str = SECRET;

    /// Starts s3s-fs with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(Store::S3sFs, folder)
    }

    /// The same with one of the stores.
    pub fn start_with(store: Store, folder: &Path) -> Self {
        let port = free_port();
        Self { process: launch(store, folder, port), port, store, folder: folder.to_owned() }
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.store, &self.folder, self.port);
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket; names have three characters or more.
    pub fn make_bucket(&self, bucket: &str) {
        let answer = self.request("PUT", bucket, "", &[], b"");
        assert_eq!(answer.status, 200, "{bucket}: {}", answer.text());
    }

    /// The keys of a bucket that begin with `prefix`, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let (mut keys, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            query.extend(token.iter().map(|token| ("continuation-token", token.as_str())));
            let answer = self.request("GET", bucket, "", &query, b"");
            assert_eq!(answer.status, 200, "{bucket}: {}", answer.text());
            let text = answer.text();
            keys.extend(elements(&text, "Key"));
            token = elements(&text, "NextContinuationToken").into_iter().next();
            if token.is_none() {
                return keys;
            }
        }
    }

    /// An object's bytes.
    pub fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let answer = self.request("GET", bucket, key, &[], b"");
        assert_eq!(answer.status, 200, "{bucket}/{key}: {}", answer.text());
        answer.body
    }

    /// Writes an object.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        let answer = self.request("PUT", bucket, key, &[], body);
        assert_eq!(answer.status, 200, "{bucket}/{key}: {}", answer.text());
    }

    fn request(&self, method: &str, bucket: &str, key: &str, query: &[(&str, &str)], body: &[u8]) -> Answer {
        signed(self.port, SECRET, method, &path(bucket, key), query, body)
    }
}

fn path(bucket: &str, key: &str) -> String {
    let mut path = format!("/{bucket}");
    for part in key.split('/').filter(|_| !key.is_empty()) {
        path.push('/');
        path.push_str(&encode(part));
    }
    path
}

/// One request signed by Signature Version 4 (AWS General Reference, "Create a signed request").
fn signed(port: u16, secret: &str, method: &str, path: &str, query: &[(&str, &str)], body: &[u8]) -> Answer {
    let (day, time) = moment(crate::process::now().as_secs());
    let now = format!("{day}T{time}Z");
    let mut query: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    query.sort();
    let query = query.join("&");
    let (host, hash) = (format!("127.0.0.1:{port}"), hex(&Sha256::digest(body)));
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{hash}\nx-amz-date:{now}\n\nhost;x-amz-content-sha256;x-amz-date\n{hash}"
    );
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day.as_str(), REGION, "s3", "aws4_request"] {
        key = hmac(&key, part.as_bytes()).to_vec();
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
        hex(&hmac(&key, text.as_bytes()))
    );
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let headers =
        [("x-amz-content-sha256", &*hash), ("x-amz-date", &*now), ("authorization", &*authorization)];
    // All requests of tests may be made twice, and a server that has just come up may drop its first connection.
    eventually(&format!("{method} {target}"), || http(port, method, &target, &headers, body).ok())
}

/// RFC 2104 over SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut padded = [0; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let keyed = |pad: u8, text: &[u8]| -> [u8; 32] {
        Sha256::new().chain_update(padded.map(|byte| byte ^ pad)).chain_update(text).finalize().into()
    };
    keyed(0x5c, &keyed(0x36, text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// `YYYYMMDD` and `HHMMSS` in UTC, by the civil calendar's days since 0000-03-01.
fn moment(seconds: u64) -> (String, String) {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let time = format!("{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60);
    (format!("{year:04}{month:02}{day:02}"), time)
}

/// The texts of every element `name`, for the flat XML that a listing is.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(text, _)| {
            let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            plain.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
        })
        .collect()
}

fn launch(store: Store, folder: &Path, port: u16) -> Process {
    let data = folder.join("s3-data");
    std::fs::create_dir_all(&data).expect("a folder for the store's data");
    let address = format!("127.0.0.1:{port}");
    match store {
        Store::S3sFs => {
            let mut command = Command::new(installed("s3s-fs").join("bin/s3s-fs"));
            command.args(["--access-key", KEY_ID, "--secret-key", SECRET, "--host", "127.0.0.1", "--port"]);
            command.arg(port.to_string()).arg(data);
            let mut process = Process::start("s3s-fs", &mut command, folder.join("s3s-fs.log"));
            process.wait_until("ready", || TcpStream::connect(&address).is_ok());
            process
        }
        Store::MinIo => {
            let mut command = Command::new(binary("minio"));
            command.envs([("MINIO_ROOT_USER", KEY_ID), ("MINIO_ROOT_PASSWORD", SECRET)]);
            command.envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off")]).env("HOME", folder);
            command.args(["server", "--address", &address, "--quiet"]).arg(data);
            let mut process = Process::start("minio", &mut command, folder.join("minio.log"));
            // It says that it is ready a moment before it takes requests.
            process.wait_until("ready", || {
                answers(port, "/minio/health/ready")
                    && signed(port, SECRET, "GET", "/", &[], b"").status == 200
            });
            process
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_by_the_calendar() {
        let check = |seconds, day: &str, time: &str| {
            assert_eq!(moment(seconds), (day.to_owned(), time.to_owned()), "{seconds}");
        };
        check(0, "19700101", "000000");
        check(951_782_399, "20000228", "235959");
        check(951_782_400, "20000229", "000000");
        check(1_709_164_800, "20240229", "000000");
        check(1_767_225_599, "20251231", "235959");
        check(4_107_542_400, "21000301", "000000");
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        let check = |key: &[u8], text: &[u8], expected: &str| assert_eq!(hex(&hmac(key, text)), expected);
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
    }
}
