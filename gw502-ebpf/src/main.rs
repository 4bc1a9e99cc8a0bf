// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The eBPF programs of gw502.
//!
//! # Layout
//!
//! - `capability/`: one file per thing we observe: why that hook, the body, and one thin wrapper
//!   per backend. A body knows no context type.
//! - `kernel/`: typed readers of the kernel's structs, the only callers of `bpf_probe_read_kernel`.
//! - `emit.rs`: the only place a record leaves, and where a record that cannot leave is counted.
//! - `again.rs`: programs in pairs, so that none is missed. `filter.rs`: whose attempts are looked at. `count.rs`: per-CPU counters. `maps.rs`, `globals.rs`: what their names say.
//!
//! No loops, no indexing, no arithmetic that can panic: a panic path is a verifier reject.
#![no_std]
#![no_main]
// The BPF back end of `asm!` is not stable yet; aya-ebpf itself needs the same.
#![feature(asm_experimental_arch)]

mod again;
mod capability;
mod count;
mod emit;
mod filter;
mod globals;
mod kernel;
mod maps;

/// Helpers such as `bpf_probe_read_kernel` are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program in which it could be.
    loop {}
}
