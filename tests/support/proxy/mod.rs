//! Real proxies in the foreground, their processes and what they logged.
//!
//! A proxy's own log is the truth that gw502 is measured against: how many attempts were really
//! made, and what the proxy thought of each.

mod apache;
mod haproxy;
mod log_socket;
mod nginx;
mod restart;

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::log_socket::LogSocket;
use crate::address::Address;
use crate::capture::Capture;
use crate::deadline;
use crate::lab::Lab;
use crate::netns::Namespace;
use crate::process::{Process, children};
use crate::scratch::Scratch;
use crate::sockets;

/// How long a proxy may take to start, and to write a line it owes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Worker processes of each proxy that has any, so that a wrong process id has a chance to show.
const WORKERS: usize = 2;

/// Whom the workers run as: root may connect to any socket.
const USER: &str = "www-data";

/// A proxy program and the way it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx, `http` with `proxy_pass`.
    Nginx,
    /// nginx, `stream` with `proxy_pass`.
    NginxStream,
    /// `HAProxy`, `mode http`.
    Haproxy,
    /// `HAProxy`, `mode tcp`.
    HaproxyTcp,
    /// Apache, `ProxyPass`.
    Apache,
}

impl Kind {
    /// The name gw502 knows the program by, and the name of its processes.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Nginx | Self::NginxStream => "nginx",
            Self::Haproxy | Self::HaproxyTcp => "haproxy",
            Self::Apache => "apache2",
        }
    }

    /// Whether it is nginx, in either mode.
    #[must_use]
    pub const fn is_nginx(self) -> bool {
        matches!(self, Self::Nginx | Self::NginxStream)
    }

    /// Whether it is `HAProxy`, in either mode.
    #[must_use]
    pub const fn is_haproxy(self) -> bool {
        matches!(self, Self::Haproxy | Self::HaproxyTcp)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Nginx => "nginx",
            Self::NginxStream => "nginx-stream",
            Self::Haproxy => "haproxy",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::Apache => "apache",
        })
    }
}

/// How a proxy is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Program and mode.
    pub kind: Kind,
    /// The only upstream it has.
    pub upstream: Address,
    /// How long it waits for a connection to the upstream.
    pub connect_timeout: Duration,
    /// How long it waits for the upstream's answer.
    pub read_timeout: Duration,
    /// How often `HAProxy` tries again after a failed connection; the others have one upstream and
    /// never do.
    pub retries: u32,
    /// Whether it keeps connections to the upstream for the next request.
    pub keep_alive: bool,
    /// Whether `HAProxy` ends an attempt when its client leaves; nginx always does, Apache never.
    pub abort_on_close: bool,
    /// More directives for the proxy's section about its upstream: `upstream` of nginx, `server`
    /// of its streams, `backend` of `HAProxy`.
    pub upstream_options: &'static str,
    /// The script that nginx names to an upstream of `FastCGI`; without it upstreams speak HTTP.
    pub script: Option<PathBuf>,
    /// Whether it speaks HTTP/2 with its clients, and nothing else.
    pub http2: bool,
    /// How it speaks with the upstream.
    pub talk: Talk,
    /// What it logs.
    pub logged: Logged,
}

/// How a proxy speaks with its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// In the clear.
    Plain,
    /// In TLS, and it believes any certificate.
    Tls,
}

/// What a proxy writes a line about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// Every request.
    Requests,
    /// Failures alone: the good requests of a load are too many to be read.
    Failures,
}

/// What a proxy logged about the requests it got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Requests it finished.
    pub requests: usize,
    /// Connections to the upstream it tried for them.
    pub attempts: usize,
    /// The lines that speak of a failure.
    pub complaints: Vec<String>,
}

/// A running proxy; ended when dropped.
#[derive(Debug)]
pub struct Proxy {
    kind: Kind,
    process: Process,
    // Where `HAProxy` logs to; the others log to their standard outputs.
    log: Option<LogSocket>,
    port: u16,
    workers: Vec<u32>,
    configuration: PathBuf,
}

