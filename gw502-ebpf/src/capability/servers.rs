// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Upstreams on this host: who stopped listening, who ended with connections open, which connections
//! nobody accepted, and why one was reset.
//!
//! Part of the programs of connection state, for sockets that no watched process opened. What is
//! noted here is asked for by the user side once a proxy's connection has failed.
//!
//! Why here: a listener's end, and a server's, pass this tracepoint in the context of the process
//! that closes the socket; a process that dies does so with its exit code already set (`do_exit()`
//! calls `exit_files()` after it). The segments that tell the proxy leave after the state change.
//! Trap: a RST that arrives ends a socket in whatever task it interrupts, an exiting one as well.
//! It has left its error on the socket by then.
//! Cost: for each connection that a process of this host closes, a look at the task's flags.

use aya_ebpf::bindings::BPF_ANY;
use gw502_common::tcp::state;
use gw502_common::wire::{
    Departure, Listening, LossReason, ResetSent, Unaccepted, UpstreamKey, departure,
};

use crate::count::Lost;
use crate::kernel::boot_ns;
use crate::kernel::sock::Sock;
use crate::kernel::task::Process;
use crate::maps::{LISTENERS, RESETS_SENT, SERVERS_ENDED, UNACCEPTED};

/// The second program of the pair sees the same end right after the first.
const SAME_END_NS: u64 = 100_000_000;

/// CLOSE -> LISTEN: somebody begins.
#[inline(never)]
pub(crate) fn began(sock: Sock) -> Lost {
    let key = sock.listens();
    if let Some(known) = LISTENERS.get_ptr_mut(&key) {
        // SAFETY: a live map value; who writes at the same moment writes much the same.
        unsafe { (*known).began_ns = boot_ns() };
        return None;
    }
    let mut new = Listening::default();
    new.began_ns = boot_ns();
    keep(&key, &new)
}

/// LISTEN -> CLOSE, in the context of the process that closes it.
#[inline(never)]
pub(crate) fn stopped(sock: Sock) -> Lost {
    let key = sock.listens();
    let mut new = Listening::default();
    depart(sock, &mut new.ended);
    new.ends = 1;
    if let Some(known) = LISTENERS.get_ptr(&key) {
        // SAFETY: a live map value.
        let known = unsafe { &*known };
        let since_ns = new.ended.at_ns.saturating_sub(known.ended.at_ns);
        if known.ended.tgid == new.ended.tgid && since_ns < SAME_END_NS {
            return None; // once more, or another of its sockets on the same port
        }
        new.began_ns = known.began_ns;
        new.ends = known.ends.wrapping_add(1);
    }
    keep(&key, &new)
}

#[inline(always)]
fn keep(key: &UpstreamKey, listening: &Listening) -> Lost {
    match LISTENERS.insert(key, listening, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::ServersFull),
    }
}

/// A connection that no watched process opened leaves ESTABLISHED.
#[inline(never)]
pub(crate) fn left(sock: Sock, new: u8) -> Lost {
    if new == state::CLOSE_WAIT || sock.has_error() {
        return unaccepted(sock);
    }
    // The process closes it, or the kernel does for one that ends before it accepted it.
    if Process::current().exit().is_none() || !(sock.is_shut() || sock.is_orphan()) {
        return None;
    }
    let mut server = Departure::default();
    depart(sock, &mut server);
    match SERVERS_ENDED.insert(&sock.served(), &server, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::ServersFull),
    }
}

/// The client ended it. If nobody had accepted it, it asked in vain.
#[inline(always)]
fn unaccepted(sock: Sock) -> Lost {
    if !sock.is_orphan() {
        return None;
    }
    let unaccepted = Unaccepted {
        at_ns: boot_ns(),
        netns: sock.netns(),
        pad: [0; 4],
    };
    match UNACCEPTED.insert(&sock.served(), &unaccepted, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::ServersFull),
    }
}

/// A connection that no watched process opened is reset from this end.
#[inline(never)]
pub(crate) fn reset(sock: Sock, reason: u32) -> Lost {
    let reset = ResetSent {
        at_ns: boot_ns(),
        netns: sock.netns(),
        reason,
    };
    match RESETS_SENT.insert(&sock.served(), &reset, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::ServersFull),
    }
}

/// Into place: what is returned by value lies on the BPF stack twice.
#[inline(always)]
fn depart(sock: Sock, server: &mut Departure) {
    let process = Process::current();
    server.at_ns = boot_ns();
    server.leader_start_ns = process.started_ns();
    server.cgroup_id = process.cgroup_id();
    server.tgid = process.tgid();
    server.netns = sock.netns();
    server.comm = process.comm();
    if let Some((code, oom)) = process.exit() {
        server.exit_code = code;
        server.flags = if oom {
            departure::EXITING | departure::OOM
        } else {
            departure::EXITING
        };
    }
}
