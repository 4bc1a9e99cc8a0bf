//! An OTLP receiver in Python, made of the official protobufs, and certificates for it.

use std::process::Command;
use std::time::Duration;

use gw502_tests::process::{Process, run};
use gw502_tests::scratch::Scratch;
use gw502_userspace::config::{OtlpConfig, OtlpProtocol};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::receiver::file;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ship/otlp/sink.py");

/// How long a receiver may take to start or to say what it got.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How to talk to a receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(super) protocol: OtlpProtocol,
    pub(super) secure: bool,
}

/// Every way there is.
pub(super) const WAYS: [Way; 4] = [
    Way::new(OtlpProtocol::Grpc, false),
    Way::new(OtlpProtocol::Grpc, true),
    Way::new(OtlpProtocol::Http, false),
    Way::new(OtlpProtocol::Http, true),
];

impl Way {
    pub(crate) const fn new(protocol: OtlpProtocol, secure: bool) -> Self {
        Self { protocol, secure }
    }

    /// As a part of a test's name.
    pub(super) const fn name(self) -> &'static str {
        match (self.protocol, self.secure) {
            (OtlpProtocol::Grpc, false) => "grpc",
            (OtlpProtocol::Grpc, true) => "grpc_tls",
            (OtlpProtocol::Http, false) => "http",
            (OtlpProtocol::Http, true) => "http_tls",
        }
    }
}

/// The receiver; ended when dropped.
pub(crate) struct Receiver {
    process: Process,
    port: u64,
    way: Way,
    /// Certificates, and secrets of the test.
    pub(super) files: Scratch,
}

impl Receiver {
    /// Starts it. It answers by `plan`, then takes everything; over TLS it wants to see the client's
    /// certificate.
    pub(super) fn start(way: Way, plan: &str) -> Self {
        Self::start_at(0, way, plan)
    }

    /// The same at a port, where another one was.
    pub(crate) fn start_at(port: u64, way: Way, plan: &str) -> Self {
        let files = Scratch::new();
        let mut command = Command::new("/usr/bin/python3");
        let transport = match way.protocol {
            OtlpProtocol::Grpc => "grpc",
            OtlpProtocol::Http => "http",
        };
        command.args([SCRIPT, transport, "--plan", plan]);
        command.args(["--port", &port.to_string()]);
        let protobufs = file(
            "python3-opentelemetry-proto",
            "usr/lib/python3/dist-packages",
        );
        command.env("PYTHONPATH", protobufs);
        if way.secure {
            certificates(&files);
            command.arg("--cert").arg(files.join("server.pem"));
            command.arg("--key").arg(files.join("server.key"));
            command.arg("--client-ca").arg(files.join("ca.pem"));
        }
        let process = Process::start(&mut command);
        let started = process.stdout.wait(PATIENCE, |lines| !lines.is_empty());
        let complaint = process.stderr.text();
        assert!(started, "the receiver does not start: {complaint}");
        let port = parse(&process.stdout.lines()[0])["port"].as_u64();
        Self {
            process,
            port: port.expect("a port"),
            way,
            files,
        }
    }

    /// What it takes to send there.
    pub(super) fn config(&self) -> OtlpConfig {
        let (scheme, path) = match (self.way.secure, self.way.protocol) {
            (true, OtlpProtocol::Grpc) => ("https", ""),
            (false, OtlpProtocol::Grpc) => ("http", ""),
            (true, OtlpProtocol::Http) => ("https", "/otlp"),
            (false, OtlpProtocol::Http) => ("http", "/otlp"),
        };
        let file = |name: &str| self.files.join(name);
        let secure = self.way.secure;
        OtlpConfig {
            endpoint: format!("{scheme}://localhost:{}{path}", self.port),
            ca_file: secure.then(|| file("ca.pem")),
            client_certificate: secure.then(|| (file("client.pem"), file("client.key"))),
            ..config(self.way.protocol)
        }
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u64 {
        self.port
    }

    /// What it said of its requests up to now.
    fn requests(&self) -> Vec<Value> {
        let lines = self.process.stdout.lines();
        lines[1..].iter().map(|line| parse(line)).collect()
    }

    /// Ends it; what it had said of its requests until then. What it was about to say of one that it
    /// had not answered is left out.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.process.signal(Signal::SIGTERM);
        self.process.wait(PATIENCE);
        let lines = self.process.stdout.lines();
        let whole = lines[1..].iter();
        whole
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What it said of its requests, `count` of them.
    pub(super) fn said(&self, count: usize) -> Vec<Value> {
        let enough = |lines: &[String]| lines.len() > count;
        self.process.stdout.wait(PATIENCE, enough);
        let requests = self.requests();
        let complaint = self.process.stderr.text();
        assert_eq!(requests.len(), count, "{requests:#?}\n{complaint}");
        requests
    }
}

/// A configuration that leads nowhere yet.
pub(super) fn config(protocol: OtlpProtocol) -> OtlpConfig {
    OtlpConfig {
        endpoint: String::new(),
        protocol,
        headers: [("x-tenant".to_owned(), "blue".to_owned())].into(),
        header_files: [].into(),
        ca_file: None,
        client_certificate: None,
        timeout: Duration::from_secs(5),
        metrics_every: None,
        resource: [("deployment.environment.name".to_owned(), "test".to_owned())].into(),
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).expect("the receiver writes JSON")
}

/// An authority that signed a server called localhost and a client; another that signed nobody.
fn certificates(files: &Scratch) {
    let path = |name: &str| files.join(name).display().to_string();
    let new = ["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"];
    let curve = ["-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let openssl = |arguments: &[&str]| {
        let arguments = [&new[..], &curve[..], arguments].concat();
        run("openssl", &arguments);
    };
    for authority in ["ca", "other"] {
        let (key, pem) = (
            path(&format!("{authority}.key")),
            path(&format!("{authority}.pem")),
        );
        let subject = format!("/CN=gw502 test {authority}");
        openssl(&["-subj", &subject, "-keyout", &key, "-out", &pem]);
    }
    for (who, names) in [("server", "DNS:localhost"), ("client", "DNS:gw502")] {
        let (key, pem) = (path(&format!("{who}.key")), path(&format!("{who}.pem")));
        let subject = format!("/CN={who}");
        let names = format!("subjectAltName={names}");
        openssl(&[
            "-subj",
            &subject,
            "-addext",
            &names,
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-CA",
            &path("ca.pem"),
            "-CAkey",
            &path("ca.key"),
            "-keyout",
            &key,
            "-out",
            &pem,
        ]);
    }
}
