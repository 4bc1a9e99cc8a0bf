// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Accept queues: connections that a listener on this host has no room for.
//!
//! | backend | where                | since | sees                         | blind to               |
//! |---------|----------------------|-------|------------------------------|------------------------|
//! | fentry  | tcp_conn_request,    | 5.5   | every SYN and last segment   | NAT before a listener  |
//! | kprobe  | tcp_v4_syn_recv_sock,|       | of a handshake that finds    | the same               |
//! |         | tcp_v6_syn_recv_sock |       | the queue full               |                        |
//! | tpbtf   | skb:kfree_skb        | 6.18  | the last segments            | dropped SYNs; SYN      |
//! |         |                      |       |                              | cookies; NAT           |
//!
//! Why here: to the proxy it is a SYN without an answer, or a connection that stands and on which
//! nothing is acknowledged, as with a firewall. The listener's own counter says that it dropped
//! something, not what. These functions begin with the same comparison and drop on it.
//! Trap: `listen(fd, 0)` has room for one; full is more than the limit.
//! Trap: a dropped SYN is freed without a word (`kfree_skb` does not fire). For a dropped handshake
//! the kernel gives the reason TCP_LISTEN_OVERFLOW, and the same when it has no memory: the queue
//! is looked at as well.
//! Trap: `tcp_v6_syn_recv_sock()` passes IPv4 on to `tcp_v4_syn_recv_sock()`.
//! Cost: for each connection that comes in, two programs of two loads and a comparison; with
//! kfree_skb, two comparisons for every dropped packet of the host.
//! Proto: int tcp_conn_request(struct request_sock_ops *rsk_ops, const struct tcp_request_sock_ops *af_ops, struct sock *sk, struct sk_buff *skb)
//! Proto: struct sock *tcp_v4_syn_recv_sock(const struct sock *sk, struct sk_buff *skb, ...), tcp_v6_syn_recv_sock the same
//! Proto: void kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, struct sock *rx_sk)

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::macros::{btf_tracepoint, fentry, kprobe};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, ProbeContext};
use gw502_common::wire::{AcceptFacts, Attempt, Pair, QueueCounts, UpstreamKey};

use crate::again::{self, Event, Turn};
use crate::count::{self, Lost};
use crate::globals::{CFG_LISTEN_OVERFLOW, frozen};
use crate::kernel::listener::{Listener, Queue};
use crate::kernel::packet::{self, Packet};
use crate::maps::{OVERFLOWED, QUEUES};

/// What a program is for: packets of any IP version, or only of IPv6.
const ANY: u8 = 0;
const ONLY_V6: u8 = 6;

#[fentry(function = "tcp_conn_request")]
fn syn_taken_in_fentry(ctx: FEntryContext) -> i32 {
    typed(ctx.arg(2), ctx.arg(3), ANY)
}

#[fentry(function = "tcp_v4_syn_recv_sock")]
fn handshake_over_fentry(ctx: FEntryContext) -> i32 {
    typed(ctx.arg(0), ctx.arg(1), ANY)
}

#[fentry(function = "tcp_v6_syn_recv_sock")]
fn handshake_over_v6_fentry(ctx: FEntryContext) -> i32 {
    typed(ctx.arg(0), ctx.arg(1), ONLY_V6)
}

#[kprobe(function = "tcp_conn_request")]
fn syn_taken_in_kprobe(ctx: ProbeContext) -> u32 {
    untyped(ctx.arg(2), ctx.arg(3), ANY)
}

#[kprobe(function = "tcp_v4_syn_recv_sock")]
fn handshake_over_kprobe(ctx: ProbeContext) -> u32 {
    untyped(ctx.arg(0), ctx.arg(1), ANY)
}

#[kprobe(function = "tcp_v6_syn_recv_sock")]
fn handshake_over_v6_kprobe(ctx: ProbeContext) -> u32 {
    untyped(ctx.arg(0), ctx.arg(1), ONLY_V6)
}

#[btf_tracepoint(function = "kfree_skb")]
fn queue_overflowed_tpbtf(ctx: BtfTracePointContext) -> i32 {
    if is_overflow(&ctx) {
        again::note(Pair::QueueOverflowed, Event::of(ctx.arg(0), 0));
        dropped_by(&ctx);
    }
    0
}

#[btf_tracepoint(function = "kfree_skb")]
fn queue_overflowed_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Second)
}

#[btf_tracepoint(function = "kfree_skb")]
fn queue_overflowed_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Third)
}

