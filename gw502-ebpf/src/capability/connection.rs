// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Connection state: the start, the handshake and the end of a proxy's connections.
//!
//! | backend | where                    | since | sees             | blind to                      |
//! |---------|--------------------------|-------|------------------|-------------------------------|
//! | tpbtf   | sock:inet_sock_set_state | 5.5   | every TCP socket | connects that never reach TCP |
//!
//! Why here: CLOSE -> SYN_SENT always runs in the caller's own context, so this is where the
//! process is known; and every end passes here while the socket still holds its error, before
//! the application can take it away.
//! Trap: any later change may run in whatever task the packet interrupted; nothing about the
//! process is read there. `sk_err` alone does not tell a FIN, a proxy's time-out or an exhausted
//! port range from success: see `gw502_common::ending`.
//! Cost: every TCP state change of the host runs the test in `matters`; watched connections add a
//! map look-up per change.
//! Proto: void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::ending::{Ending, judge, matters};
use gw502_common::tcp::{SHUTDOWN_BOTH, state};
use gw502_common::wire::{Attempt, Connection, LossReason, Pair, SkipReason, SocketFacts, flag};

use crate::again::{self, Event, Turn};
use crate::capability::{calls, clients, icmp_errors, servers};
use crate::count::{self, Lost, Tally};
use crate::emit;
use crate::filter;
use crate::kernel::sock::Sock;
use crate::kernel::task::Process;
use crate::kernel::{boot_ns, opaque};
use crate::maps::{CONNECTIONS, FILTERED};

/// The second program of the pair runs right after the first; interrupts may come in between.
const SAME_START_NS: u64 = 100_000_000;
/// No [`Ending`].
const NOTHING_FAILED: u8 = u8::MAX;

#[btf_tracepoint(function = "inet_sock_set_state")]
fn connection_tpbtf(ctx: BtfTracePointContext) -> i32 {
    let (old, new) = states(&ctx);
    // For every change, also those that do not matter: what was skipped is then known exactly.
    again::note(Pair::Connection, event(&ctx, old, new));
    if matters(old, new) {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(&ctx, "state {} -> {}", old, new);
        // SAFETY: argument 0 is `struct sock *`, never NULL, and a full socket in these states.
        count::settle(changed(unsafe { Sock::new(ctx.arg(0)) }, old, new));
    }
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn connection_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Second)
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn connection_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Third)
}

#[inline(always)]
fn again(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    let (old, new) = states(ctx);
    if again::missed(Pair::Connection, event(ctx, old, new), turn) && matters(old, new) {
        // SAFETY: as above.
        count::settle(changed(unsafe { Sock::new(ctx.arg(0)) }, old, new));
    }
    0
}

#[inline(always)]
fn states(ctx: &BtfTracePointContext) -> (u8, u8) {
    (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8)
}

#[inline(always)]
fn event(ctx: &BtfTracePointContext, old: u8, new: u8) -> Event {
    Event::of(ctx.arg(0), u32::from(old) << 4 | u32::from(new))
}

#[inline(always)]
fn changed(sock: Sock, old: u8, new: u8) -> Lost {
    match new {
        state::SYN_SENT => return started(sock),
        state::LISTEN => {
            count::settle(servers::began(sock));
            return listening(sock);
        }
        _ if old == state::LISTEN => return servers::stopped(sock),
        _ => {}
    }
    let Some(connection) = CONNECTIONS.get_ptr_mut(sock.key()) else {
        return match (old, new) {
            (state::ESTABLISHED, state::CLOSE_WAIT | state::CLOSE) => {
                count::settle(servers::left(sock, new));
                clients::left(sock, old, new)
            }
            (state::ESTABLISHED, state::FIN_WAIT1) => servers::left(sock, new),
            (state::CLOSE_WAIT, _) => clients::dismissed(sock),
            _ => None,
        };
    };
    // SAFETY: a live value of a preallocated map; only events of this one socket touch it, and
    // those come one after another under the socket's lock.
    let connection = unsafe { &mut *connection };
    if new == state::ESTABLISHED {
        if connection.flags & flag::ESTABLISHED != 0 {
            return None; // once more
        }
        connection.established_ns = boot_ns();
        connection.flags |= flag::ESTABLISHED;
        return count::upstream(connection, Tally::established(connection));
    }
    ended(sock, connection, old, new)
}

