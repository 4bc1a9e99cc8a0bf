// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The current task, seen as the process it belongs to.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task,
};

use crate::globals::{
    OFF_SIGNAL_OOM, OFF_TASK_COMM, OFF_TASK_EXIT, OFF_TASK_FLAGS, OFF_TASK_LEADER, OFF_TASK_SIGNAL,
    OFF_TASK_START,
};
use crate::kernel::{probe, text};

/// Bit of `task_struct.flags`, `include/linux/sched.h`.
const PF_EXITING: u32 = 4;

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

    /// How the current task ends, if it does: its exit code as `wait()` gives it, and whether the OOM
    /// killer had marked it.
    #[inline(always)]
    pub(crate) fn exit(self) -> Option<(i32, bool)> {
        let task = current();
        if probe::<u32>(task, &OFF_TASK_FLAGS) & PF_EXITING == 0 {
            return None;
        }
        let signal = probe::<u64>(task, &OFF_TASK_SIGNAL) as *const u8;
        // Set by mark_oom_victim() (mm/oom_kill.c), for as long as the process can be waited for.
        let marked = probe::<u64>(signal, &OFF_SIGNAL_OOM) != 0;
        Some((probe(task, &OFF_TASK_EXIT), marked))
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
    probe::<u64>(current(), &OFF_TASK_LEADER) as *const u8
}

#[inline(always)]
fn current() -> *const u8 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_current_task() as *const u8 }
}