impl Proxy {
    /// Starts one in the proxy's namespace of `lab` and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(lab: &Lab, settings: &Settings) -> Self {
        let port = sockets::free_port(lab.proxy());
        let scratch = lab.scratch();
        let log = settings
            .kind
            .is_haproxy()
            .then(|| LogSocket::bind(lab.proxy(), scratch.join(&format!("log-{port}"))));
        let configuration = match &log {
            Some(log) => haproxy::configure(settings, port, scratch, log.path()),
            None if settings.kind == Kind::Apache => apache::configure(settings, port, scratch),
            None => nginx::configure(settings, port, scratch),
        };
        let mut command = command(settings.kind, &configuration, scratch);
        let process = lab.proxy().enter(|| Process::start(&mut command));
        let mut proxy = Self {
            kind: settings.kind,
            process,
            log,
            port,
            workers: Vec::new(),
            configuration,
        };
        proxy.wait_ready(lab.proxy(), &command);
        proxy
    }

    /// Program and mode.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where a client at its side reaches it.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        self.target_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Where a client that knows the proxy by `address` reaches it.
    #[must_use]
    pub const fn target_at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.port)
    }

    /// The processes that connect to upstreams.
    #[must_use]
    pub fn workers(&self) -> &[u32] {
        &self.workers
    }

    /// Stops its workers where they are, every thread of them.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        deadline::wait_until("the workers to stop", PATIENCE, || {
            let mut threads = self.threads();
            threads.all(|thread| {
                let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
                stat.rsplit_once(") ")
                    .is_none_or(|(_, state)| state.starts_with('T'))
            })
        });
    }

    /// Lets them go on.
    #[track_caller]
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        for pid in &self.workers {
            kill(Pid::from_raw(pid.cast_signed()), signal).expect("a worker that runs");
        }
    }

    /// The directory in `/proc` of each thread of its workers.
    pub fn threads(&self) -> impl Iterator<Item = PathBuf> {
        self.workers.iter().flat_map(|worker| {
            let threads = fs::read_dir(format!("/proc/{worker}/task"));
            let threads = threads.into_iter().flatten().flatten();
            threads.map(|thread| thread.path())
        })
    }

    /// Waits until it has logged `requests` requests and returns what it said about them.
    #[must_use]
    pub fn wait_log(&self, requests: usize) -> Log {
        let lines = self.lines();
        lines.wait(PATIENCE, |lines| self.read(lines).requests >= requests);
        let mut log = self.read(&lines.lines());
        if !self.kind.is_haproxy() {
            // Written before the request's own line, to another pipe.
            log.complaints = self.wait_complaints(log.attempts);
        }
        log
    }

    /// Waits until it has complained `count` times, not for long, and returns its complaints.
    #[must_use]
    pub fn wait_complaints(&self, count: usize) -> Vec<String> {
        let lines = if self.kind.is_haproxy() {
            self.lines()
        } else {
            &self.process.stderr
        };
        let owed = |lines: &[String]| self.complaints(lines).len() >= count;
        lines.wait(Duration::from_millis(200), owed);
        self.complaints(&lines.lines())
    }

    /// Waits until it has logged `requests` requests and returns how many attempts it made for
    /// them; sooner than [`Self::wait_log`], which waits for complaints too.
    #[must_use]
    pub fn wait_attempts(&self, requests: usize) -> usize {
        let lines = self.lines();
        lines.wait(PATIENCE, |lines| self.read(lines).requests >= requests);
        self.read(&lines.lines()).attempts
    }

    /// Everything it wrote.
    #[must_use]
    pub fn text(&self) -> String {
        let log = self
            .log
            .as_ref()
            .map(|log| log.lines.text())
            .unwrap_or_default();
        self.process.stderr.text() + &self.process.stdout.text() + &log
    }

    /// Where the lines of finished requests are.
    fn lines(&self) -> &Capture {
        self.log
            .as_ref()
            .map_or(&self.process.stdout, |log| &log.lines)
    }

    fn read(&self, lines: &[String]) -> Log {
        match self.kind {
            Kind::Nginx | Kind::NginxStream => nginx::read(lines),
            Kind::Haproxy | Kind::HaproxyTcp => haproxy::read(lines),
            Kind::Apache => apache::read(lines),
        }
    }

    /// The lines that speak of an upstream's failure.
    fn complaints(&self, lines: &[String]) -> Vec<String> {
        let is_complaint = match self.kind {
            Kind::Nginx | Kind::NginxStream => nginx::is_complaint,
            Kind::Haproxy | Kind::HaproxyTcp => return haproxy::read(lines).complaints,
            Kind::Apache => apache::is_complaint,
        };
        let complaints = lines.iter().filter(|line| is_complaint(line));
        complaints.cloned().collect()
    }

    #[track_caller]
    fn wait_ready(&mut self, namespace: &Namespace, command: &Command) {
        let ready = deadline::holds_within(PATIENCE, || {
            if let Some(status) = self.process.ended() {
                self.process.stderr.wait_end(PATIENCE);
                panic!("{command:?} ended at once, {status}:\n{}", self.text());
            }
            let complete = if self.kind.is_haproxy() {
                self.workers = vec![self.process.pid()];
                true
            } else {
                self.workers = children(self.process.pid());
                self.workers.len() == WORKERS
            };
            complete && sockets::listens(namespace, self.port)
        });
        assert!(
            ready,
            "{command:?} does not listen on port {}:\n{}",
            self.port,
            self.text()
        );
    }
}

/// Starts the program with a configuration that was written for it.
fn command(kind: Kind, configuration: &Path, scratch: &Scratch) -> Command {
    match kind {
        Kind::Nginx | Kind::NginxStream => nginx::command(configuration, scratch),
        Kind::Haproxy | Kind::HaproxyTcp => haproxy::command(configuration),
        Kind::Apache => apache::command(configuration),
    }
}

#[cfg(test)]
mod tests;
