//! Processes that run now, by the name of their thread-group leader.

use std::collections::BTreeMap;
use std::fs;

use super::root::KernelRoot;

/// Every process.
pub fn pids(root: &KernelRoot) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(&root.proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Every process: pid and name. One that ends while we look is left out.
pub fn all(root: &KernelRoot) -> Vec<(u32, String)> {
    pids(root)
        .filter_map(|pid| Some((pid, comm(root, pid)?)))
        .collect()
}

/// The name of a process.
pub fn comm(root: &KernelRoot, pid: u32) -> Option<String> {
    let comm = fs::read_to_string(root.proc(format!("{pid}/comm"))).ok()?;
    Some(comm.trim_end_matches('\n').to_owned())
}

/// Inodes of the sockets that `pid` holds open.
pub fn sockets(root: &KernelRoot, pid: u32) -> impl Iterator<Item = u64> {
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

/// How many processes carry each of `names`; names that no process carries are left out.
pub fn running(root: &KernelRoot, names: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, comm) in all(root) {
        if names.iter().any(|name| same_name(name, &comm)) {
            *counts.entry(comm).or_default() += 1;
        }
    }
    counts
}

/// Whether a process called `comm` is meant by `name`, of which the kernel keeps 15 bytes.
pub fn same_name(name: &str, comm: &str) -> bool {
    name.bytes().take(15).eq(comm.bytes())
}

/// Whether the thread of `pid` still exists.
pub fn is_alive(root: &KernelRoot, pid: u32, thread: u32) -> bool {
    root.proc(format!("{pid}/task/{thread}")).exists()
}

/// The number of the system call that a thread of `pid` is blocked in; `None` when that is not
/// known, or it runs. Needs the right to trace it (proc(5), `/proc/PID/syscall`).
pub fn system_call(root: &KernelRoot, pid: u32, thread: u32) -> Option<u32> {
    let path = root.proc(format!("{pid}/task/{thread}/syscall"));
    let text = fs::read_to_string(path).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}
