//! Values that the user side freezes into the BPF object before it is loaded.
//!
//! Each is a read-only global of the object: the verifier sees a constant and drops the branches
//! that it rules out.

/// `u32`: non-zero watches every process, zero only those in the `PROXIES` and `PIDS` maps.
pub const ALL_PROCESSES: &str = "CFG_ALL_PROCESSES";

/// `u32`: non-zero when this kernel's `tcp_send_reset` has its third argument, the reason
/// (Linux 6.10+).
pub const SEND_RESET_REASON: &str = "CFG_SEND_RESET_REASON";
