// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Clients: whether one had just left when the proxy gave up on an upstream.
//!
//! | backend | where                    | since | sees                      | blind to              |
//! |---------|--------------------------|-------|---------------------------|-----------------------|
//! | tpbtf   | sock:inet_sock_set_state | 5.5   | FIN and RST of a client   | HTTP/2 and /3 cancels |
//! | tpbtf   | tcp:tcp_destroy_sock     | 5.5   | the proxy closing its end | -                     |
//!
//! Why here: a proxy that stops waiting because its time is up and one that stops because its
//! client left do the same on the upstream's connection. But only in the second case there is,
//! at that very moment, a client's socket that has ended and that the proxy has not closed yet,
//! or that the same thread closed just before.
//! Trap: the client's FIN arrives in whatever task it interrupts. Whose client it was follows from
//! the local port, and the port from the process that called `listen()`.
//! Cost: a look-up for each FIN or RST that a server's socket receives, one for each TCP socket
//! that is freed.
//! Proto: void tcp_destroy_sock(struct sock *sk)

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::wire::{
    Clients, Connection, Dismissal, ListenKey, LossReason, Pair, ProxyKey, clients,
};

use crate::again::{self, Event, Turn};
use crate::capability::connection;
use crate::count::{self, Lost};
use crate::kernel::boot_ns;
use crate::kernel::sock::Sock;
use crate::kernel::task::Process;
use crate::maps::{CLIENTS, DISMISSALS, LEAVING, LISTENING};

/// A proxy that closes the upstream's connection before its client's does both in one go (nginx).
const SAME_MOMENT_NS: u64 = 1_000_000;

/// One that closes its client's first does other work in between (HAProxy), and may be preempted.
const SOON_NS: u64 = 20_000_000;

/// A proxy that gives up for a client that left does so at once, or as soon as it is scheduled. One
/// that serves it on (`HAProxy` without `option abortonclose`) still has it when another's time is up.
const AT_ONCE_NS: u64 = 200_000_000;

#[btf_tracepoint(function = "tcp_destroy_sock")]
fn client_dismissed_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again::note(Pair::ClientDismissed, Event::of(ctx.arg(0), 0));
    // SAFETY: argument 0 is `struct sock *`, never NULL, and a full socket.
    freed(unsafe { Sock::new(ctx.arg(0)) });
    0
}

#[btf_tracepoint(function = "tcp_destroy_sock")]
fn client_dismissed_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Second)
}

#[btf_tracepoint(function = "tcp_destroy_sock")]
fn client_dismissed_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Third)
}

#[inline(always)]
fn again(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    if again::missed(Pair::ClientDismissed, Event::of(ctx.arg(0), 0), turn) {
        // SAFETY: as above.
        freed(unsafe { Sock::new(ctx.arg(0)) });
    }
    0
}

/// The kernel frees the socket: whatever is known of it goes.
#[inline(always)]
fn freed(sock: Sock) {
    count::settle(dismissed(sock));
    connection::forget(sock);
}

/// CLOSE -> LISTEN of a watched process: from now on its clients are known by this port.
#[inline(never)]
pub(crate) fn listening(netns: u32, port: u16, comm: &[u8; 16]) -> Lost {
    let proxy = ProxyKey { comm: *comm, netns };
    let known = CLIENTS.get_ptr(&proxy).is_some()
        || CLIENTS
            .insert(&proxy, &Clients::default(), u64::from(BPF_ANY))
            .is_ok();
    let key = ListenKey {
        netns,
        port,
        pad: [0; 2],
    };
    if !known || LISTENING.insert(&key, &proxy, u64::from(BPF_ANY)).is_err() {
        return Some(LossReason::ClientsFull);
    }
    None
}

/// CLOSE -> LISTEN of another process: who connects to this port is no proxy's client any more, but may
/// be a proxy.
#[inline(never)]
pub(crate) fn handed_on(netns: u32, port: u16) {
    let key = ListenKey {
        netns,
        port,
        pad: [0; 2],
    };
    match LISTENING.remove(&key) {
        // Err: nobody had it before.
        Ok(()) | Err(_) => {}
    }
}

