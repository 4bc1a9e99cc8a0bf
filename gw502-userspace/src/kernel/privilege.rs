//! Which Linux capabilities this process lacks to do its work.

use std::fs;

use super::root::KernelRoot;

/// `CAP_SYS_ADMIN`, which includes the two below (`include/linux/capability.h`).
const CAP_SYS_ADMIN: u32 = 21;
/// Capabilities that loading and attaching needs, with their numbers.
const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];

/// Names of the missing capabilities; empty when nothing is missing, or when procfs does not tell.
pub fn missing(root: &KernelRoot) -> Vec<&'static str> {
    fs::read_to_string(root.proc("self/status")).map_or_else(|_| Vec::new(), |s| missing_in(&s))
}

fn missing_in(status: &str) -> Vec<&'static str> {
    let Some(effective) = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
    else {
        return Vec::new();
    };
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED
        .iter()
        .filter(|(_, bit)| !has(*bit))
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unprivileged_process_lacks_both() {
        let status = "Uid:\t1000\nCapEff:\t0000000000000000\n";
        assert_eq!(missing_in(status), ["CAP_BPF", "CAP_PERFMON"]);
    }

    #[test]
    fn sys_admin_includes_both_and_each_counts_alone() {
        assert_eq!(
            missing_in("CapEff:\t0000000000200000\n"),
            Vec::<&str>::new()
        );
        assert_eq!(missing_in("CapEff:\t0000008000000000\n"), ["CAP_PERFMON"]);
        assert_eq!(
            missing_in("CapEff:\t000000c000000000\n"),
            Vec::<&str>::new()
        );
    }
}
