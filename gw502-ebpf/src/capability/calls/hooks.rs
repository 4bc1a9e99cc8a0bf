// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The programs, one per backend and place; the bodies are beside this file.

use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe};
use aya_ebpf::programs::{
    BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext,
};
use gw502_common::hooks::Backend;
use gw502_common::kernel_fields::CONNECT;

use super::{Given, Way, called, returned};
use crate::count;
use crate::kernel::address::{Kernel, User};
use crate::kernel::file::OpenSocket;
use crate::kernel::regs::Regs;

struct Syscall;
struct Fentry;
struct Kprobe;

impl Way for Syscall {
    const BACKEND: Backend = Backend::SyscallTracepoint;
    type Memory = User;
}

impl Way for Fentry {
    const BACKEND: Backend = Backend::Fentry;
    type Memory = Kernel;
}

impl Way for Kprobe {
    const BACKEND: Backend = Backend::Kprobe;
    type Memory = Kernel;
}

#[btf_tracepoint(function = "sys_enter")]
fn connect_called_tpbtf(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u64>(1) == u64::from(CONNECT) {
        // SAFETY: argument 0 of sys_enter.
        let regs = unsafe { Regs::new(ctx.arg(0)) };
        let socket = OpenSocket::of(regs.descriptor());
        count::settle(called::<Syscall>(socket, address(regs)));
    }
    0
}

#[btf_tracepoint(function = "sys_exit")]
fn connect_returned_tpbtf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 of sys_exit.
    let regs = unsafe { Regs::new(ctx.arg(0)) };
    if regs.call() == CONNECT {
        count::settle(returned::<Syscall>(address(regs), ctx.arg::<i64>(1)));
    }
    0
}

#[fentry(function = "security_socket_connect")]
fn connect_called_fentry(ctx: FEntryContext) -> i32 {
    let given = Given {
        at: ctx.arg(1),
        len: ctx.arg::<i32>(2) as u32,
    };
    count::settle(called::<Fentry>(OpenSocket::behind(ctx.arg(0)), given));
    0
}

#[fexit(function = "security_socket_connect")]
fn connect_forbidden_fexit(ctx: FExitContext) -> i32 {
    forbidden::<Fentry>(ctx.arg::<i32>(3))
}

#[fexit(function = "inet_stream_connect")]
fn inet_connect_returned_fexit(ctx: FExitContext) -> i32 {
    over::<Fentry>(ctx.arg::<i32>(4))
}

#[fexit(function = "unix_stream_connect")]
fn unix_connect_returned_fexit(ctx: FExitContext) -> i32 {
    over::<Fentry>(ctx.arg::<i32>(4))
}

#[kprobe(function = "security_socket_connect")]
fn connect_called_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(socket), Some(at), Some(len)) = (ctx.arg(0), ctx.arg(1), ctx.arg::<i32>(2)) {
        let given = Given {
            at,
            len: len as u32,
        };
        count::settle(called::<Kprobe>(OpenSocket::behind(socket), given));
    }
    0
}

#[kretprobe(function = "security_socket_connect")]
fn connect_forbidden_kretprobe(ctx: RetProbeContext) -> u32 {
    forbidden::<Kprobe>(ctx.ret::<i32>()) as u32
}

#[kretprobe(function = "inet_stream_connect")]
fn inet_connect_returned_kretprobe(ctx: RetProbeContext) -> u32 {
    over::<Kprobe>(ctx.ret::<i32>()) as u32
}

#[kretprobe(function = "unix_stream_connect")]
fn unix_connect_returned_kretprobe(ctx: RetProbeContext) -> u32 {
    over::<Kprobe>(ctx.ret::<i32>()) as u32
}

/// A policy has been asked; its no is the end of the call.
#[inline(always)]
fn forbidden<W: Way>(result: i32) -> i32 {
    if result == 0 { 0 } else { over::<W>(result) }
}

#[inline(always)]
fn over<W: Way>(result: i32) -> i32 {
    count::settle(returned::<W>(Given { at: 0, len: 0 }, i64::from(result)));
    0
}

#[inline(always)]
fn address(regs: Regs) -> Given {
    Given {
        at: regs.address(),
        len: regs.address_len(),
    }
}
