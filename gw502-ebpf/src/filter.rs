// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Whose attempts are looked at, and towards which upstreams. Decided once, at connect: what is
//! filtered out costs no memory and no record afterwards.

use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;
use aya_ebpf::maps::lpm_trie::Key;
use gw502_common::tcp::SUN_PATH;
use gw502_common::wire::{SkipReason, UnixAddress, UpstreamKey};

use crate::globals::{CFG_ALL_PROCESSES, CFG_CGROUP_ID, CFG_CGROUP_LEVEL, CFG_UPSTREAMS, frozen};
use crate::kernel::task::Process;
use crate::maps::{NETWORKS, PIDS, PROXIES, SERVICES, WANTED, WANTED_UNIX};

/// Whether the current process is one to watch. Runs for every connect and listen of the host.
#[inline(always)]
pub(crate) fn named(process: Process, comm: &[u8; 16]) -> bool {
    frozen(&CFG_ALL_PROCESSES) != 0
        || PROXIES.get_ptr(comm).is_some()
        || PIDS.get_ptr(process.tgid()).is_some()
}

/// Whether the current process is in the cgroup to watch, or below it.
#[inline(always)]
pub(crate) fn in_cgroup() -> bool {
    let wanted = frozen(&CFG_CGROUP_ID);
    if wanted == 0 {
        return true;
    }
    // SAFETY: the helper has no precondition; a level below the task's own gives zero.
    let ancestor = unsafe { bpf_get_current_ancestor_cgroup_id(frozen(&CFG_CGROUP_LEVEL) as i32) };
    ancestor == wanted
}

/// Whether attempts towards this upstream are looked at.
#[inline(always)]
pub(crate) fn upstream(address: &[u8; 16], port: u16) -> bool {
    if frozen(&CFG_UPSTREAMS) == 0 {
        return true;
    }
    let mut key = UpstreamKey {
        address: *address,
        netns: 0,
        port,
        pad: [0; 2],
    };
    if WANTED.get_ptr(&key).is_some() {
        return true;
    }
    key.port = 0;
    WANTED.get_ptr(&key).is_some() || NETWORKS.get(Key::new(128, *address)).is_some()
}

/// Why attempts towards this unix socket are not looked at, if so.
///
/// A function of its own, for the stack that the key takes.
#[inline(never)]
pub(crate) fn unix(address: &UnixAddress) -> Option<SkipReason> {
    if frozen(&CFG_UPSTREAMS) != 0 {
        return match WANTED_UNIX.get_ptr(address) {
            Some(_) => None,
            None => Some(SkipReason::Upstream),
        };
    }
    match SERVICES.get(Key::new(8 * SUN_PATH as u32, address.path)) {
        Some(_) => Some(SkipReason::HostService),
        None => None,
    }
}
