//! Ports that running processes listen on, by network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::netns::NetNs;
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
        let Some(NetNs { inode: netns, .. }) = NetNs::of(root, pid) else {
            continue;
        };
        let ports = by_netns
            .entry(netns)
            .or_insert_with(|| listening(root, pid));
        for port in processes::sockets(root, pid).filter_map(|inode| ports.get(&inode)) {
            found.insert(Listener {
                netns,
                port: *port,
                comm: comm.clone(),
            });
        }
    }
    found
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
