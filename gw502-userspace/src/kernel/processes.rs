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

/// How many descriptors a process has open, and how many it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Open.
    pub open: u64,
    /// Allowed at most: the soft limit of `RLIMIT_NOFILE`.
    pub limit: u64,
}

/// The descriptors of a process; `None` when procfs does not tell.
pub fn descriptors(root: &KernelRoot, pid: u32) -> Option<Descriptors> {
    let fds = root.proc(format!("{pid}/fd"));
    // Since Linux 6.2 the size of the directory (`proc_fd_getattr()`, fs/proc/fd.c); before, zero.
    let open = match fs::metadata(&fds).ok()?.len() {
        0 => u64::try_from(fs::read_dir(&fds).ok()?.count()).ok()?,
        size => size,
    };
    let limits = fs::read_to_string(root.proc(format!("{pid}/limits"))).ok()?;
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())?;
    Some(Descriptors { open, limit })
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

#[cfg(test)]
mod tests {
    use nix::sys::resource::{Resource, getrlimit};

    use super::*;

    #[test]
    fn descriptors_are_counted_against_their_limit() {
        let root = KernelRoot::new(None);
        let count = || descriptors(&root, std::process::id()).unwrap();
        let before = count();
        // More than the tests beside this one open meanwhile.
        let files: Vec<_> = (0..500)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let after = count();
        assert!(after.open >= before.open + 400, "{before:?} {after:?}");
        assert_eq!(after.limit, getrlimit(Resource::RLIMIT_NOFILE).unwrap().0);
        drop(files);
        assert_eq!(descriptors(&root, u32::MAX), None);
    }
}
