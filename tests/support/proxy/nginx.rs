//! nginx: its configuration and its logs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Kind, Log, Logged, Settings, Talk, USER, WORKERS};
use crate::scratch::Scratch;

/// Starts the line of each finished request.
const MARK: &str = "request ";

/// Writes the configuration and returns where it is.
#[track_caller]
pub(super) fn configure(settings: &Settings, port: u16, scratch: &Scratch) -> PathBuf {
    let name = format!("nginx-{port}.conf");
    scratch.write(&name, &configuration(settings, port, scratch))
}

pub(super) fn command(configuration: &Path, scratch: &Scratch) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr");
    command.arg("-p").arg(scratch.path());
    command.arg("-c").arg(configuration);
    command
}

fn configuration(settings: &Settings, port: u16, scratch: &Scratch) -> String {
    let directory = scratch.path().display();
    let (module, service) = match settings.kind {
        Kind::NginxStream => (
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;",
            stream(settings, port),
        ),
        _ => ("", http(settings, port, scratch)),
    };
    format!(
        "
        {module}
        daemon off;
        user {USER};
        worker_processes {WORKERS};
        error_log stderr;
        pid {directory}/nginx-{port}.pid;
        events {{ worker_connections 8192; }}
        {service}
        "
    )
}

fn http(settings: &Settings, port: u16, scratch: &Scratch) -> String {
    let directory = scratch.path().display();
    let upstream = &settings.upstream;
    let connect = settings.connect_timeout.as_millis();
    let read = settings.read_timeout.as_millis();
    let (pool, version) = if settings.keep_alive {
        ("keepalive 64;", "1.1")
    } else {
        ("", "1.0")
    };
    let scheme = match settings.talk {
        Talk::Plain => "http",
        Talk::Tls => "https",
    };
    let (word, pass) = match &settings.script {
        None => (
            "proxy",
            format!(
                "proxy_pass {scheme}://upstreams;
                    proxy_http_version {version};
                    proxy_set_header Connection '';"
            ),
        ),
        Some(script) => ("fastcgi", fastcgi(script)),
    };
    let protocol = if settings.http2 { " http2" } else { "" };
    let log = log(settings);
    let options = settings.upstream_options;
    format!(
        "
        http {{
            client_body_temp_path {directory}/body;
            proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/fastcgi;
            uwsgi_temp_path {directory}/uwsgi;
            scgi_temp_path {directory}/scgi;
            log_format bench '{MARK}status=$status attempts=\"$upstream_addr\" path=$request_uri';
            access_log {log};
            client_max_body_size 0;
            upstream upstreams {{
                server {upstream};
                {pool}
                {options}
            }}
            server {{
                listen 0.0.0.0:{port} backlog=4096{protocol};
                location / {{
                    {pass}
                    {word}_connect_timeout {connect}ms;
                    {word}_send_timeout {read}ms;
                    {word}_read_timeout {read}ms;
                }}
            }}
        }}
        "
    )
}

fn fastcgi(script: &Path) -> String {
    let script = script.display();
    format!(
        "fastcgi_pass upstreams;
                    fastcgi_param SCRIPT_FILENAME {script};
                    fastcgi_param REQUEST_URI $request_uri;
                    fastcgi_param REQUEST_METHOD $request_method;
                    fastcgi_param QUERY_STRING $query_string;
                    fastcgi_param CONTENT_LENGTH $content_length;"
    )
}

fn stream(settings: &Settings, port: u16) -> String {
    let upstream = &settings.upstream;
    let connect = settings.connect_timeout.as_millis();
    let read = settings.read_timeout.as_millis();
    let log = log(settings);
    let options = settings.upstream_options;
    format!(
        "
        stream {{
            log_format bench '{MARK}status=$status attempts=\"$upstream_addr\"';
            access_log {log};
            server {{
                listen 0.0.0.0:{port} backlog=4096;
                proxy_pass {upstream};
                proxy_connect_timeout {connect}ms;
                proxy_timeout {read}ms;
                {options}
            }}
        }}
        "
    )
}

const fn log(settings: &Settings) -> &'static str {
    match settings.logged {
        Logged::Requests => "/dev/stdout bench",
        Logged::Failures => "off",
    }
}

/// Reads the access log.
pub(super) fn read(lines: &[String]) -> Log {
    let requests = lines.iter().filter_map(|line| line.strip_prefix(MARK));
    let mut log = Log::default();
    for request in requests {
        log.requests += 1;
        log.attempts += request.split('"').nth(1).map_or(0, attempts);
    }
    log
}

/// How many connections `$upstream_addr` names: `a, b` in one group of servers, ` : ` between
/// groups, `-` for none.
fn attempts(upstream_addr: &str) -> usize {
    upstream_addr
        .split([',', ' '])
        .filter(|word| !matches!(*word, "" | ":" | "-"))
        .count()
}

/// Whether a line of the error log speaks of an upstream.
pub(super) fn is_complaint(line: &str) -> bool {
    line.contains("upstream: \"")
}
