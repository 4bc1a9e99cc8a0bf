// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Connect results: `connect()` calls that fail before TCP knows of them, and all on unix sockets.
//!
//! | backend | where                          | since | sees                  | blind to                  |
//! |---------|--------------------------------|-------|-----------------------|---------------------------|
//! | fexit   | inet_stream_connect,           | 5.5   | every `connect()`,    | MPTCP's own socket        |
//! | kprobe  | unix_stream_connect,           |       | io_uring's too        | the same, and why a call  |
//! |         | security_socket_connect        |       |                       | failed, of many that wait |
//! | tp      | syscalls:sys_enter_connect,    | 4.7   | every `connect()` of  | io_uring, 32-bit          |
//! |         | syscalls:sys_exit_connect      |       | 64-bit processes      | processes, MPTCP's socket |
//!
//! Why here: no route, a prohibited or blackhole route, a socket that may not connect (LSM, cgroup)
//! and every failure on a unix socket exist only as what `connect()` returns. The way in is needed
//! for those that do not return, and to know that TCP took the attempt up meanwhile: then its end
//! is seen there, and what this call returns is no second failure.
//! Trap: some proxies call `connect()` again to ask how the first one went. That socket is still
//! remembered in `CONNECTIONS`, until it is freed.
//! Trap: `connect()` is also for UDP (resolvers try routes with it) and datagrams (syslog).
//! Trap: the functions of a family are called through a table and never inlined; `__sys_connect()`
//! and what it calls may be.
//! Trap: `raw_syscalls:sys_enter` is passed by every system call, and from 7.0 on a task can be
//! preempted in a program there: all others then pass it unseen until that task runs again. The
//! tracepoints of the one system call run their programs only for it.
//! Cost: functions, a pair of programs for each `connect()` of the host, which first ask whose it
//! is; system calls, every one of the host passes both tracepoints and is asked for its number.
//! Proto: int security_socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)
//! Proto: int inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags)
//! Proto: int unix_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags)
//! Proto: int security_unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk)

mod hooks;
mod trampolines;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_jiffies64;
use gw502_common::hooks::Backend;
use gw502_common::tcp::errno;
use gw502_common::wire::{Call, Connection, LossReason, SkipReason, call_flag};

use crate::count::{self, Lost, Tally};
use crate::emit;
use crate::filter;
use crate::kernel::address::{self, Memory};
use crate::kernel::boot_ns;
use crate::kernel::file::{OpenSocket, Speaks};
use crate::kernel::task::Process;
use crate::maps::{CALLS, CONNECTIONS, REPORTED_CALLS};

/// Programs of a row run right one after another; other tasks may come in between. A second, or what
/// is near it: the length of a jiffy is the kernel's choice.
const SAME_CALL_JIFFIES: u64 = 250;

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

/// A way to see `connect()`.
trait Way {
    const BACKEND: Backend;
    /// Where it finds the address.
    type Memory: Memory;
}

/// Where a `connect()` was told to go: an address and its length.
#[derive(Clone, Copy)]
struct Given {
    at: u64,
    len: u32,
}

/// A process enters `connect()`. Whose it is comes first: all others of the host pay for no more.
#[inline(always)]
fn called<W: Way>(socket: impl FnOnce() -> Option<OpenSocket>, given: Given) -> Lost {
    if !is_watched() {
        return None;
    }
    match socket() {
        Some(socket) => {
            count::settle(missed_before::<W>(socket));
            remember::<W>(socket, given)
        }
        None => None,
    }
}

/// A function of its own, for the stack that the name takes.
#[inline(never)]
fn is_watched() -> bool {
    let process = Process::current();
    filter::named(process, &process.comm())
}

/// A policy has been asked; its no is the end of the call.
#[inline(always)]
fn forbidden<W: Way>(result: i32) -> u32 {
    if result == 0 {
        0
    } else {
        over::<W>(i64::from(result))
    }
}

/// It leaves `connect()` again.
#[inline(always)]
fn over<W: Way>(result: i64) -> u32 {
    count::settle(returned::<W>(result));
    0
}

/// The `connect()` to a unix socket that the current thread is in will succeed, unless a policy
/// forbids it.
#[inline(always)]
fn granted() {
    if let Some(call) = CALLS.get_ptr_mut(Process::current().tid()) {
        // SAFETY: a live map value that only this thread touches.
        let call = unsafe { &mut *call };
        call.flags |= call_flag::GRANTED;
        call.connection.established_ns = boot_ns();
    }
}

