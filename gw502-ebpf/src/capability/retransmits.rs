// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Retransmits: how often the kernel sent a SYN or data of a watched connection again.
//!
//! | backend | where                  | since | sees                 | blind to |
//! |---------|------------------------|-------|----------------------|----------|
//! | tpbtf   | tcp:tcp_retransmit_skb | 5.5   | every retransmission | -        |
//!
//! Why here: the socket's own counters are reset by progress; this count is per connection.
//! Trap: from 6.13 on it also fires for a retransmission that could not be sent (third argument),
//! such as a SYN still parked while ARP waits. Those count too: the kernel tried.
//! Cost: only when there is a retransmission.
//! Proto: void tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb[, int err])

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::wire::{Pair, flag};

use crate::again::{self, Event, Turn};
use crate::kernel::sock::Sock;
use crate::maps::CONNECTIONS;

#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again::note(Pair::Retransmit, Event::of(ctx.arg(0), 0));
    // SAFETY: argument 0 is `struct sock *`, never NULL; only full sockets retransmit here.
    retransmitted(unsafe { Sock::new(ctx.arg(0)) });
    0
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Second)
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again(&ctx, Turn::Third)
}

#[inline(always)]
fn again(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    if again::missed(Pair::Retransmit, Event::of(ctx.arg(0), 0), turn) {
        // SAFETY: as above.
        retransmitted(unsafe { Sock::new(ctx.arg(0)) });
    }
    0
}

#[inline(always)]
fn retransmitted(sock: Sock) {
    if let Some(connection) = CONNECTIONS.get_ptr_mut(sock.key()) {
        // SAFETY: a live value of a preallocated map, touched under the socket's lock only.
        let connection = unsafe { &mut *connection };
        let count = if connection.flags & flag::ESTABLISHED == 0 {
            &mut connection.syn_retransmits
        } else {
            &mut connection.data_retransmits
        };
        *count = count.wrapping_add(1);
    }
}
