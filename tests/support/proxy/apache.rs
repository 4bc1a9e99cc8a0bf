//! Apache: its configuration and its logs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Log, Settings, USER, WORKERS};
use crate::address::Address;
use crate::scratch::Scratch;

/// Starts the line of each finished request.
const MARK: &str = "request ";

/// Where Debian keeps the modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Threads of each worker: as many requests may hang there.
const THREADS: usize = 16;

/// Writes the configuration and returns where it is.
#[track_caller]
pub(super) fn configure(settings: &Settings, port: u16, scratch: &Scratch) -> PathBuf {
    let name = format!("apache-{port}.conf");
    scratch.write(&name, &configuration(settings, port, scratch))
}

pub(super) fn command(configuration: &Path) -> Command {
    let mut command = Command::new("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(configuration);
    command
}

fn configuration(settings: &Settings, port: u16, scratch: &Scratch) -> String {
    let directory = scratch.path().display();
    let upstream = match &settings.upstream {
        Address::Tcp(address) => format!("http://{address}/"),
        unix => format!("{unix}|http://localhost/"),
    };
    let connect = settings.connect_timeout.as_millis();
    let read = settings.read_timeout.as_secs();
    let keep = if settings.keep_alive { "Off" } else { "On" };
    let all = WORKERS * THREADS;
    // retry=0: else one failure keeps the requests of the next minute from the upstream.
    format!(
        "
        LoadModule mpm_event_module {MODULES}/mod_mpm_event.so
        LoadModule authz_core_module {MODULES}/mod_authz_core.so
        LoadModule proxy_module {MODULES}/mod_proxy.so
        LoadModule proxy_http_module {MODULES}/mod_proxy_http.so
        ServerRoot {directory}
        DefaultRuntimeDir {directory}
        PidFile {directory}/apache-{port}.pid
        ServerName bench
        Listen 0.0.0.0:{port}
        User {USER}
        Group {USER}
        StartServers {WORKERS}
        ServerLimit {WORKERS}
        ThreadsPerChild {THREADS}
        MaxRequestWorkers {all}
        MinSpareThreads 1
        MaxSpareThreads {all}
        ErrorLog /dev/stderr
        LogFormat \"{MARK}status=%>s path=%U\" bench
        CustomLog /dev/stdout bench
        ProxyTimeout {read}
        ProxyPass / {upstream} retry=0 connectiontimeout={connect}ms disablereuse={keep}
        "
    )
}

/// Reads the access log. It does not say how often an upstream was tried: once, since there is one
/// upstream, and no connection that was used before.
pub(super) fn read(lines: &[String]) -> Log {
    let requests = lines.iter().filter(|line| line.starts_with(MARK)).count();
    Log {
        requests,
        attempts: requests,
        complaints: Vec::new(),
    }
}

/// Whether a line of the error log speaks of a failed connect: over TCP, over a unix socket.
pub(super) fn is_complaint(line: &str) -> bool {
    line.contains("AH00957: ") || line.contains("AH02454: ")
}
