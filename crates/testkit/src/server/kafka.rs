//! Apache Kafka in KRaft mode, one node. Topics are made when they are first written to, with one partition.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{installed, java};
use crate::process::{Process, free_port, write};

const USER: &str = "gw";
const PASSWORD: &str = "secret";

const JAAS: &str = "org.apache.kafka.common.security";

/// A real Kafka.
#[derive(Debug)]
pub struct Kafka {
    /// Its process.
    pub process: Process,
    /// Plain text, without authentication.
    pub port: u16,
    /// SASL over plain text; 0 unless started by [`Kafka::start_secure`].
    pub sasl_port: u16,
    /// SASL over TLS; 0 unless started by [`Kafka::start_secure`].
    pub tls_port: u16,
    folder: PathBuf,
}

impl Kafka {
    /// The user that [`Kafka::start_secure`] knows, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    pub const USER: &str = USER;
    /// Its password.
    pub const PASSWORD: &str = PASSWORD;

    /// Starts a plain broker with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, "")
    }

    /// The same with further lines of `server.properties`, such as `message.max.bytes=20000`; a later line wins.
    pub fn start_with(folder: &Path, extra: &str) -> Self {
        let port = free_port();
        let properties = plain(folder, port, free_port()) + extra + "\n";
        format_and_launch(folder, &properties, &[], [port, 0, 0])
    }

    /// A broker that listens on `sasl_port` and `tls_port` too. Its certificate, for `127.0.0.1` and `localhost`, is its
    /// own authority: [`Kafka::ca`].
    pub fn start_secure(folder: &Path) -> Self {
        Self::start_behind(folder, |sasl| sasl)
    }

    /// The same, whose clients of `sasl_port` are told to come to another port: `way` gives that of a proxy to it.
    pub fn start_behind(folder: &Path, way: impl FnOnce(u16) -> u16) -> Self {
        let [port, controller, sasl, tls] = [free_port(), free_port(), free_port(), free_port()];
        let told = way(sasl);
        certificate(folder);
        let mut properties = plain(folder, port, controller);
        let listeners = |sasl: u16| {
            format!(
                "PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{tls}"
            )
        };
        write!(
            properties,
            "listeners={},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PKCS12
ssl.keystore.location={}
ssl.keystore.password={PASSWORD}
",
            listeners(sasl),
            listeners(told),
            folder.join("kafka.p12").display()
        )
        .expect("a string takes all");
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            let prefix = format!("listener.name.{listener}");
            write!(
                properties,
                "{prefix}.plain.sasl.jaas.config={JAAS}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
{prefix}.scram-sha-256.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;
{prefix}.scram-sha-512.sasl.jaas.config={JAAS}.scram.ScramLoginModule required;
"
            )
            .expect("a string takes all");
        }
        let users =
            ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|m| format!("{m}=[name={USER},password={PASSWORD}]"));
        let scram = users.each_ref().map(String::as_str).map(|user| ["--add-scram", user]).concat();
        format_and_launch(folder, &properties, &scram, [port, sasl, tls])
    }

    /// The certificate that [`Kafka::start_secure`] answers with, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("kafka.pem")
    }

    /// Starts it again on the same ports and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, self.port);
    }
}

fn plain(folder: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={}
num.partitions=1
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
",
        folder.join("kafka-data").display()
    )
}

fn format_and_launch(folder: &Path, properties: &str, scram: &[&str], ports: [u16; 3]) -> Kafka {
    let file = write(folder, "kafka.properties", properties);
    let mut format = java(&installed("kafka"), "384m", "kafka.tools.StorageTool");
    format.args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c"]).arg(file).args(scram);
    run(&mut format);
    let [port, sasl_port, tls_port] = ports;
    Kafka { process: launch(folder, port), port, sasl_port, tls_port, folder: folder.to_owned() }
}

fn launch(folder: &Path, port: u16) -> Process {
    let mut command = java(&installed("kafka"), "384m", "kafka.Kafka");
    command.arg(folder.join("kafka.properties"));
    let mut process = Process::start("kafka", &mut command, folder.join("kafka.log"));
    process.wait_until("ready", || brokers(port).is_ok_and(|count| count > 0));
    process
}

/// How many brokers the cluster has by a Metadata request: none while this one is fenced.
fn brokers(port: u16) -> io::Result<u32> {
    const METADATA_4: [u8; 4] = [0, 3, 0, 4];
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = METADATA_4.to_vec();
    request.extend_from_slice(&[0, 0, 0, 1]); // correlation id
    request.extend_from_slice(&[0xff, 0xff]); // no client id
    request.extend_from_slice(&[0, 0, 0, 0]); // no topics
    request.push(0); // and none made
    stream.write_all(&u32::try_from(request.len()).unwrap_or(0).to_be_bytes())?;
    stream.write_all(&request)?;
    // Length, correlation id, throttle time, then the array of brokers.
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    Ok(u32::from_be_bytes([head[12], head[13], head[14], head[15]]))
}

/// A key and a certificate of its own for loopback, by the tool that comes with every Java.
fn certificate(folder: &Path) {
    let store = folder.join("kafka.p12");
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(arguments).args(["-alias", "kafka", "-storetype", "PKCS12", "-storepass", PASSWORD]);
        command.arg("-keystore").arg(&store);
        run(&mut command)
    };
    keytool(&[
        "-genkeypair",
        "-keyalg",
        "RSA",
        "-keysize",
        "2048",
        "-validity",
        "3650",
        "-dname",
        "CN=localhost",
        "-ext",
        "san=ip:127.0.0.1,dns:localhost",
    ]);
    write(folder, "kafka.pem", &keytool(&["-exportcert", "-rfc"]));
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{out}{err}", output.status);
    out.into_owned()
}