/// The FIN or RST of a peer arrived on a connection that no watched process opened: perhaps that
/// of a proxy's client, and perhaps one that had no answer yet.
///
/// A client that leaves after its answer is the normal end of things and not remembered. (Neither
/// is a connection that the proxy itself ended by RST: there it spoke last, or is about to free
/// it, and it is dismissed with that.)
#[inline(never)]
pub(crate) fn left(sock: Sock, old: u8, new: u8) -> Lost {
    let listen = ListenKey {
        netns: sock.netns(),
        port: sock.sport(),
        pad: [0; 2],
    };
    let proxy = LISTENING.get_ptr(&listen)?;
    if !sock.owes_answer(old, new) {
        return None;
    }
    // SAFETY: a live value of a preallocated map; ports change hands rarely, and a torn read
    // would only miss a client.
    let proxy = unsafe { *proxy };
    if LEAVING.get_ptr(&sock.key()).is_some() {
        return None; // once more
    }
    if LEAVING
        .insert(&sock.key(), &proxy, u64::from(BPF_ANY))
        .is_err()
    {
        return Some(LossReason::ClientsFull);
    }
    if let Some(of) = CLIENTS.get_ptr_mut(&proxy) {
        // SAFETY: a live map value; of two clients that leave at the same time either will do.
        unsafe { (*of).left_ns = boot_ns() };
        // SAFETY: a live map value.
        count::add(unsafe { &raw mut (*of).leaving }, 1);
    }
    None
}

/// This side closed a connection whose peer had ended it, or freed its socket: if it was a client
/// that had left, the proxy has dealt with it.
#[inline(never)]
pub(crate) fn dismissed(sock: Sock) -> Lost {
    let key = sock.key();
    let proxy = LEAVING.get_ptr(&key)?;
    // SAFETY: a live map value, of this one socket.
    let proxy = unsafe { *proxy };
    LEAVING.remove(&key).ok()?;
    let of = CLIENTS.get_ptr_mut(&proxy)?;
    // SAFETY: a live map value.
    count::add(unsafe { &raw mut (*of).leaving }, u64::MAX);
    let now_ns = boot_ns();
    let explained_ns = last().explained_ns;
    let was_upstream_first = now_ns.saturating_sub(explained_ns) < SAME_MOMENT_NS;
    keep(&Dismissal {
        at_ns: now_ns,
        lasts_ns: if was_upstream_first {
            SAME_MOMENT_NS
        } else {
            SOON_NS
        },
        explained_ns,
    });
    None
}

/// What the current thread did last.
#[inline(always)]
fn last() -> Dismissal {
    match DISMISSALS.get_ptr(Process::current().tid()) {
        // SAFETY: a live map value, of this thread.
        Some(last) => unsafe { *last },
        None => Dismissal::default(),
    }
}

#[inline(always)]
fn keep(dismissal: &Dismissal) {
    match DISMISSALS.insert(Process::current().tid(), dismissal, u64::from(BPF_ANY)) {
        // Err: an LRU makes room by itself; if it cannot just now, a wait stays unexplained.
        Ok(()) | Err(_) => {}
    }
}

/// Whether a client of the proxy of `connection` has left, now that the proxy gives up on it. Runs
/// in the proxy's context.
#[inline(never)]
pub(crate) fn of(connection: &Connection, now_ns: u64) -> u8 {
    let proxy = ProxyKey {
        comm: connection.comm,
        netns: connection.netns,
    };
    let Some(of) = CLIENTS.get_ptr(&proxy) else {
        return clients::UNKNOWN;
    };
    let before = last();
    if now_ns.saturating_sub(before.at_ns) < before.lasts_ns {
        // That client is accounted for, but for others of its requests (HTTP/2), which go at once.
        keep(&Dismissal {
            at_ns: now_ns,
            lasts_ns: SAME_MOMENT_NS,
            ..before
        });
        return clients::GONE;
    }
    // SAFETY: a live map value.
    let (leaving, left_ns) = unsafe { ((*of).leaving, (*of).left_ns) };
    if leaving == 0 {
        return clients::STAYED;
    }
    if now_ns.saturating_sub(left_ns) > AT_ONCE_NS {
        return clients::UNKNOWN;
    }
    keep(&Dismissal {
        explained_ns: now_ns,
        ..before
    });
    clients::GONE
}
