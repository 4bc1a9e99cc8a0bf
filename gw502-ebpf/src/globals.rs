// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Read-only globals: kernel offsets and settings, written by the user side before the load.
//!
//! They are read with `read_volatile` so that rustc keeps the load; the map behind `.rodata` is
//! frozen, so the verifier still knows each value as a constant.

/// What an offset holds when the user side forgot it: no load can use it.
const ABSENT: u64 = u64::MAX;

macro_rules! offsets {
    ($($global:ident: $load:ty = $path:literal;)*) => {
        $(
            #[doc = concat!("Byte offset of `", $path, "`.")]
            #[unsafe(no_mangle)]
            pub(crate) static $global: u64 = ABSENT;
        )*
    };
}
gw502_common::for_each_kernel_field!(offsets);

/// See [`gw502_common::settings::ALL_PROCESSES`].
#[unsafe(no_mangle)]
pub(crate) static CFG_ALL_PROCESSES: u32 = 0;

/// See [`gw502_common::settings::SEND_RESET_REASON`].
#[unsafe(no_mangle)]
pub(crate) static CFG_SEND_RESET_REASON: u32 = 0;

/// See [`gw502_common::settings::UPSTREAMS`].
#[unsafe(no_mangle)]
pub(crate) static CFG_UPSTREAMS: u32 = 0;

/// See [`gw502_common::settings::CGROUP_ID`].
#[unsafe(no_mangle)]
pub(crate) static CFG_CGROUP_ID: u64 = 0;

/// See [`gw502_common::settings::CGROUP_LEVEL`].
#[unsafe(no_mangle)]
pub(crate) static CFG_CGROUP_LEVEL: u32 = 0;

/// See [`gw502_common::settings::NEIGHBOUR_FAILED`].
#[unsafe(no_mangle)]
pub(crate) static CFG_NEIGHBOUR_FAILED: u32 = 0;

/// See [`gw502_common::settings::NEIGHBOUR_CODE`].
#[unsafe(no_mangle)]
pub(crate) static CFG_NEIGHBOUR_CODE: [u64; 4] = [0; 4];

/// See [`gw502_common::settings::NETFILTER_DROP`].
#[unsafe(no_mangle)]
pub(crate) static CFG_NETFILTER_DROP: u32 = 0;

/// See [`gw502_common::settings::LISTEN_OVERFLOW`].
#[unsafe(no_mangle)]
pub(crate) static CFG_LISTEN_OVERFLOW: u32 = 0;

/// See [`gw502_common::settings::ABORT_ON_OVERFLOW`].
#[unsafe(no_mangle)]
pub(crate) static CFG_ABORT_ON_OVERFLOW: u64 = 0;
/// See [`gw502_common::settings::TRACEPOINTS_PREEMPTED`].
#[unsafe(no_mangle)]
pub(crate) static CFG_TRACEPOINTS_PREEMPTED: u32 = 0;

/// See [`gw502_common::settings::FUNCTIONS_PREEMPTED`].
#[unsafe(no_mangle)]
pub(crate) static CFG_FUNCTIONS_PREEMPTED: u32 = 0;

/// The value that the user side froze into `global`.
#[inline(always)]
pub(crate) fn frozen<T: Copy>(global: &'static T) -> T {
    // SAFETY: a reference is valid and aligned; nothing writes to a frozen map.
    unsafe { core::ptr::read_volatile(global) }
}