/// A function of its own for its stack. Its arguments are plain numbers: half of an `Option` may be
/// a register that nobody has written, which the verifier refuses to see passed on.
#[inline(never)]
fn remember<W: Way>(socket: OpenSocket, given: Given) -> Lost {
    let process = Process::current();
    let speaks = socket.speaks()?;
    let mut call = Call {
        sock: socket.key(),
        backend: W::BACKEND as u8,
        given: given.at,
        given_len: given.len,
        ..Call::default()
    };
    if speaks == Speaks::Unix {
        if !filter::in_cgroup() {
            return count::skip(SkipReason::Cgroup);
        }
        call.flags = call_flag::UNIX;
        address::unix::<W::Memory>(given.at, given.len, &mut call.unix);
        if call.unix.len > 0
            && let Some(reason) = filter::unix(&call.unix)
        {
            return count::skip(reason);
        }
        // Now, for a call that does not return.
        by(process, socket, &mut call.connection);
    } else if socket.is_connecting() {
        // TCP has this attempt already; perhaps from before there was anybody to see it.
        call.flags = call_flag::STARTED;
    } else if !W::Memory::LASTS {
        let (address, port) = address::internet::<W::Memory>(given.at)?;
        call.connection.daddr = address;
        call.connection.dport = port;
    }
    // Of this time, if it goes on.
    call.connection.start_jiffies = jiffies();
    call.connection.start_ns = started_ns::<W>(process, socket);
    match CALLS.insert(process.tid(), &call, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::CallsFull),
    }
}

/// When the call began: now, or when it was first made if it goes on.
#[inline(always)]
fn started_ns<W: Way>(process: Process, socket: OpenSocket) -> u64 {
    if let Some(before) = CALLS.get_ptr(process.tid()) {
        // SAFETY: a live map value that only this thread touches.
        let before = unsafe { &*before };
        if goes_on::<W>(before, socket) {
            return before.connection.start_ns;
        }
    }
    boot_ns()
}

#[inline(always)]
fn jiffies() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_jiffies64() }
}

/// Whether it is still the same call: a signal has interrupted it since (a kretprobe that has too
/// many returns to wait for misses that), or another program of its row has just seen it.
#[inline(always)]
fn goes_on<W: Way>(before: &Call, socket: OpenSocket) -> bool {
    let is_over = before.flags & (call_flag::GRANTED | call_flag::STARTED) != 0;
    before.sock == socket.key()
        && !is_over
        && (before.flags & call_flag::INTERRUPTED != 0
            || W::BACKEND as u8 == Backend::Kprobe as u8
            || jiffies().saturating_sub(before.connection.start_jiffies) < SAME_CALL_JIFFIES)
}

/// The thread enters another `connect()`, and was not seen to leave the one before.
#[inline(never)]
fn missed_before<W: Way>(socket: OpenSocket) -> Lost {
    let process = Process::current();
    let before = CALLS.get_ptr(process.tid())?;
    // SAFETY: a live map value that only this thread touches.
    let before = unsafe { &*before };
    if goes_on::<W>(before, socket) {
        return None;
    }
    never_seen_to_return(process, before)
}

/// What became of `call` is known all the same if it was granted, or if TCP took it up and sees its
/// end.
#[inline(always)]
fn never_seen_to_return(process: Process, call: &Call) -> Lost {
    if call.flags & (call_flag::INTERRUPTED | call_flag::STARTED) != 0 {
        return None;
    }
    let reported = is_reported(process.tid(), call);
    if call.flags & call_flag::GRANTED != 0 {
        if !reported {
            count::settle(count::unix(&call.connection, &call.unix, Tally::ATTEMPT));
        }
        let established = Tally::established(&call.connection);
        return count::unix(&call.connection, &call.unix, established);
    }
    if reported {
        return None; // as a failure
    }
    Some(LossReason::ReturnMissed)
}

/// Whether the user side has reported the call because it did not return.
#[inline(always)]
fn is_reported(thread: u32, call: &Call) -> bool {
    REPORTED_CALLS
        .get_ptr(thread)
        // SAFETY: a live map value.
        .is_some_and(|start_ns| unsafe { *start_ns } == call.connection.start_ns)
}

