//! Network namespaces: who lives in them, and questions asked inside one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::SockaddrStorage;

use super::processes;
use super::root::KernelRoot;

/// Where namespaces are kept by name: those of `ip netns`, and those of Docker.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Where kube-proxy keeps the addresses of services (IPVS mode): nobody listens there, and connections
/// go to pods.
const IPVS: &str = "kube-ipvs0";

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetNs {
    /// Its inode number.
    pub inode: u32,
    /// A file that stands for it: of a process in it, or one that keeps it.
    handle: PathBuf,
}

impl NetNs {
    /// The one that `pid` lives in.
    pub fn of(root: &KernelRoot, pid: u32) -> Option<Self> {
        Self::behind(root.proc(format!("{pid}/ns/net")))
    }

    /// Every one that a process lives in, or that has a name.
    pub fn all(root: &KernelRoot) -> Vec<Self> {
        let lived_in = processes::pids(root).filter_map(|pid| Self::of(root, pid));
        let named = NAMED.into_iter().flat_map(|folder| {
            let files = fs::read_dir(folder).into_iter().flatten().flatten();
            files.filter_map(|file| Self::behind(file.path()))
        });
        let mut found = BTreeMap::new();
        for netns in lived_in.chain(named) {
            found.entry(netns.inode).or_insert(netns);
        }
        found.into_values().collect()
    }

    fn behind(handle: PathBuf) -> Option<Self> {
        let inode = u32::try_from(fs::metadata(&handle).ok()?.ino()).ok()?;
        Some(Self { inode, handle })
    }

    /// Asks in it, on a thread of its own: which namespace a thread is in is the thread's.
    ///
    /// # Errors
    ///
    /// The namespace is gone, or entering it takes `CAP_SYS_ADMIN`; and whatever `ask` says.
    pub fn ask<T: Send>(
        &self,
        root: &KernelRoot,
        ask: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let entry = File::open(&self.handle)?;
        // The process may have ended, and another have its pid; another may have its name.
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
        .filter(|interface| interface.interface_name != IPVS)
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
