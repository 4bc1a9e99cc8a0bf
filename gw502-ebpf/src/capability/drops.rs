// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Drops on this host: segments that never left it because the neighbour's address was not found.
//!
//! | backend | where         | since | sees                          | blind to                  |
//! |---------|---------------|-------|-------------------------------|---------------------------|
//! | tpbtf   | skb:kfree_skb | 5.18  | every dropped packet, and why | drops behind a veth pair  |
//!
//! Why here: the ICMP error that this host sends itself then is the same that a router sends, and
//! for IPv6 not even its sender is kept.
//! Trap: the reasons' numbers change between kernels; the user side reads them from BTF. Neighbour
//! discovery (IPv6) gives no reason at all: there it is the place that tells.
//! Cost: every dropped packet of the host compares a number.
//! Proto: void kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason[, struct sock *rx_sk])

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::wire::flag;

use crate::globals::{CFG_NEIGHBOUR_CODE, CFG_NEIGHBOUR_FAILED, OFF_SKB_SK, frozen};
use crate::kernel::load;
use crate::maps::CONNECTIONS;

// Twice, or three times, and all always do the work: a flag that is set again stays what it is.

#[btf_tracepoint(function = "kfree_skb")]
fn dropped_tpbtf(ctx: BtfTracePointContext) -> i32 {
    dropped(&ctx)
}

#[btf_tracepoint(function = "kfree_skb")]
fn dropped_again_tpbtf(ctx: BtfTracePointContext) -> i32 {
    dropped(&ctx)
}

#[btf_tracepoint(function = "kfree_skb")]
fn dropped_third_tpbtf(ctx: BtfTracePointContext) -> i32 {
    dropped(&ctx)
}

#[inline(always)]
fn dropped(ctx: &BtfTracePointContext) -> i32 {
    let [ndisc, ndisc_end, neigh, neigh_end] = frozen(&CFG_NEIGHBOUR_CODE);
    let place: u64 = ctx.arg(1);
    let there = (ndisc..ndisc_end).contains(&place) || (neigh..neigh_end).contains(&place);
    if ctx.arg::<u32>(2) != frozen(&CFG_NEIGHBOUR_FAILED) && !there {
        return 0;
    }
    // SAFETY: argument 0 is `struct sk_buff *`, never NULL; the table vouches for the size.
    let sock: u64 = unsafe { load(ctx.arg(0), &OFF_SKB_SK) };
    if let Some(connection) = CONNECTIONS.get_ptr_mut(sock) {
        // SAFETY: a live value of a preallocated map. The socket's lock is not held; another event
        // of it at the same time could take this flag away again, and the plain cause would stand.
        unsafe { (*connection).flags |= flag::NEIGHBOUR_FAILED };
    }
    0
}
