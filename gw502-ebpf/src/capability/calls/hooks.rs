// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The programs, one per backend and place; the bodies are beside this file.

use aya_ebpf::macros::{kprobe, kretprobe, tracepoint};
use aya_ebpf::programs::{ProbeContext, RetProbeContext, TracePointContext};
use gw502_common::hooks::Backend;
use gw502_common::wire::Pair;

use super::{Given, Way, called, forbidden, granted, over};
use crate::again::{self, Event, Turn};
use crate::count;
use crate::kernel::address::{Kernel, User};
use crate::kernel::file::OpenSocket;

struct Syscall;
struct Kprobe;

impl Way for Syscall {
    const BACKEND: Backend = Backend::SyscallTracepoint;
    type Memory = User;
}

impl Way for Kprobe {
    const BACKEND: Backend = Backend::Kprobe;
    type Memory = Kernel;
}

/// Where the arguments of a system call, or its result, lie in a tracepoint's record: the user side
/// checks it before it attaches (`format`).
const ARGUMENTS: usize = 16;

/// The event of a thread that enters `connect()`, or leaves it: it is in one at a time.
#[inline(always)]
fn event() -> Event {
    Event::of(1, 0)
}

#[tracepoint]
fn connect_called_tp(ctx: TracePointContext) -> u32 {
    again::note_if_preempted(Pair::CallEntered, event());
    enters(&ctx)
}

#[tracepoint]
fn connect_called_again_tp(ctx: TracePointContext) -> u32 {
    if again::missed(Pair::CallEntered, event(), Turn::Second) {
        enters(&ctx);
    }
    0
}

#[tracepoint]
fn connect_called_third_tp(ctx: TracePointContext) -> u32 {
    if again::missed(Pair::CallEntered, event(), Turn::Third) {
        enters(&ctx);
    }
    0
}

#[tracepoint]
fn connect_returned_tp(ctx: TracePointContext) -> u32 {
    again::note_if_preempted(Pair::CallLeft, event());
    leaves(&ctx)
}

#[tracepoint]
fn connect_returned_again_tp(ctx: TracePointContext) -> u32 {
    if again::missed(Pair::CallLeft, event(), Turn::Second) {
        leaves(&ctx);
    }
    0
}

#[tracepoint]
fn connect_returned_third_tp(ctx: TracePointContext) -> u32 {
    if again::missed(Pair::CallLeft, event(), Turn::Third) {
        leaves(&ctx);
    }
    0
}

#[inline(always)]
fn enters(ctx: &TracePointContext) -> u32 {
    let (Some(descriptor), Some(at), Some(len)) =
        (argument(ctx, 0), argument(ctx, 1), argument(ctx, 2))
    else {
        return 0;
    };
    // The kernel takes descriptor and length for an `int`.
    let given = Given {
        at,
        len: len as u32,
    };
    count::settle(called::<Syscall>(
        || OpenSocket::of(descriptor as u32),
        given,
    ));
    0
}

#[inline(always)]
fn leaves(ctx: &TracePointContext) -> u32 {
    if let Some(result) = argument(ctx, 0) {
        over::<Syscall>(result as i64);
    }
    0
}

#[inline(always)]
fn argument(ctx: &TracePointContext, index: usize) -> Option<u64> {
    // SAFETY: the record is that of a system call's tracepoint; the verifier checks its bounds.
    unsafe { ctx.read_at(ARGUMENTS + index * size_of::<u64>()) }.ok()
}

#[kprobe(function = "security_socket_connect")]
fn connect_called_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(socket), Some(at), Some(len)) = (ctx.arg(0), ctx.arg(1), ctx.arg::<i32>(2)) {
        let given = Given {
            at,
            len: len as u32,
        };
        count::settle(called::<Kprobe>(|| OpenSocket::behind(socket), given));
    }
    0
}

#[kretprobe(function = "security_socket_connect")]
fn connect_forbidden_kretprobe(ctx: RetProbeContext) -> u32 {
    forbidden::<Kprobe>(ctx.ret::<i32>())
}

#[kretprobe(function = "inet_stream_connect")]
fn inet_connect_returned_kretprobe(ctx: RetProbeContext) -> u32 {
    over::<Kprobe>(i64::from(ctx.ret::<i32>()))
}

#[kretprobe(function = "unix_stream_connect")]
fn unix_connect_returned_kretprobe(ctx: RetProbeContext) -> u32 {
    over::<Kprobe>(i64::from(ctx.ret::<i32>()))
}

/// A kretprobe has only so many returns that it can wait for at a time (`maxactive`,
/// `kernel/kprobes.c`), and calls that block take them up. This is where it is decided that one of
/// those succeeds: the last that the kernel asks.
#[kprobe(function = "security_unix_stream_connect")]
fn unix_connect_granted_kprobe(_: ProbeContext) -> u32 {
    granted();
    0
}