#[inline(always)]
fn again(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    if is_overflow(ctx) && again::missed(Pair::QueueOverflowed, Event::of(ctx.arg(0), 0), turn) {
        dropped_by(ctx);
    }
    0
}

#[inline(always)]
fn is_overflow(ctx: &BtfTracePointContext) -> bool {
    ctx.arg::<u32>(2) == frozen(&CFG_LISTEN_OVERFLOW)
}

#[inline(always)]
fn dropped_by(ctx: &BtfTracePointContext) {
    let listener: *const u8 = ctx.arg(3);
    if listener.is_null() {
        return;
    }
    let queue = Listener::at(listener).queue();
    if queue.is_full() {
        count::settle(overflowed(
            listener,
            ctx.arg(0),
            queue.length,
            queue.limit,
            ANY,
        ));
    }
}

#[inline(always)]
fn typed(listener: *const u8, skb: *const u8, version: u8) -> i32 {
    // SAFETY: the functions' first `struct sock *`, never NULL; a listener is a full socket.
    let queue = unsafe { Queue::of_typed(listener) };
    if queue.is_full() {
        count::settle(overflowed(
            listener,
            skb,
            queue.length,
            queue.limit,
            version,
        ));
    }
    0
}

#[inline(always)]
fn untyped(listener: Option<*const u8>, skb: Option<*const u8>, version: u8) -> u32 {
    if let (Some(listener), Some(skb)) = (listener, skb) {
        let queue = Listener::at(listener).queue();
        if queue.is_full() {
            count::settle(overflowed(
                listener,
                skb,
                queue.length,
                queue.limit,
                version,
            ));
        }
    }
    0
}

/// The listener drops the segment in `skb`. Remembers of which connection it was.
///
/// What ends a handshake bears the number after the SYN's; data that comes later, and that meets
/// the same fate, another, and counts for no connection.
#[inline(never)]
fn overflowed(listener: *const u8, skb: *const u8, length: u32, limit: u32, version: u8) -> Lost {
    let listener = Listener::at(listener);
    let packet = Packet::at(skb);
    let tcp = packet.transport();
    let mut flow = Attempt::default();
    let (found, _) = packet::addresses(packet.network(), &mut flow);
    if version == ONLY_V6 && found != ONLY_V6 {
        return None;
    }
    packet::ports(tcp, &mut flow);
    let is_syn = packet::is_syn(tcp);
    if !is_syn {
        flow.isn = flow.isn.wrapping_sub(1);
    }
    let netns = count_overflow(listener, length, limit);
    let mut facts = AcceptFacts {
        length,
        limit,
        netns,
        aborts: listener.aborts(),
        ..AcceptFacts::default()
    };
    if let Some(before) = OVERFLOWED.get_ptr(&flow) {
        // SAFETY: a live map value. If the LRU gives it away this very moment, a number is wrong
        // by which nothing is judged but that it is not zero.
        let before = unsafe { &*before };
        (facts.syn_drops, facts.ack_drops) = (before.syn_drops, before.ack_drops);
    }
    if is_syn {
        facts.syn_drops = facts.syn_drops.saturating_add(1);
    } else {
        facts.ack_drops = facts.ack_drops.saturating_add(1);
    }
    match OVERFLOWED.insert(&flow, &facts, u64::from(BPF_ANY)) {
        // Err: an LRU makes room by itself; if it cannot just now, the plain cause stands.
        Ok(()) | Err(_) => None,
    }
}

/// Counts it for the listener. Returns the listener's network namespace.
#[inline(always)]
fn count_overflow(listener: Listener, length: u32, limit: u32) -> u32 {
    let mut place = UpstreamKey::default();
    listener.place(&mut place);
    let nothing_yet = QueueCounts::default();
    let slot = QUEUES.get_ptr_mut(&place).or_else(|| {
        // Only one CPU can be first. Whoever comes second finds the entry of the first below.
        match QUEUES.insert(&place, &nothing_yet, u64::from(BPF_NOEXIST)) {
            Ok(()) | Err(_) => QUEUES.get_ptr_mut(&place),
        }
    });
    if let Some(slot) = slot {
        // SAFETY: a live map value, as above.
        unsafe {
            count::add(&raw mut (*slot).drops, 1);
            (&raw mut (*slot).length).write_volatile(length);
            (&raw mut (*slot).limit).write_volatile(limit);
        }
    }
    place.netns
}
