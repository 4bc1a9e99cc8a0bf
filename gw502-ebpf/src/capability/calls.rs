// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Connect results: `connect()` calls that fail before TCP knows of them, and all on unix sockets.
//!
//! | backend | where                    | since | sees                      | blind to                  |
//! |---------|--------------------------|-------|---------------------------|---------------------------|
//! | tpbtf   | raw_syscalls:sys_enter,  | 5.5   | every `connect()` of 64-bit | io_uring, MPTCP's own     |
//! |         | raw_syscalls:sys_exit    |       | processes                 | socket, 32-bit processes  |
//!
//! Why here: no route, a prohibited or blackhole route, a socket that may not connect (LSM, cgroup)
//! and every failure on a unix socket exist only as what `connect()` returns. The way in is needed
//! for those that do not return, and to know that TCP took the attempt up meanwhile: then its end
//! is seen there, and what this call returns is no second failure.
//! Trap: some proxies call `connect()` again to ask how the first one went. That socket is still
//! remembered in `CONNECTIONS`, until it is freed.
//! Trap: `connect()` is also for UDP (resolvers try routes with it) and datagrams (syslog).
//! Cost: every system call of the host passes both tracepoints and compares a number.
//! Proto: void sys_enter(struct pt_regs *regs, long id)
//! Proto: void sys_exit(struct pt_regs *regs, long ret)

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::kernel_fields::CONNECT;
use gw502_common::tcp::errno;
use gw502_common::wire::{Call, Connection, LossReason, SkipReason, call_flag};

use crate::count::{self, Lost, Tally};
use crate::emit;
use crate::filter;
use crate::kernel::boot_ns;
use crate::kernel::file::{OpenSocket, Speaks};
use crate::kernel::regs::Regs;
use crate::kernel::task::Process;
use crate::kernel::user;
use crate::maps::{CALLS, CONNECTIONS, REPORTED_CALLS};

#[btf_tracepoint(function = "sys_enter")]
fn connect_called_tpbtf(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u64>(1) == u64::from(CONNECT) {
        // SAFETY: argument 0 of sys_enter.
        count::settle(called(unsafe { Regs::new(ctx.arg(0)) }));
    }
    0
}

#[btf_tracepoint(function = "sys_exit")]
fn connect_returned_tpbtf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 of sys_exit.
    let regs = unsafe { Regs::new(ctx.arg(0)) };
    if regs.call() == CONNECT {
        count::settle(returned(regs, ctx.arg::<i64>(1)));
    }
    0
}

/// TCP takes up the attempt of the `connect()` that the current thread is in. Whether that was known
/// before.
#[inline(always)]
pub(crate) fn taken_up(process: Process) -> bool {
    let Some(call) = CALLS.get_ptr_mut(process.tid()) else {
        return false;
    };
    // SAFETY: a live map value that only this thread touches, in process context.
    let flags = unsafe { &mut (*call).flags };
    let known = *flags & call_flag::STARTED != 0;
    *flags |= call_flag::STARTED;
    known
}

#[inline(never)]
fn called(regs: Regs) -> Lost {
    let process = Process::current();
    let comm = process.comm();
    if !filter::named(process, &comm) {
        return None;
    }
    let socket = OpenSocket::of(regs.descriptor())?;
    let speaks = socket.speaks()?;
    let mut call = Call {
        sock: socket.key(),
        ..Call::default()
    };
    if speaks == Speaks::Unix {
        if !filter::in_cgroup() {
            return count::skip(SkipReason::Cgroup);
        }
        call.flags = call_flag::UNIX;
        user::unix(regs.address(), regs.address_len(), &mut call.unix);
        if call.unix.len > 0 && !filter::unix(&call.unix) {
            return count::skip(SkipReason::Upstream);
        }
        // Now, for a call that does not return.
        call.connection = by(process, socket);
    }
    call.connection.start_ns = boot_ns();
    match CALLS.insert(process.tid(), &call, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::CallsFull),
    }
}

/// Who connects, and in which network namespace.
#[inline(always)]
fn by(process: Process, socket: OpenSocket) -> Connection {
    Connection {
        leader_start_ns: process.started_ns(),
        cgroup_id: process.cgroup_id(),
        tgid: process.tgid(),
        netns: socket.netns(),
        family: socket.family(),
        comm: process.comm(),
        ..Connection::default()
    }
}

