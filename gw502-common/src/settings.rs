//! Values that the user side freezes into the BPF object before it is loaded.
//!
//! Each is a read-only global of the object: the verifier sees a constant and drops the branches
//! that it rules out.

/// `u32`: non-zero watches every process, zero only those in the `PROXIES` and `PIDS` maps.
pub const ALL_PROCESSES: &str = "CFG_ALL_PROCESSES";

/// `u32`: non-zero when this kernel's `tcp_send_reset` has its third argument, the reason
/// (Linux 6.10+).
pub const SEND_RESET_REASON: &str = "CFG_SEND_RESET_REASON";

/// `u32`: non-zero watches only the upstreams in the `WANTED` and `NETWORKS` maps.
pub const UPSTREAMS: &str = "CFG_UPSTREAMS";

/// `u64`: id of the cgroup (v2) whose processes are watched, with those of its descendants; zero
/// for any.
pub const CGROUP_ID: &str = "CFG_CGROUP_ID";

/// `u32`: how many levels that cgroup lies below the root.
pub const CGROUP_LEVEL: &str = "CFG_CGROUP_LEVEL";

/// `u32`: this kernel's number for the drop reason `NEIGH_FAILED`; zero when it has none.
pub const NEIGHBOUR_FAILED: &str = "CFG_NEIGHBOUR_FAILED";

/// `[u64; 4]`: where `ndisc_error_report()` begins and ends, and `neigh_invalidate()`.
///
/// The second calls the first; zeros when it is not known. Neighbour discovery gives no reason when it drops a segment, and
/// the place that is told is the one or the other, as the compiler ended the call.
pub const NEIGHBOUR_CODE: &str = "CFG_NEIGHBOUR_CODE";

/// `u32`: this kernel's number for the drop reason `NETFILTER_DROP`; zero when it has none.
pub const NETFILTER_DROP: &str = "CFG_NETFILTER_DROP";

/// `u32`: this kernel's number for the drop reason `TCP_LISTEN_OVERFLOW`; zero when it has none.
pub const LISTEN_OVERFLOW: &str = "CFG_LISTEN_OVERFLOW";

/// `u64`: byte offset of `struct net`'s `ipv4.sysctl_tcp_abort_on_overflow`, whose first byte tells
/// (an `int` before Linux 5.15); zero when it was not found.
pub const ABORT_ON_OVERFLOW: &str = "CFG_ABORT_ON_OVERFLOW";
/// `u32`: non-zero when a task can be preempted inside a program on a tracepoint, which then has two
/// behind it and not one.
pub const TRACEPOINTS_PREEMPTED: &str = "CFG_TRACEPOINTS_PREEMPTED";

/// `u32`: non-zero when a task can be preempted inside a program on a function (a trampoline), which
/// then has two behind it and not none.
pub const FUNCTIONS_PREEMPTED: &str = "CFG_FUNCTIONS_PREEMPTED";

/// Every setting.
pub const ALL: [&str; 12] = [
    ALL_PROCESSES,
    SEND_RESET_REASON,
    UPSTREAMS,
    CGROUP_ID,
    CGROUP_LEVEL,
    NEIGHBOUR_FAILED,
    NEIGHBOUR_CODE,
    NETFILTER_DROP,
    LISTEN_OVERFLOW,
    ABORT_ON_OVERFLOW,
    TRACEPOINTS_PREEMPTED,
    FUNCTIONS_PREEMPTED,
];
