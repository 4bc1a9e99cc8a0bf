// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! `struct pt_regs` of a system call: what the caller passed.

use crate::globals::{OFF_REGS_ARG1, OFF_REGS_ARG2, OFF_REGS_ARG3, OFF_REGS_CALL};
use crate::kernel::load;

/// A `struct pt_regs *` that the verifier knows as such.
#[derive(Clone, Copy)]
pub(crate) struct Regs(*const u8);

impl Regs {
    /// # Safety
    ///
    /// `regs` is the first argument of the BTF-typed tracepoint `sys_enter` or `sys_exit`.
    #[inline(always)]
    pub(crate) const unsafe fn new(regs: *const u8) -> Self {
        Self(regs)
    }

    /// Number of the system call.
    #[inline(always)]
    pub(crate) fn call(self) -> u32 {
        #[cfg(bpf_target_arch = "x86_64")]
        type Register = u64;
        #[cfg(bpf_target_arch = "aarch64")]
        type Register = i32;
        // SAFETY: `new` vouches for the pointer, the table of registers for the size.
        unsafe { load::<Register>(self.0, &OFF_REGS_CALL) as u32 }
    }

    /// `connect()`'s descriptor. The kernel takes it for an `int`.
    #[inline(always)]
    pub(crate) fn descriptor(self) -> u32 {
        self.argument(&OFF_REGS_ARG1) as u32
    }

    /// `connect()`'s address, in the caller's memory.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.argument(&OFF_REGS_ARG2)
    }

    /// Length of that address. The kernel takes it for an `int`.
    #[inline(always)]
    pub(crate) fn address_len(self) -> u32 {
        self.argument(&OFF_REGS_ARG3) as u32
    }

    #[inline(always)]
    fn argument(self, offset: &'static u64) -> u64 {
        // SAFETY: `new` vouches for the pointer, the table of registers for the size.
        unsafe { load(self.0, offset) }
    }
}
