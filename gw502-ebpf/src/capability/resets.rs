// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Resets: a RST that arrived for a watched connection, or that we sent for one.
//!
//! | backend | where                 | since | sees             | blind to                 |
//! |---------|-----------------------|-------|------------------|--------------------------|
//! | tpbtf   | tcp:tcp_receive_reset | 5.5   | every RST        | -                        |
//! | tpbtf   | tcp:tcp_send_reset    | 5.5   | every RST we send| its reason before 6.10   |
//!
//! Why here: `sk_err` is still 0 when the RST is processed, and ECONNREFUSED may also come from an
//! ICMP error; this is the one place that knows it was a RST.
//! Trap: `tcp_send_reset` passes a NULL, a listening or a TIME_WAIT socket as well; the last is a
//! smaller object. The state is looked at before anything else.
//! Trap: an active RST passes `tcp_send_reset` after it was sent: where both ends are on this host the
//! failure may be told first, by microseconds.
//! Cost: only when there is a RST.
//! Proto: void tcp_receive_reset(struct sock *sk)
//! Proto: void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason])

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::tcp::state;
use gw502_common::wire::{Pair, flag};

use crate::again::{self, Event, Turn};
use crate::capability::servers;
use crate::count;
use crate::globals::{CFG_SEND_RESET_REASON, frozen};
use crate::kernel::sock::Sock;
use crate::maps::CONNECTIONS;

#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again::note(Pair::ResetReceived, Event::of(ctx.arg(0), 0));
    received(&ctx)
}

#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    received_again(&ctx, Turn::Second)
}

#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    received_again(&ctx, Turn::Third)
}

#[inline(always)]
fn received_again(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    if again::missed(Pair::ResetReceived, Event::of(ctx.arg(0), 0), turn) {
        received(ctx);
    }
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent_tpbtf(ctx: BtfTracePointContext) -> i32 {
    again::note(Pair::ResetSent, Event::of(ctx.arg(0), 0));
    sent(&ctx)
}

#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    sent_again(&ctx, Turn::Second)
}

#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    sent_again(&ctx, Turn::Third)
}

#[inline(always)]
fn sent_again(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    if again::missed(Pair::ResetSent, Event::of(ctx.arg(0), 0), turn) {
        sent(ctx);
    }
    0
}

#[inline(always)]
fn received(ctx: &BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is `struct sock *`, never NULL; tcp_reset() is for full sockets.
    let sock = unsafe { Sock::new(ctx.arg(0)) };
    if let Some(connection) = CONNECTIONS.get_ptr_mut(sock.key()) {
        // SAFETY: a live value of a preallocated map, touched under the socket's lock only.
        let connection = unsafe { &mut *connection };
        connection.flags |= flag::RST_RECEIVED;
        connection.rst_state = sock.state();
    }
    0
}

#[inline(always)]
fn sent(ctx: &BtfTracePointContext) -> i32 {
    let has_reason = frozen(&CFG_SEND_RESET_REASON) != 0;
    // Only the address is used: it is in our map for full sockets alone.
    if let Some(connection) = CONNECTIONS.get_ptr_mut(ctx.arg::<u64>(0)) {
        // SAFETY: a live value of a preallocated map, touched under the socket's lock only.
        let connection = unsafe { &mut *connection };
        connection.flags |= flag::RST_SENT;
        if has_reason {
            connection.rst_sent_reason = ctx.arg::<u32>(2) as u8;
        }
        return 0;
    }
    let sock: *const u8 = ctx.arg(0);
    if has_reason && !sock.is_null() {
        // SAFETY: argument 0 is `struct sock *`; of one that may be smaller only the state is read,
        // which they have in common.
        let sock = unsafe { Sock::new(sock) };
        if matches!(
            sock.state(),
            state::ESTABLISHED
                | state::FIN_WAIT1
                | state::FIN_WAIT2
                | state::CLOSE
                | state::CLOSE_WAIT
                | state::LAST_ACK
                | state::CLOSING
        ) {
            count::settle(servers::reset(sock, ctx.arg(2)));
        }
    }
    0
}
