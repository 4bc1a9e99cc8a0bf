//! Ports that running processes listen on, by network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::processes;
use super::root::KernelRoot;

/// A port a process listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The port.
    pub port: u16,
    /// Name of the process.
    pub comm: String,
}

/// What the processes that `watched` accepts (by pid and name) listen on now.
pub fn of(root: &KernelRoot, watched: impl Fn(u32, &str) -> bool) -> BTreeSet<Listener> {
    let mut by_netns: BTreeMap<u32, BTreeMap<u64, u16>> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (pid, comm) in processes::all(root) {
        if !watched(pid, &comm) {
            continue;
        }
        let Some(netns) = netns(root, pid) else {
            continue;
        };
        let ports = by_netns
            .entry(netns)
            .or_insert_with(|| listening(root, pid));
        for port in sockets(root, pid).filter_map(|inode| ports.get(&inode)) {
            found.insert(Listener {
                netns,
                port: *port,
                comm: comm.clone(),
            });
        }
    }
    found
}

fn netns(root: &KernelRoot, pid: u32) -> Option<u32> {
    let inode = fs::metadata(root.proc(format!("{pid}/ns/net"))).ok()?.ino();
    u32::try_from(inode).ok()
}

/// Listening sockets of the network namespace of `pid`: inode and port.
fn listening(root: &KernelRoot, pid: u32) -> BTreeMap<u64, u16> {
    ["tcp", "tcp6"]
        .into_iter()
        .filter_map(|file| fs::read_to_string(root.proc(format!("{pid}/net/{file}"))).ok())
        .flat_map(|table| table.lines().filter_map(listening_line).collect::<Vec<_>>())
        .collect()
}

/// Inode and port of a line of `/proc/net/tcp`, if it is a listener's (state `0A`).
fn listening_line(line: &str) -> Option<(u64, u16)> {
    let mut fields = line.split_ascii_whitespace();
    let port = fields.nth(1)?.rsplit_once(':')?.1;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    if state != "0A" {
        return None;
    }
    Some((inode.parse().ok()?, u16::from_str_radix(port, 16).ok()?))
}

/// Inodes of the sockets that `pid` holds open.
fn sockets(root: &KernelRoot, pid: u32) -> impl Iterator<Item = u64> {
    fs::read_dir(root.proc(format!("{pid}/fd")))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|fd| {
            let target = fs::read_link(fd.path()).ok()?;
            target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_are_taken_from_the_socket_table() {
        let listen = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 \
                      0 0 28591 1 0000000000000000 100 0 0 10 0";
        let open = listen.replace(" 0A ", " 01 ");
        assert_eq!(listening_line(listen), Some((28591, 8080)));
        assert_eq!(listening_line(&open), None);
        assert_eq!(listening_line("  sl  local_address rem_address   st"), None);
    }
}
