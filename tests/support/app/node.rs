//! Node: one process that listens and serves.

use std::net::SocketAddr;
use std::process::Command;

use super::App;
use crate::lab::Lab;
use crate::process::run;
use crate::scratch::Scratch;

const SCRIPT: &str = include_str!("server.js");

/// Starts it at `address` with options of the script, `keepAliveTimeout=1000` or `backlog=1`.
#[must_use]
#[track_caller]
pub fn node(lab: &Lab, address: SocketAddr, options: &[&str]) -> App {
    let script = lab.scratch().write("server.js", SCRIPT);
    let mut command = Command::new("node");
    command
        .arg(script)
        .arg(address.ip().to_string())
        .arg(address.port().to_string())
        .args(options)
        // Where a core would be left.
        .current_dir(lab.scratch().path());
    App::start(lab.upstream(), address.into(), command, "listening")
}

/// A certificate and its key, which nobody verifies.
#[derive(Debug)]
pub struct Tls {
    certificate: String,
    key: String,
}

impl Tls {
    /// New ones, in `scratch`.
    #[must_use]
    #[track_caller]
    pub fn new(scratch: &Scratch) -> Self {
        let file = |name| scratch.join(name).display().to_string();
        let (certificate, key) = (file("upstream.pem"), file("upstream.key"));
        let new = ["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"];
        let rest = [
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=upstream",
        ];
        let files = ["-keyout", key.as_str(), "-out", certificate.as_str()];
        run("openssl", &[&new[..], &rest, &files].concat());
        Self { certificate, key }
    }
}

/// Starts it at `address`, speaking TLS.
#[must_use]
#[track_caller]
pub fn node_tls(lab: &Lab, address: SocketAddr, tls: &Tls, options: &[&str]) -> App {
    let (certificate, key) = (
        format!("certificate={}", tls.certificate),
        format!("key={}", tls.key),
    );
    let options = [options, &[certificate.as_str(), key.as_str()]].concat();
    node(lab, address, &options)
}
