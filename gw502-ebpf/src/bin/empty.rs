// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Programs that do nothing: what a hook costs before gw502 does anything there.
//!
//! `cargo xtask bench` loads one for each hook that gw502 attaches, of the same type; no part of gw502
//! itself does. Where they attach, the user side says.
#![no_std]
#![no_main]

use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe, tracepoint};
use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext,
    TracePointContext,
};
// The other binary of this package uses it.
use gw502_common as _;

#[btf_tracepoint]
fn empty_tpbtf(_: BtfTracePointContext) -> i32 {
    0
}

#[tracepoint]
fn empty_tp(_: TracePointContext) -> u32 {
    0
}

#[fentry]
fn empty_fentry(_: FEntryContext) -> i32 {
    0
}

#[fexit]
fn empty_fexit(_: FExitContext) -> i32 {
    0
}

#[kprobe]
fn empty_kprobe(_: ProbeContext) -> u32 {
    0
}

#[kretprobe]
fn empty_kretprobe(_: RetProbeContext) -> u32 {
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: nothing here can panic.
    loop {}
}
