// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Drops on this host: segments that never left it because the neighbour's address was not found, and
//! SYNs that its netfilter dropped, or their answers.
//!
//! | backend | where         | since | sees                          | blind to                  |
//! |---------|---------------|-------|-------------------------------|---------------------------|
//! | tpbtf   | skb:kfree_skb | 5.18  | every dropped packet, and why | NAT before the drop       |
//!
//! Why here: the ICMP error that this host sends itself for want of a neighbour is the same that a
//! router sends, and for IPv6 not even its sender is kept. A rule that drops leaves no trace but
//! this: to the proxy it is an upstream that does not answer, wherever the packet went.
//! Trap: the reasons' numbers change between kernels; the user side reads them from BTF. Neighbour
//! discovery (IPv6) gives no reason at all: there it is the place that tells.
//! Trap: a REJECT rule drops as well, after it has sent its error. What came of the connect tells.
//! Cost: every dropped packet of the host compares three numbers. Of those that netfilter drops, the
//! headers of so many a second are read, and no more.
//! Proto: void kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason[, struct sock *rx_sk])

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use gw502_common::wire::{Attempt, LossReason, flag};

use crate::count::{self, Lost};
use crate::globals::{
    CFG_NEIGHBOUR_CODE, CFG_NEIGHBOUR_FAILED, CFG_NETFILTER_DROP, OFF_SKB_SK, frozen,
};
use crate::kernel::packet::{self, Packet};
use crate::kernel::{boot_ns, load};
use crate::maps::{CONNECTIONS, FILTERED, FILTERED_LATELY};

/// Dropped packets whose headers are read, per second and CPU: a third of a millisecond's work.
const LOOKED_AT: u64 = 1000;
const SECOND_NS: u64 = 1_000_000_000;

/// How many were looked at in a second.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Lately {
    /// When that second began, `CLOCK_BOOTTIME` nanoseconds.
    since_ns: u64,
    count: u64,
}

// Twice, or three times, and all always do the work: what is noted again stays what it is.

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
    let netfilter = frozen(&CFG_NETFILTER_DROP);
    if netfilter != 0 && ctx.arg::<u32>(2) == netfilter {
        count::settle(filtered(ctx.arg(0)));
        return 0;
    }
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

/// Netfilter drops the packet: if it is a SYN, or the answer to one, remembers of which connect.
#[inline(never)]
fn filtered(skb: *const u8) -> Lost {
    let packet = Packet::at(skb);
    let ip = packet.network();
    if !packet::is_tcp(ip) {
        return None;
    }
    let tcp = packet.transport();
    if !packet::is_syn(tcp) {
        return None;
    }
    if !may_look() {
        return Some(LossReason::FilteredUnseen);
    }
    let mut flow = Attempt::default();
    packet::addresses(ip, &mut flow);
    packet::ports(tcp, &mut flow);
    if packet::is_ack(tcp) {
        packet::turn(tcp, &mut flow);
    }
    match FILTERED.insert(&flow, &1, u64::from(BPF_ANY)) {
        // Err: an LRU makes room by itself; if it cannot just now, the plain cause stands.
        Ok(()) | Err(_) => None,
    }
}

/// Whether this second has seen few enough of them.
#[inline(always)]
fn may_look() -> bool {
    let Some(lately) = FILTERED_LATELY.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a live value of this CPU's; an interrupt may make the count a little wrong.
    let lately = unsafe { &mut *lately };
    let now_ns = boot_ns();
    if now_ns.wrapping_sub(lately.since_ns) > SECOND_NS {
        lately.since_ns = now_ns;
        lately.count = 0;
    }
    lately.count = lately.count.wrapping_add(1);
    lately.count <= LOOKED_AT
}
