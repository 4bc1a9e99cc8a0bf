//! One network namespace: made, entered by threads, swept away when dropped.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::panic;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::deadline;
use crate::process::run;
use crate::scratch;
use crate::tolerate;

/// Where `ip netns` keeps its handles.
const HANDLES: &str = "/run/netns";

/// A network namespace of its own, with the loopback device up.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    /// Makes one. ICMP errors are not rate-limited in it: every rejected packet gets its answer.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let name = scratch::unique_name();
        run("ip", &["netns", "add", &name]);
        let handle = File::open(Path::new(HANDLES).join(&name)).expect("the handle ip made");
        let namespace = Self { name, handle };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace.set_sysctl("net/ipv4/icmp_ratelimit", "0");
        // Limits of the whole host before Linux 6.13, and those suffice for a few requests.
        for key in ["icmp_msgs_per_sec", "icmp_msgs_burst"] {
            let key = format!("net/ipv4/{key}");
            if namespace.enter(|| Path::new("/proc/sys").join(&key).exists()) {
                namespace.set_sysctl(&key, "100000");
            }
        }
        namespace.set_sysctl("net/ipv6/icmp/ratelimit", "0");
        namespace
    }

    /// Its name, as in `ip netns list`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its inode number: how events name it.
    #[must_use]
    #[track_caller]
    pub fn inode(&self) -> u64 {
        self.handle
            .metadata()
            .expect("metadata of an open handle")
            .ino()
    }

    /// Runs `work` on a thread inside the namespace. Sockets made there, and processes started
    /// there, stay in it.
    #[track_caller]
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET)
                    .expect("root may enter a network namespace");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }

    /// `ip -n <name> …`.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) {
        run("ip", &[&["-n", self.name.as_str()], arguments].concat());
    }

    /// Writes `/proc/sys/<key>` as seen from inside.
    #[track_caller]
    pub fn set_sysctl(&self, key: &str, value: &str) {
        self.enter(|| {
            fs::write(Path::new("/proc/sys").join(key), value)
                .unwrap_or_else(|error| panic!("cannot set {key} to {value}: {error}"));
        });
    }

    /// Adds an address to one of its devices, usable at once.
    #[track_caller]
    pub fn add_address(&self, device: &str, address: &str) {
        if address.contains(':') {
            self.ip(&["addr", "add", address, "dev", device, "nodad"]);
        } else {
            self.ip(&["addr", "add", address, "dev", device]);
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes the namespaces of runs that have ended, with the processes in them.
pub fn sweep() {
    for entry in fs::read_dir(HANDLES).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str()
            && scratch::is_left_over(name)
        {
            remove(name);
        }
    }
}

/// Ends what still runs in a namespace of ours, then removes it. Never panics: it runs on drop.
fn remove(name: &str) {
    let ended = deadline::holds_within(Duration::from_secs(2), || {
        let inside = pids(name);
        for pid in &inside {
            tolerate(signal::kill(*pid, Signal::SIGKILL));
        }
        inside.is_empty()
    });
    let removed = std::process::Command::new("ip")
        .args(["netns", "del", name])
        .status();
    if !ended || !removed.is_ok_and(|status| status.success()) {
        report_left_over(name);
    }
}

/// The processes whose main thread is in the namespace; never the test itself.
fn pids(name: &str) -> Vec<Pid> {
    let Ok(output) = std::process::Command::new("ip")
        .args(["netns", "pids", name])
        .output()
    else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
        .filter(|pid| *pid != Pid::this())
        .collect()
}

#[expect(clippy::print_stderr, reason = "a drop has nobody else to tell")]
fn report_left_over(name: &str) {
    eprintln!("network namespace {name} could not be removed; the next run tries again");
}
