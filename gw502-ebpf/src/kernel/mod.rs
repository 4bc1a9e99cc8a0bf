// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Typed readers of the kernel's structs.
//!
//! Two ways to read. [`load`]: a plain load through a pointer that the verifier knows the BTF type
//! of; costs one instruction. [`probe`]: `bpf_probe_read_kernel`, for pointers without a type; a
//! fault is counted and reads as the default.

pub(crate) mod address;
pub(crate) mod file;
pub(crate) mod listener;
pub(crate) mod packet;
pub(crate) mod sock;
pub(crate) mod task;

use core::arch::asm;

use aya_ebpf::helpers::generated;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel};
use gw502_common::wire::LossReason;

use crate::count;
use crate::globals::frozen;

/// Loads the member at the frozen `offset` of the struct behind a BTF-typed `base`.
///
/// # Safety
///
/// `base` comes from the kernel as a typed pointer to the struct that `offset` belongs to, and `T`
/// has the size of that member: both stand in `gw502_common::kernel_fields`. The verifier checks
/// the rest and refuses the program otherwise.
#[inline(always)]
pub(crate) unsafe fn load<T: Copy>(base: *const u8, offset: &'static u64) -> T {
    // SAFETY: as the caller vouches; kernel structs are aligned for their members.
    unsafe { core::ptr::read_volatile(base.add(frozen(offset) as usize).cast::<T>()) }
}

/// Copies the member at the frozen `offset` of the struct at an untyped `base`.
#[inline(always)]
pub(crate) fn probe<T: Copy + Default>(base: *const u8, offset: &'static u64) -> T {
    let source = base.wrapping_add(frozen(offset) as usize).cast::<T>();
    // SAFETY: the helper checks the address itself and reports a fault.
    match unsafe { bpf_probe_read_kernel(source) } {
        Ok(value) => value,
        Err(_) => {
            count::loss(LossReason::ReadFault);
            T::default()
        }
    }
}

/// Copies the text at the frozen `offset` of the struct at an untyped `base`; zeros after it.
///
/// Before Linux 5.17 a shorter `task_struct.comm` leaves behind its NUL what stood there before.
#[inline(always)]
pub(crate) fn text<const LEN: usize>(base: *const u8, offset: &'static u64) -> [u8; LEN] {
    let mut text = [0; LEN];
    let source = base.wrapping_add(frozen(offset) as usize);
    // SAFETY: LEN bytes at most into LEN bytes; the helper checks the source itself.
    let read = unsafe {
        generated::bpf_probe_read_kernel_str(text.as_mut_ptr().cast(), LEN as u32, source.cast())
    };
    if read < 0 {
        count::loss(LossReason::ReadFault);
    }
    text
}

/// Now, `CLOCK_BOOTTIME` nanoseconds.
#[inline(always)]
pub(crate) fn boot_ns() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// `value`, as a number that the verifier knows nothing of.
///
/// Where paths with different numbers meet, older verifiers (5.10 and 6.1 do) go on with each of
/// them as long as they know the numbers, in every program that has functions; a few such places
/// in a row, and the program is too large for them. Here the paths become one again.
#[inline(always)]
pub(crate) fn opaque(value: u8) -> u8 {
    let mut value = u64::from(value);
    // SAFETY: the helper has no precondition.
    let any = u64::from(unsafe { bpf_get_smp_processor_id() });
    // SAFETY: changes one register, to what it was. In assembly because a compiler sees through it.
    unsafe {
        asm!("{value} += {any}", "{value} -= {any}", value = inout(reg) value, any = in(reg) any);
    }
    value as u8
}
