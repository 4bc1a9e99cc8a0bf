// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The current task, seen as the process it belongs to.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task,
};

use crate::globals::{OFF_TASK_COMM, OFF_TASK_LEADER, OFF_TASK_START};
use crate::kernel::{probe, text};

/// The process of the task that runs now. Only meaningful in process context.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    tgid: u32,
    tid: u32,
}

impl Process {
    /// The process that runs now.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        let both = bpf_get_current_pid_tgid();
        Self {
            tgid: (both >> 32) as u32,
            tid: both as u32,
        }
    }

    /// Thread-group id in the initial pid namespace.
    #[inline(always)]
    pub(crate) const fn tgid(self) -> u32 {
        self.tgid
    }

    /// Thread id in the initial pid namespace.
    #[inline(always)]
    pub(crate) const fn tid(self) -> u32 {
        self.tid
    }

    /// The name of the thread-group leader: threads name themselves as they like (Envoy's are
    /// called `wrk:worker_0`).
    #[inline(always)]
    pub(crate) fn comm(self) -> [u8; 16] {
        if self.tgid == self.tid {
            return bpf_get_current_comm().unwrap_or_default();
        }
        text(leader(), &OFF_TASK_COMM)
    }

    /// When the thread-group leader started, nanoseconds of `CLOCK_BOOTTIME`.
    #[inline(always)]
    pub(crate) fn started_ns(self) -> u64 {
        probe(leader(), &OFF_TASK_START)
    }

    /// cgroup v2 id of the current task.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        // SAFETY: the helper has no precondition.
        unsafe { bpf_get_current_cgroup_id() }
    }
}

#[inline(always)]
fn leader() -> *const u8 {
    // SAFETY: the helper has no precondition.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    probe::<u64>(task, &OFF_TASK_LEADER) as *const u8
}
