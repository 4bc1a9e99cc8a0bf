//! nginx in front of nginx, and wrk in front of both.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::child::{Place, Running};
use crate::clock;
use crate::stage::Scratch;

/// Ports of a namespace in which nobody else is.
const PROXY: u16 = 8000;
const UPSTREAM: u16 = 8001;

/// Name of the proxy's process: not nginx, for there may be others of that name on this host, and
/// what they do is not ours.
pub(crate) const PROXY_NAME: &str = "bench-nginx";

const UPSTREAM_NAME: &str = "bench-upstream";

/// What wrk gets through at once.
const CONNECTIONS: &str = "16";

/// How nginx connects to its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// A new connection for each request.
    Fresh,
    /// Connections that are kept.
    Kept,
}

/// The running servers.
#[derive(Debug)]
pub(crate) struct Site {
    clients: Place,
    _upstream: Running,
    _proxy: Running,
}

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throughput {
    /// Answers.
    pub(crate) requests: u64,
    /// Answers a second.
    pub(crate) per_second: f64,
}

impl Throughput {
    /// Microseconds of one request.
    pub(crate) fn microseconds(self) -> f64 {
        1e6 / self.per_second
    }
}

impl Site {
    /// Starts both servers and waits until they listen. The proxy gets a CPU of its own if there are
    /// two: then its time is what limits the requests, and nothing else.
    pub(crate) fn start(scratch: &Scratch, proxy: Place, others: Place) -> Result<Self> {
        let site = Self {
            clients: others,
            _upstream: nginx(scratch, UPSTREAM_NAME, others, &upstream_server())?,
            _proxy: nginx(scratch, PROXY_NAME, proxy, &proxy_server())?,
        };
        for port in [UPSTREAM, PROXY] {
            clock::wait_for("nginx to listen", Duration::from_secs(10), || {
                Ok(TcpStream::connect(("127.0.0.1", port)).ok())
            })?;
        }
        Ok(site)
    }

    /// Runs wrk.
    pub(crate) fn measure(&self, upstream: Upstream, seconds: u32) -> Result<Throughput> {
        let mut wrk = self.wrk(upstream, seconds)?;
        let output = {
            let stdout = wrk
                .child
                .stdout
                .take()
                .context("wrk's stdout is not piped")?;
            std::io::read_to_string(stdout).context("cannot read what wrk prints")?
        };
        clock::wait_for("the end of wrk", Duration::from_secs(5), || wrk.ended())?;
        parse(&output)
    }

    /// Starts wrk, which ends after `seconds`.
    pub(crate) fn wrk(&self, upstream: Upstream, seconds: u32) -> Result<Running> {
        let path = match upstream {
            Upstream::Fresh => "fresh",
            Upstream::Kept => "kept",
        };
        let mut command = Command::new("wrk");
        command.args(["-t1", "-c", CONNECTIONS, "-d"]);
        command.arg(format!("{seconds}s"));
        command.arg(format!("http://127.0.0.1:{PROXY}/{path}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Running::start(&mut command, self.clients)
    }
}

fn nginx(scratch: &Scratch, name: &str, place: Place, server: &str) -> Result<Running> {
    let folder = &scratch.path(name);
    fs::create_dir(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let config = folder.join("nginx.conf");
    let text = configuration(&folder.display().to_string(), server);
    fs::write(&config, text).with_context(|| format!("cannot write `{}`", config.display()))?;
    // A process is named after the file it is started from.
    let program = folder.join(name);
    symlink(find("nginx")?, &program)
        .with_context(|| format!("cannot create `{}`", program.display()))?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&config).arg("-p").arg(folder);
    command.arg("-e").arg(folder.join("error.log"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Running::start(&mut command, place)
}

/// Where a program is. Debian has nginx where only root looks.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("there is no {program}: `cargo xtask bench` installs it"))
}

/// One process: a worker whose master were killed would stay behind.
fn configuration(folder: &str, server: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/pid;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n\
         access_log off;\n\
         client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n\
         uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
         keepalive_requests 1000000;\n\
         {server}\
         }}\n"
    )
}

fn upstream_server() -> String {
    format!("server {{ listen 127.0.0.1:{UPSTREAM}; return 200 'good\\n'; }}\n")
}

/// Kept connections go soon after a burst: gw502 does not follow those that are older than itself,
/// and each burst is to be made of connections that it does follow.
fn proxy_server() -> String {
    format!(
        "upstream fresh {{ server 127.0.0.1:{UPSTREAM}; }}\n\
         upstream kept {{ server 127.0.0.1:{UPSTREAM}; keepalive 64; keepalive_timeout 200ms; }}\n\
         server {{\n\
         listen 127.0.0.1:{PROXY};\n\
         location /fresh {{ proxy_pass http://fresh; }}\n\
         location /kept {{ proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ''; }}\n\
         }}\n"
    )
}

/// Reads wrk's report; one with errors in it measured something else.
fn parse(report: &str) -> Result<Throughput> {
    let lines = || report.lines().map(str::trim);
    if let Some(bad) =
        lines().find(|line| line.starts_with("Socket errors:") || line.starts_with("Non-2xx"))
    {
        bail!("wrk met errors, so nginx did not do what is measured: {bad}");
    }
    let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok());
    let per_second = lines().find_map(|line| {
        let rate = line.strip_prefix("Requests/sec:")?;
        rate.trim().parse::<f64>().ok()
    });
    match (requests, per_second) {
        (Some(requests), Some(per_second)) if per_second > 0.0 => Ok(Throughput {
            requests,
            per_second,
        }),
        _ => bail!("wrk's report is not as expected:\n{report}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Running 1s test @ http://127.0.0.1:8000/fresh
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms  312.12us   4.11ms   81.20%
    Req/Sec    15.62k     1.06k   17.33k    70.00%
  15553 requests in 1.00s, 2.34MB read
Requests/sec:  15541.45
Transfer/sec:      2.34MB
";

    #[test]
    fn a_good_report_is_read() {
        assert_eq!(
            parse(REPORT).unwrap(),
            Throughput {
                requests: 15553,
                per_second: 15541.45
            }
        );
    }

    #[test]
    fn a_report_with_errors_is_no_measurement() {
        let report = format!("{REPORT}  Non-2xx or 3xx responses: 12\n");
        assert!(parse(&report).unwrap_err().to_string().contains("12"));
        let report = format!("{REPORT}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(parse(&report).is_err());
        assert!(parse("unable to connect\n").is_err());
        assert!(parse("  0 requests in 1.00s, 0B read\nRequests/sec:      0.00\n").is_err());
    }

    #[test]
    fn kept_connections_need_http_1_1_and_no_close() {
        let text = configuration("/s", &proxy_server());
        assert!(text.contains("proxy_http_version 1.1; proxy_set_header Connection ''"));
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
