//! Node: one process that listens and serves.

use std::net::SocketAddr;
use std::process::Command;

use super::App;
use crate::lab::Lab;

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