#[inline(never)]
fn returned(regs: Regs, result: i64) -> Lost {
    let thread = Process::current().tid();
    let call = CALLS.get_ptr_mut(thread)?;
    // SAFETY: a live map value that only this thread touches, until it is removed below.
    let call = unsafe { &mut *call };
    let lost = if call.flags & call_flag::UNIX != 0 {
        unix(regs, call, result, thread)
    } else {
        tcp(regs, call, result)
    };
    match CALLS.remove(thread) {
        // Err: nothing was there to forget.
        Ok(()) | Err(_) => lost,
    }
}

/// Whether the result of a `connect()` says nothing about an attempt: it goes on, was asked about
/// again, or was interrupted (and is made again, or given up by the caller).
#[inline(always)]
const fn undecided(result: i64) -> bool {
    const RESTART_FIRST: i64 = -(errno::ERESTART_RESTARTBLOCK as i64);
    const RESTART_LAST: i64 = -(errno::ERESTARTSYS as i64);
    const EINTR: i64 = -(errno::EINTR as i64);
    const EISCONN: i64 = -(errno::EISCONN as i64);
    const EALREADY: i64 = -(errno::EALREADY as i64);
    const EINPROGRESS: i64 = -(errno::EINPROGRESS as i64);
    matches!(
        result,
        EINTR | EISCONN | EALREADY | EINPROGRESS | RESTART_FIRST..=RESTART_LAST
    )
}

/// Whether only an attempt that TCP has taken up can end so: by what came back, or did not.
#[inline(always)]
const fn end_of_an_attempt(result: i64) -> bool {
    const ECONNABORTED: i64 = -(errno::ECONNABORTED as i64);
    const ECONNRESET: i64 = -(errno::ECONNRESET as i64);
    const ETIMEDOUT: i64 = -(errno::ETIMEDOUT as i64);
    const ECONNREFUSED: i64 = -(errno::ECONNREFUSED as i64);
    matches!(result, ECONNABORTED | ECONNRESET | ETIMEDOUT | ECONNREFUSED)
}

#[inline(always)]
fn unix(regs: Regs, call: &mut Call, result: i64, thread: u32) -> Lost {
    if undecided(result) {
        return None;
    }
    if call.unix.len == 0 {
        user::unix(regs.address(), regs.address_len(), &mut call.unix);
        if !filter::unix(&call.unix) {
            return count::skip(SkipReason::Upstream);
        }
    }
    let reported = REPORTED_CALLS
        .get_ptr(thread)
        // SAFETY: a live map value.
        .is_some_and(|start_ns| unsafe { *start_ns } == call.connection.start_ns);
    if !reported {
        count::settle(count::unix(&call.connection, &call.unix, Tally::Attempt));
    } else if REPORTED_CALLS.remove(thread).is_err() {
        return None;
    }
    if result == 0 {
        return count::unix(&call.connection, &call.unix, Tally::Established);
    }
    if !reported {
        count::settle(count::unix(
            &call.connection,
            &call.unix,
            Tally::ConnectFailed,
        ));
        emit::call(&call.connection, &call.unix, -result as i32, boot_ns());
    }
    None
}

#[inline(always)]
fn tcp(regs: Regs, call: &mut Call, result: i64) -> Lost {
    let taken_up = call.flags & call_flag::STARTED != 0 || CONNECTIONS.get_ptr(call.sock).is_some();
    if result >= 0 || undecided(result) || end_of_an_attempt(result) || taken_up {
        return None;
    }
    let Some((address, port)) = user::internet(regs.address()) else {
        return Some(LossReason::ReadFault);
    };
    if !filter::in_cgroup() {
        return count::skip(SkipReason::Cgroup);
    }
    if !filter::upstream(&address, port) {
        return count::skip(SkipReason::Upstream);
    }
    call.connection = Connection {
        start_ns: call.connection.start_ns,
        daddr: address,
        dport: port,
        ..by(Process::current(), OpenSocket::known(call.sock))
    };
    count::settle(count::upstream(&call.connection, Tally::Attempt));
    count::settle(count::upstream(&call.connection, Tally::ConnectFailed));
    emit::call(&call.connection, &call.unix, -result as i32, boot_ns());
    None
}
