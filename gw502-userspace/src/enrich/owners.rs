//! Whose a socket is, and who a process is.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use gw502_common::wire::{Departure, departure};
use nix::sys::signal::Signal;

use super::process::{NS_PER_TICK, container_id, start_ticks, unified_path};
use crate::event::{Exit, Owner};
use crate::kernel::root::KernelRoot;
use crate::kernel::{cgroup, processes};

/// How long it holds whose the sockets of this host are. Nanoseconds.
const FRESH_NS: u64 = 2_000_000_000;

/// Cgroups remembered at most; a full book starts afresh.
const CAPACITY: usize = 1024;

/// What was found out about sockets and cgroups.
#[derive(Debug)]
pub(super) struct Owners {
    root: KernelRoot,
    /// The process of lowest pid that holds a socket, by its inode; `None` when none was found. The
    /// first process of all hands sockets on (socket activation): it is one's owner if nobody else is.
    holders: BTreeMap<u32, Option<u32>>,
    /// `CLOCK_BOOTTIME` when that was looked up, nanoseconds.
    looked_ns: Option<u64>,
    cgroups: BTreeMap<u64, Option<String>>,
}

impl Owners {
    pub(super) const fn new(root: KernelRoot) -> Self {
        Self {
            root,
            holders: BTreeMap::new(),
            looked_ns: None,
            cgroups: BTreeMap::new(),
        }
    }

    /// Who holds the socket `inode`; of several (a master and its workers) the oldest.
    pub(super) fn of_socket(&mut self, inode: u32, now_ns: u64) -> Option<Owner> {
        let age_ns = self
            .looked_ns
            .map_or(u64::MAX, |at_ns| now_ns.saturating_sub(at_ns));
        if age_ns > FRESH_NS || !self.holders.contains_key(&inode) {
            self.look(now_ns);
            // Nobody's: not looked for again so soon.
            self.holders.entry(inode).or_default();
        }
        let holder = self.holders.get(&inode).copied().flatten();
        self.of_pid(holder?)
    }

    /// Who a running process is.
    pub(super) fn of_pid(&self, pid: u32) -> Option<Owner> {
        let exe = fs::read_link(self.root.proc(format!("{pid}/exe"))).ok();
        let cgroup = fs::read_to_string(self.root.proc(format!("{pid}/cgroup"))).ok();
        let cgroup = cgroup.as_deref().and_then(unified_path);
        Some(Owner {
            pid,
            comm: processes::comm(&self.root, pid)?,
            exe: exe.map(|path| path.to_string_lossy().into_owned()),
            unit: cgroup.as_deref().and_then(unit),
            container: cgroup.as_deref().and_then(container_id),
        })
    }

    /// Who a process was.
    pub(super) fn of_departed(&mut self, departure: &Departure) -> Owner {
        let cgroup = self.cgroup(departure.cgroup_id);
        Owner {
            pid: departure.tgid,
            comm: comm(departure.comm),
            exe: None,
            unit: cgroup.as_deref().and_then(unit),
            container: cgroup.as_deref().and_then(container_id),
        }
    }

