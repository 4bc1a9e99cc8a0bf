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
//! Cost: only when there is a RST.
//! Proto: void tcp_receive_reset(struct sock *sk)
//! Proto: void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason reason])

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::wire::flag;

use crate::globals::{CFG_SEND_RESET_REASON, frozen};
use crate::kernel::sock::Sock;
use crate::maps::CONNECTIONS;

#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received_tpbtf(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is `struct sock *`, never NULL; tcp_reset() is for full sockets.
    received(unsafe { Sock::new(ctx.arg(0)) });
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent_tpbtf(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    let reason = if frozen(&CFG_SEND_RESET_REASON) == 0 {
        0
    } else {
        ctx.arg::<u32>(2) as u8
    };
    // Only the address is used: it is in our map for full sockets alone.
    sent(sk as u64, reason);
    0
}

#[inline(always)]
fn received(sock: Sock) {
    if let Some(connection) = CONNECTIONS.get_ptr_mut(sock.key()) {
        // SAFETY: a live value of a preallocated map, touched under the socket's lock only.
        let connection = unsafe { &mut *connection };
        connection.flags |= flag::RST_RECEIVED;
        connection.rst_state = sock.state();
    }
}

#[inline(always)]
fn sent(key: u64, reason: u8) {
    if let Some(connection) = CONNECTIONS.get_ptr_mut(key) {
        // SAFETY: a live value of a preallocated map, touched under the socket's lock only.
        let connection = unsafe { &mut *connection };
        connection.flags |= flag::RST_SENT;
        connection.rst_sent_reason = reason;
    }
}
