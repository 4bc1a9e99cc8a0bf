//! `HAProxy`: its configuration and its log.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Kind, Log, Logged, Settings, Talk, USER};
use crate::address::Address;
use crate::scratch::Scratch;

/// Starts the line of each finished request.
const MARK: &str = "request ";

/// Termination state of a request without a failure.
const FINE: &str = "--";

/// Writes the configuration and returns where it is.
#[track_caller]
pub(super) fn configure(settings: &Settings, port: u16, scratch: &Scratch, log: &Path) -> PathBuf {
    let name = format!("haproxy-{port}.cfg");
    scratch.write(&name, &configuration(settings, port, log))
}

pub(super) fn command(configuration: &Path) -> Command {
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(configuration);
    command
}

fn configuration(settings: &Settings, port: u16, log: &Path) -> String {
    let log = log.display();
    let upstream = match &settings.upstream {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix@{}", path.display()),
        Address::Abstract(name) => format!("abns@{name}"),
    };
    let retries = settings.retries;
    let connect = settings.connect_timeout.as_millis();
    let read = settings.read_timeout.as_millis();
    // `%ST` and `%HP` are words of mode http alone.
    let (mode, status) = match settings.kind {
        Kind::HaproxyTcp => ("tcp", ""),
        _ => ("http", "status=%ST path=%HP "),
    };
    // The default, `safe`, never gives a client's first request a used connection.
    let reuse = if settings.keep_alive {
        "always"
    } else {
        "safe"
    };
    let abort = if settings.abort_on_close {
        "option abortonclose"
    } else {
        ""
    };
    let logged = match settings.logged {
        Logged::Requests => "",
        Logged::Failures => "option dontlog-normal",
    };
    let options = settings.upstream_options;
    let protocol = if settings.http2 { " proto h2" } else { "" };
    let tls = match settings.talk {
        Talk::Plain => "",
        Talk::Tls => " ssl verify none",
    };
    format!(
        "
        global
            log {log} format raw local0
            maxconn 8000
            user {USER}
        defaults
            mode {mode}
            log global
            timeout client 30s
            timeout connect {connect}ms
            timeout server {read}ms
            retries {retries}
            http-reuse {reuse}
            {abort}
            {logged}
        frontend bench
            bind 0.0.0.0:{port} backlog 4096{protocol}
            log-format \"{MARK}end=%ts {status}retries=%rc from=%bi:%bp to=%b/%s\"
            default_backend upstreams
        backend upstreams
            {options}
            server upstream {upstream}{tls}\n"
    )
}

/// Reads the log.
pub(super) fn read(lines: &[String]) -> Log {
    let mut log = Log::default();
    for request in lines.iter().filter_map(|line| line.strip_prefix(MARK)) {
        log.requests += 1;
        log.attempts += attempts(request);
        if word(request, "end=") != Some(FINE) {
            log.complaints.push(request.to_owned());
        }
    }
    log
}

/// One more than its retries; none when no server was tried.
fn attempts(request: &str) -> usize {
    if request.contains("<NOSRV>") {
        return 0;
    }
    // A `+` says that the last retry went to another server.
    let retries = word(request, "retries=").map(|retries| retries.trim_start_matches('+'));
    retries
        .and_then(|retries| retries.parse::<usize>().ok())
        .unwrap_or_default()
        + 1
}

fn word<'a>(request: &'a str, key: &str) -> Option<&'a str> {
    request.split(' ').find_map(|word| word.strip_prefix(key))
}
