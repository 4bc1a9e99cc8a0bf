//! Pure: what the agent was told in its file.
//!
//! Strict: what is not understood is a [`Mistake`] with its line, and never passed over. All of a
//! file are told at once.

mod effective;
mod reading;
mod sinks;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use self::effective::{memory_bytes, spool_bytes};
pub use self::reading::{Mistake, Mistakes};
pub use self::sinks::{
    FileConfig, JournaldConfig, OtlpConfig, OtlpProtocol, PageConfig, QueueConfig, SinkConfig,
    SyslogAddress, SyslogConfig, SyslogMessage, Way,
};
use crate::cli::args::{Hooks, Selection, Syscalls, Ways};
use crate::cli::filter::UpstreamFilter;
use crate::sink::ship::Kind;

/// Everything that a file can say, with what it did not say filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[watch]`: whom to watch.
    pub watch: WatchConfig,
    /// `[limits]`: what is bounded.
    pub limits: Limits,
    /// `[spool] directory`: where records wait for receivers beyond this host.
    pub spool: PathBuf,
    /// `[metrics]`: the page; `None` is none.
    pub page: Option<PageConfig>,
    /// `[sink.NAME]`, by name.
    pub sinks: Vec<SinkConfig>,
}

impl Default for Config {
    fn default() -> Self {
        let stdout = SinkConfig {
            name: "stdout".to_owned(),
            records: vec![Kind::Failure, Kind::Diagnosis],
            way: Way::Stdout,
            queue: QueueConfig::default(),
        };
        Self {
            sinks: vec![stdout],
            ..Self::without_sinks()
        }
    }
}

impl Config {
    /// The defaults, and nowhere to ship to.
    fn without_sinks() -> Self {
        Self {
            watch: WatchConfig::default(),
            limits: Limits::default(),
            spool: PathBuf::from("/var/lib/gw502/spool"),
            page: Some(PageConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9502)),
            }),
            sinks: Vec::new(),
        }
    }

    /// Reads the text of a file, which is called `file` in what is said about it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        reading::config(file, text)
    }
}

/// Whom to watch: what `gw502 trace` takes as options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// Names of processes; without any, and without pids, the known proxies.
    pub proxy: Vec<String>,
    /// Processes.
    pub pid: Vec<u32>,
    /// Every process of the host.
    pub all: bool,
    /// Only those in this cgroup.
    pub cgroup: Option<PathBuf>,
    /// Only these upstreams.
    pub upstream: Vec<UpstreamFilter>,
    /// Ship what the proxy cancelled itself as well.
    pub aborted: bool,
    /// How to see.
    pub hooks: Hooks,
    /// Whether to look at system calls.
    pub syscalls: Syscalls,
    /// The kernel's ring buffer, KiB: a power of two.
    pub ring_kib: u32,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            proxy: Vec::new(),
            pid: Vec::new(),
            all: false,
            cgroup: None,
            upstream: Vec::new(),
            aborted: false,
            hooks: Hooks::Auto,
            syscalls: Syscalls::Auto,
            ring_kib: 256,
        }
    }
}

impl WatchConfig {
    /// The same as `trace` would have it; without an end.
    pub fn selection(&self) -> Selection {
        Selection {
            proxy: self.proxy.clone(),
            all_processes: self.all,
            pid: self.pid.clone(),
            cgroup: self.cgroup.clone(),
            upstream: self.upstream.clone(),
            duration: None,
            ways: Ways {
                hooks: self.hooks,
                syscalls: self.syscalls,
            },
            ring_size: self.ring_kib,
            btf: None,
        }
    }
}

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Upstreams that have metrics of their own; the others are summed up.
    pub series: usize,
    /// Failures shipped in a second at most; the others are counted, and the records say how many.
    pub storm: u64,
    /// An upstream that nobody has tried for so long is forgotten.
    pub idle: Duration,
    /// Bounds of a sink's queue and spool, where it has none of its own.
    pub queue: QueueConfig,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 1000,
            storm: 1000,
            idle: Duration::from_hours(1),
            queue: QueueConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests;