/// CLOSE -> SYN_SENT, in the context of the process that connects.
///
/// A function of its own, like others here, for a stack of its own: the verifier adds up the stacks
/// of functions that are in each other, and before Linux 6.13 allows 512 bytes in all.
#[inline(never)]
fn started(sock: Sock) -> Lost {
    if !sock.is_tcp() {
        return None;
    }
    let process = Process::current();
    let comm = process.comm();
    if !filter::named(process, &comm) {
        return None;
    }
    if calls::taken_up(process) {
        return None; // once more
    }
    if !filter::in_cgroup() {
        return count::skip(SkipReason::Cgroup);
    }
    if once_more(sock, process) {
        return None;
    }
    let (daddr, dport) = (sock.daddr(), sock.dport());
    if !filter::upstream(&daddr, dport) {
        return count::skip(SkipReason::Upstream);
    }
    let connection = Connection {
        start_ns: boot_ns(),
        leader_start_ns: process.started_ns(),
        // SAFETY: the helper has no precondition.
        start_jiffies: unsafe { bpf_jiffies64() },
        cgroup_id: process.cgroup_id(),
        tgid: process.tgid(),
        netns: sock.netns(),
        daddr,
        comm,
        family: sock.family(),
        dport,
        ..Connection::default()
    };
    count::settle(count::upstream(&connection, Tally::ATTEMPT));
    match CONNECTIONS.insert(sock.key(), &connection, u64::from(BPF_ANY)) {
        Ok(()) => None,
        Err(_) => Some(LossReason::ConnectionsFull),
    }
}

/// Whether this start was already seen: what is remembered of a socket is gone before it can start
/// again.
#[inline(always)]
fn once_more(sock: Sock, process: Process) -> bool {
    CONNECTIONS.get_ptr(sock.key()).is_some_and(|seen| {
        // SAFETY: a live value of a preallocated map, of this one socket.
        let seen = unsafe { &*seen };
        let age_ns = boot_ns().saturating_sub(seen.start_ns);
        seen.tgid == process.tgid() && seen.flags == 0 && age_ns < SAME_START_NS
    })
}

/// CLOSE -> LISTEN, in the context of the process that listens.
#[inline(never)]
fn listening(sock: Sock) -> Lost {
    let process = Process::current();
    let comm = process.comm();
    if !sock.is_tcp() {
        return None;
    }
    if filter::named(process, &comm) && filter::in_cgroup() {
        return clients::listening(sock.netns(), sock.sport(), &comm);
    }
    clients::handed_on(sock.netns(), sock.sport());
    None
}

#[inline(never)]
fn ended(sock: Sock, connection: &mut Connection, old: u8, new: u8) -> Lost {
    let (old, new) = (opaque(old), opaque(new));
    let mut facts = SocketFacts::default();
    let lost = sock.fill(&mut facts, old, new);
    if lost.is_some() {
        forget(sock);
        return lost;
    }
    let mut flow = Attempt::default();
    if old == state::SYN_SENT {
        // It failed, and only this may say how.
        count::settle(sock.flow(connection, &facts, &mut flow));
        if facts.icmp_origin == 0 {
            count::settle(icmp_errors::answered(&flow, &mut facts));
        }
        facts.filtered = FILTERED.get_ptr(&flow).is_some() as u8;
    }
    let now_ns = boot_ns();
    let ending = opaque(ending(connection, &facts, now_ns));
    if ending != NOTHING_FAILED {
        if ending == Ending::Abandoned as u8 || ending == Ending::SynAbandoned as u8 {
            facts.clients = opaque(clients::of(connection, now_ns));
        }
        connection.flags |= flag::REPORTED;
        if old != state::SYN_SENT {
            count::settle(sock.flow(connection, &facts, &mut flow));
        }
        emit::failure(ending, connection, &facts, &flow, now_ns);
    }
    let half_close = facts.new_state == state::FIN_WAIT1 && facts.shutdown != SHUTDOWN_BOTH;
    if half_close {
        connection.flags |= flag::HALF_CLOSED;
    } else if facts.old_state == state::SYN_SENT {
        // Remembered until the socket is freed, or connects again: the proxy may call connect()
        // once more to ask how this went, and gets the error that is already reported.
    } else if facts.new_state != state::CLOSE_WAIT {
        // CLOSE; or the proxy closed for good, and what its FIN meets no longer concerns it.
        forget(sock);
    }
    None
}

/// How the connection ended, as a number.
#[inline(never)]
fn ending(connection: &Connection, facts: &SocketFacts, now_ns: u64) -> u8 {
    judge(connection, facts, now_ns).map_or(NOTHING_FAILED, |ending| ending as u8)
}

/// What is known of the socket goes.
#[inline(always)]
pub(crate) fn forget(sock: Sock) {
    match CONNECTIONS.remove(sock.key()) {
        // Err: nothing was there to forget.
        Ok(()) | Err(_) => {}
    }
}