    /// Whether a process that lived when it let a socket go is gone by now.
    pub(super) fn has_ended(&self, departure: &Departure) -> bool {
        match fs::read_to_string(self.root.proc(format!("{}/stat", departure.tgid))) {
            Ok(stat) => {
                let started = start_ticks(&stat);
                let is_another =
                    started.is_some_and(|ticks| ticks != departure.leader_start_ns / NS_PER_TICK);
                is_another || is_zombie(&stat)
            }
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    fn cgroup(&mut self, id: u64) -> Option<String> {
        if self.cgroups.len() >= CAPACITY {
            self.cgroups.clear();
        }
        let root = &self.root;
        let path = self.cgroups.entry(id);
        path.or_insert_with(|| cgroup::path_of(root, id)).clone()
    }

    fn look(&mut self, now_ns: u64) {
        self.looked_ns = Some(now_ns);
        self.holders.clear();
        for pid in processes::pids(&self.root) {
            for inode in processes::sockets(&self.root, pid) {
                let Ok(inode) = u32::try_from(inode) else {
                    continue;
                };
                let holder = self.holders.entry(inode).or_default();
                let both = [Some(pid), *holder].into_iter().flatten();
                *holder = both.min_by_key(|pid| (*pid == 1, *pid));
            }
        }
    }
}

/// How a process that was on its way out ended; `None` when it lives.
pub(super) fn exit(departure: &Departure) -> Option<Exit> {
    if departure.flags & departure::EXITING == 0 {
        return None;
    }
    let signal = departure.exit_code & 0x7f;
    let code = u8::try_from((departure.exit_code >> 8) & 0xff).ok();
    Some(Exit {
        code: code.filter(|_code| signal == 0),
        signal: (signal != 0).then(|| {
            Signal::try_from(signal).map_or_else(
                |_no_name| format!("signal {signal}"),
                |signal| signal.as_str().to_owned(),
            )
        }),
        oom: departure.flags & departure::OOM != 0,
    })
}

/// Field 3 of `/proc/PID/stat`.
fn is_zombie(stat: &str) -> bool {
    let after_name = stat.rsplit_once(')').map(|(_, after)| after.trim_start());
    after_name.is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// The systemd unit in the path of a cgroup: its last part that is a service, or a scope.
fn unit(cgroup: &str) -> Option<String> {
    let is_unit = |part: &&str| {
        let kind = part.rsplit_once('.').map(|(_, kind)| kind);
        matches!(kind, Some("service" | "scope"))
    };
    cgroup.rsplit('/').find(is_unit).map(str::to_owned)
}

/// A name up to its NUL. The kernel allows any bytes in it.
fn comm(bytes: [u8; 16]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i32, flags: u8) -> Option<Exit> {
        exit(&Departure {
            exit_code,
            flags,
            ..Departure::default()
        })
    }

    #[test]
    fn an_exit_code_is_a_signal_or_a_number() {
        let words = |exit: Option<Exit>| exit.unwrap().to_string();
        assert_eq!(words(ended(9, departure::EXITING)), "killed by SIGKILL");
        let oom = departure::EXITING | departure::OOM;
        assert_eq!(words(ended(9, oom)), "killed by SIGKILL (OOM)");
        // With a core dump.
        assert_eq!(words(ended(0x8b, departure::EXITING)), "killed by SIGSEGV");
        assert_eq!(
            words(ended(3 << 8, departure::EXITING)),
            "exited with code 3"
        );
        assert_eq!(words(ended(34, departure::EXITING)), "killed by signal 34");
        assert_eq!(ended(9, 0), None);
    }

    #[test]
    fn a_process_that_is_another_or_a_zombie_has_ended() {
        let owners = Owners::new(KernelRoot::new(None));
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let living = Departure {
            tgid: std::process::id(),
            leader_start_ns: start_ticks(&own).unwrap() * NS_PER_TICK,
            ..Departure::default()
        };
        assert!(!owners.has_ended(&living));
        let before = Departure {
            leader_start_ns: living.leader_start_ns - NS_PER_TICK,
            ..living
        };
        assert!(owners.has_ended(&before));
        // Above the kernel's largest process id.
        let gone = Departure {
            tgid: 99_999_999,
            ..living
        };
        assert!(owners.has_ended(&gone));
        assert!(is_zombie("7 (a) b) Z 1 7"));
        assert!(!is_zombie("7 (Z) S 1 7"));
    }

    #[test]
    fn a_unit_is_the_innermost_service_or_scope() {
        let path = "/system.slice/php8.2-fpm.service";
        assert_eq!(unit(path).as_deref(), Some("php8.2-fpm.service"));
        let path = "/user.slice/user-0.slice/session-1.scope/x";
        assert_eq!(unit(path).as_deref(), Some("session-1.scope"));
        assert_eq!(unit("/"), None);
    }

    #[test]
    fn a_socket_that_is_new_is_found_at_once() {
        use std::os::unix::fs::MetadataExt as _;
        let mut owners = Owners::new(KernelRoot::new(None));
        for now_ns in [1, 2] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
            let inode = fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino();
            let owner = owners.of_socket(u32::try_from(inode).unwrap(), now_ns);
            assert!(owner.is_some(), "look {now_ns}");
        }
    }

    #[test]
    fn our_own_socket_is_ours() {
        use std::os::unix::fs::MetadataExt as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
        let inode = fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino();
        let mut owners = Owners::new(KernelRoot::new(None));
        let owner = owners.of_socket(u32::try_from(inode).unwrap(), 1).unwrap();
        assert_eq!(owner.pid, std::process::id());
        assert!(owner.exe.is_some());
    }
}