/// Who connects, and in which network namespace. Into place: what is returned by value lies on the
/// BPF stack twice.
#[inline(always)]
fn by(process: Process, socket: OpenSocket, connection: &mut Connection) {
    connection.leader_start_ns = process.started_ns();
    connection.cgroup_id = process.cgroup_id();
    connection.tgid = process.tgid();
    connection.netns = socket.netns();
    connection.family = socket.family();
    connection.comm = process.comm();
}

#[inline(never)]
fn returned<W: Way>(result: i64) -> Lost {
    let thread = Process::current().tid();
    let call = CALLS.get_ptr_mut(thread)?;
    // SAFETY: a live map value that only this thread touches, until it is removed below.
    let call = unsafe { &mut *call };
    if is_restarted(result) {
        call.flags |= call_flag::INTERRUPTED;
        return None;
    }
    let lost = if call.flags & call_flag::UNIX != 0 {
        unix::<W>(call, result, thread)
    } else {
        tcp::<W>(call, result)
    };
    match CALLS.remove(thread) {
        // Err: nothing was there to forget.
        Ok(()) | Err(_) => lost,
    }
}

/// Whether a signal interrupted the call, and the kernel makes it again once that is dealt with
/// (or hands EINTR to the caller, who may).
#[inline(always)]
const fn is_restarted(result: i64) -> bool {
    const FIRST: i64 = -(errno::ERESTART_RESTARTBLOCK as i64);
    const LAST: i64 = -(errno::ERESTARTSYS as i64);
    matches!(result, FIRST..=LAST)
}

/// Whether the result of a `connect()` says nothing about an attempt: it goes on, was asked about
/// again, or was given up by the caller itself.
#[inline(always)]
const fn undecided(result: i64) -> bool {
    const EINTR: i64 = -(errno::EINTR as i64);
    const EISCONN: i64 = -(errno::EISCONN as i64);
    const EALREADY: i64 = -(errno::EALREADY as i64);
    const EINPROGRESS: i64 = -(errno::EINPROGRESS as i64);
    matches!(result, EINTR | EISCONN | EALREADY | EINPROGRESS)
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
fn unix<W: Way>(call: &mut Call, result: i64, thread: u32) -> Lost {
    if undecided(result) {
        return None;
    }
    if W::Memory::LASTS && call.unix.len == 0 {
        address::unix::<W::Memory>(call.given, call.given_len, &mut call.unix);
        if let Some(reason) = filter::unix(&call.unix) {
            return count::skip(reason);
        }
    }
    let reported = is_reported(thread, call);
    if !reported {
        count::settle(count::unix(&call.connection, &call.unix, Tally::ATTEMPT));
    } else if REPORTED_CALLS.remove(thread).is_err() {
        return None;
    }
    if result == 0 {
        call.connection.established_ns = boot_ns();
        let established = Tally::established(&call.connection);
        return count::unix(&call.connection, &call.unix, established);
    }
    if !reported {
        call.connection.established_ns = 0; // granted, and then forbidden
        count::settle(count::unix(
            &call.connection,
            &call.unix,
            Tally::CONNECT_FAILED,
        ));
        emit::call(call, -result as i32, boot_ns());
    }
    None
}

#[inline(always)]
fn tcp<W: Way>(call: &mut Call, result: i64) -> Lost {
    let taken_up = call.flags & call_flag::STARTED != 0 || CONNECTIONS.get_ptr(call.sock).is_some();
    if result >= 0 || undecided(result) || end_of_an_attempt(result) || taken_up {
        return None;
    }
    if W::Memory::LASTS {
        let Some((address, port)) = address::internet::<W::Memory>(call.given) else {
            return Some(LossReason::ReadFault);
        };
        call.connection.daddr = address;
        call.connection.dport = port;
    }
    if !filter::in_cgroup() {
        return count::skip(SkipReason::Cgroup);
    }
    if !filter::upstream(&call.connection.daddr, call.connection.dport) {
        return count::skip(SkipReason::Upstream);
    }
    by(
        Process::current(),
        OpenSocket::known(call.sock),
        &mut call.connection,
    );
    count::settle(count::upstream(&call.connection, Tally::ATTEMPT));
    count::settle(count::upstream(&call.connection, Tally::CONNECT_FAILED));
    emit::call(call, -result as i32, boot_ns());
    None
}
