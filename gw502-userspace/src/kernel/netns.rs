//! Network namespaces: who lives in them, and questions asked inside one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::SockaddrStorage;

use super::processes;
use super::root::KernelRoot;

/// A network namespace that a process lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetNs {
    /// Its inode number.
    pub inode: u32,
    /// A process in it.
    pub pid: u32,
}

impl NetNs {
    /// The one that `pid` lives in.
    pub fn of(root: &KernelRoot, pid: u32) -> Option<Self> {
        let inode = fs::metadata(root.proc(format!("{pid}/ns/net"))).ok()?.ino();
        let inode = u32::try_from(inode).ok()?;
        Some(Self { inode, pid })
    }

    /// Every one that a process lives in, with its process of lowest pid.
    pub fn all(root: &KernelRoot) -> Vec<Self> {
        let mut found = BTreeMap::new();
        for pid in processes::pids(root) {
            if let Some(netns) = Self::of(root, pid) {
                let known = found.entry(netns.inode).or_insert(netns);
                known.pid = known.pid.min(pid);
            }
        }
        found.into_values().collect()
    }

    /// Asks in it, on a thread of its own: which namespace a thread is in is the thread's.
    ///
    /// # Errors
    ///
    /// The namespace is gone, or entering it takes `CAP_SYS_ADMIN`; and whatever `ask` says.
    pub fn ask<T: Send>(
        self,
        root: &KernelRoot,
        ask: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let entry = File::open(root.proc(format!("{}/ns/net", self.pid)))?;
        // The process may have ended, and another have its pid.
        if entry.metadata()?.ino() != u64::from(self.inode) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_ours = Self::of(root, std::process::id()).is_some_and(|own| own.inode == self.inode);
        if is_ours {
            return ask();
        }
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(entry, CloneFlags::CLONE_NEWNET)?;
                ask()
            });
            inside
                .join()
                .unwrap_or_else(|_panicked| Err(io::ErrorKind::Other.into()))
        })
    }
}

/// Addresses of the calling thread's network namespace.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let address = |storage: SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
    };
    Ok(getifaddrs()?
        .filter_map(|interface| address(interface.address?))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_among_all_and_has_the_loopback_address() {
        let root = KernelRoot::new(None);
        let own = NetNs::of(&root, std::process::id()).unwrap();
        let all = NetNs::all(&root);
        assert!(all.iter().any(|netns| netns.inode == own.inode));
        let addresses = own.ask(&root, addresses).unwrap();
        assert!(addresses.iter().any(IpAddr::is_loopback));
    }

    #[test]
    fn a_namespace_that_is_not_the_process_s_is_not_asked() {
        let root = KernelRoot::new(None);
        let own = NetNs::of(&root, std::process::id()).unwrap();
        let other = NetNs {
            inode: own.inode.wrapping_add(1),
            ..own
        };
        assert!(other.ask(&root, || Ok(())).is_err());
    }
}
