//! Which Linux capabilities this process lacks to do its work.

use std::fs;

use super::root::KernelRoot;

/// `CAP_SYS_ADMIN`, which includes the two below (`include/linux/capability.h`).
const CAP_SYS_ADMIN: u32 = 21;
/// Capabilities that loading and attaching needs, with their numbers.
const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];

/// Capabilities without which less is seen, and what.
const WANTED: [(&str, u32, &str); 3] = [
    ("CAP_SYS_ADMIN", CAP_SYS_ADMIN, NAMESPACES),
    ("CAP_SYS_PTRACE", 19, LISTENERS),
    ("CAP_DAC_READ_SEARCH", 2, LISTENERS),
];
const LISTENERS: &str = "where proxies that already run listen (what they give up is judged by the \
                         length of the wait alone)";
const NAMESPACES: &str = "who listens in other network namespaces (causes that need it stay plain)";
/// Lets a process raise its own limits.
const CAP_SYS_RESOURCE: u32 = 24;

/// A capability that is missing, and what is not seen without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What it is wanted for.
    pub wanted_for: &'static str,
}

/// Names of the capabilities that are missing and needed; empty when nothing is missing, or when
/// procfs does not tell.
pub fn missing(root: &KernelRoot) -> Vec<&'static str> {
    effective(root).map_or_else(Vec::new, missing_in)
}

/// Capabilities that are missing and without which less is seen.
pub fn wanted(root: &KernelRoot) -> Vec<Missing> {
    effective(root).map_or_else(Vec::new, wanted_in)
}

/// Whether this process may raise its limit of locked memory. Unknown is yes.
pub fn may_raise_limits(root: &KernelRoot) -> bool {
    effective(root).is_none_or(|effective| has(effective, CAP_SYS_RESOURCE))
}

/// Gives up every capability that is not needed any more once everything is attached; says which
/// are kept. Threads that are started from now on have no others either.
///
/// Kept are: reading maps of the kernel side (`CAP_BPF`; before Linux 5.8 `CAP_SYS_ADMIN`), asking in
/// other network namespaces (`CAP_SYS_ADMIN`), and looking at other processes and at configurations of
/// proxies.
pub fn give_up_the_rest() -> Result<Vec<String>, caps::errors::CapsError> {
    use caps::{CapSet, Capability};
    let needed = [
        Capability::CAP_BPF,
        Capability::CAP_DAC_READ_SEARCH,
        Capability::CAP_PERFMON,
        Capability::CAP_SYS_ADMIN,
        Capability::CAP_SYS_PTRACE,
    ];
    let has = caps::read(None, CapSet::Permitted)?;
    let kept = needed
        .into_iter()
        .filter(|capability| has.contains(capability));
    let kept: Vec<_> = kept.collect();
    let set = kept.iter().copied().collect();
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &set)?;
    caps::set(None, CapSet::Permitted, &set)?;
    Ok(kept.iter().map(ToString::to_string).collect())
}

/// The effective set.
fn effective(root: &KernelRoot) -> Option<u64> {
    parse(&fs::read_to_string(root.proc("self/status")).ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let hex = lines.find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

const fn has(effective: u64, bit: u32) -> bool {
    effective & (1 << bit) != 0
}

fn missing_in(effective: u64) -> Vec<&'static str> {
    if has(effective, CAP_SYS_ADMIN) {
        return Vec::new();
    }
    let missing = NEEDED.iter().filter(|(_, bit)| !has(effective, *bit));
    missing.map(|(name, _)| *name).collect()
}

fn wanted_in(effective: u64) -> Vec<Missing> {
    let missing = WANTED.iter().filter(|(_, bit, _)| !has(effective, *bit));
    missing
        .map(|(name, _, wanted_for)| Missing { name, wanted_for })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read() {
        let status = "Uid:\t1000\nCapInh:\t0000000000000001\nCapEff:\t0000008000000000\n";
        assert_eq!(parse(status), Some(1 << 39));
        assert_eq!(parse("Uid:\t1000\n"), None);
    }

    #[test]
    fn an_unprivileged_process_lacks_both() {
        assert_eq!(missing_in(0), ["CAP_BPF", "CAP_PERFMON"]);
    }

    #[test]
    fn sys_admin_includes_both_and_each_counts_alone() {
        assert_eq!(missing_in(1 << CAP_SYS_ADMIN), Vec::<&str>::new());
        assert_eq!(missing_in(1 << 39), ["CAP_PERFMON"]);
        assert_eq!(missing_in(1 << 38), ["CAP_BPF"]);
        assert_eq!(missing_in(1 << 39 | 1 << 38), Vec::<&str>::new());
    }

    #[test]
    fn what_is_wanted_and_missing_is_named() {
        let names = |effective| -> Vec<_> {
            let missing = wanted_in(effective).into_iter();
            missing.map(|one| one.name).collect()
        };
        assert_eq!(
            names(0),
            ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]
        );
        assert_eq!(names(1 << 21 | 1 << 19), ["CAP_DAC_READ_SEARCH"]);
        assert_eq!(names(u64::MAX), Vec::<&str>::new());
    }
}
