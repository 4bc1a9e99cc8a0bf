// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! ICMP errors: which one answered a SYN.
//!
//! | backend | where                  | since | sees                             | blind to |
//! |---------|------------------------|-------|----------------------------------|----------|
//! | fentry  | tcp_v4_err, tcp_v6_err | 5.5   | every ICMP error about a TCP one | -        |
//! | kprobe  | tcp_v4_err, tcp_v6_err |       | the same                         | -        |
//!
//! Why here: for IPv6 the socket keeps only an errno, and for IPv4 its error queue is filled a
//! moment before `sk_err` is set. Without these hooks the errno says what it can.
//! Trap: a proxy that asks SO_ERROR takes the errno away.
//! Trap: redirects and packets that were too big come this way and are no end of anything.
//! Cost: only when there is an ICMP error about TCP.
//! Proto: int tcp_v4_err(struct sk_buff *skb, u32 info)
//! Proto: int tcp_v6_err(struct sk_buff *skb, struct inet6_skb_parm *opt, u8 type, u8 code, int offset, __be32 info)

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::{fentry, kprobe};
use aya_ebpf::programs::{FEntryContext, ProbeContext};
use gw502_common::wire::{Attempt, IcmpError, SocketFacts, icmp_origin};

use crate::count::{self, Lost};
use crate::kernel::opaque;
use crate::kernel::packet::{self, Packet};
use crate::maps::ICMP_ERRORS;

/// RFC 792: destination unreachable, time exceeded, parameter problem.
const UNREACHABLE: u8 = 3;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
/// RFC 1191: a code of destination unreachable that only asks for smaller packets.
const FRAGMENTATION_NEEDED: u8 = 4;
/// RFC 4443: the same three.
const UNREACHABLE_V6: u8 = 1;
const TIME_EXCEEDED_V6: u8 = 3;
const PARAMETER_PROBLEM_V6: u8 = 4;

#[fentry(function = "tcp_v4_err")]
fn icmp_error_fentry(ctx: FEntryContext) -> i32 {
    count::settle(v4(ctx.arg(0)));
    0
}

#[fentry(function = "tcp_v6_err")]
fn icmp6_error_fentry(ctx: FEntryContext) -> i32 {
    count::settle(v6(ctx.arg(0), ctx.arg(2), ctx.arg(3), ctx.arg(4)));
    0
}

#[kprobe(function = "tcp_v4_err")]
fn icmp_error_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(skb) = ctx.arg(0) {
        count::settle(v4(skb));
    }
    0
}

#[kprobe(function = "tcp_v6_err")]
fn icmp6_error_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(skb), Some(kind), Some(code), Some(offset)) =
        (ctx.arg(0), ctx.arg(2), ctx.arg(3), ctx.arg(4))
    {
        count::settle(v6(skb, kind, code, offset));
    }
    0
}

/// The ICMP header is the transport header here, and the packet that it quotes the data.
#[inline(never)]
fn v4(skb: *const u8) -> Lost {
    let packet = Packet::at(skb);
    let [kind, code] = packet::read(packet.transport());
    let ends = matches!(kind, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM);
    if !ends || (kind == UNREACHABLE && code == FRAGMENTATION_NEEDED) {
        return None;
    }
    let ip = packet.data();
    let mut flow = Attempt::default();
    let (_, length) = packet::addresses(ip, &mut flow);
    packet::ports(ip.wrapping_add(length), &mut flow);
    remember(&flow, icmp_origin::V4, kind, code)
}

/// Type, code and where the TCP header of the quoted packet is have been found out already.
#[inline(never)]
fn v6(skb: *const u8, kind: u8, code: u8, offset: u32) -> Lost {
    if !matches!(
        kind,
        UNREACHABLE_V6 | TIME_EXCEEDED_V6 | PARAMETER_PROBLEM_V6
    ) {
        return None;
    }
    let ip = Packet::at(skb).data();
    let mut flow = Attempt::default();
    packet::addresses(ip, &mut flow);
    packet::ports(ip.wrapping_add(offset as usize), &mut flow);
    remember(&flow, icmp_origin::V6, kind, code)
}

#[inline(always)]
fn remember(flow: &Attempt, origin: u8, kind: u8, code: u8) -> Lost {
    let error = IcmpError {
        origin,
        kind,
        code,
        pad: 0,
    };
    match ICMP_ERRORS.insert(flow, &error, u64::from(BPF_ANY)) {
        // Err: an LRU makes room by itself; if it cannot just now, the errno has to do.
        Ok(()) | Err(_) => None,
    }
}

/// Which ICMP error answered the SYN of `flow`, where the socket does not know.
#[inline(never)]
pub(crate) fn answered(flow: &Attempt, facts: &mut SocketFacts) -> Lost {
    let error = ICMP_ERRORS.get_ptr(flow)?;
    // SAFETY: a live map value.
    let error = unsafe { *error };
    facts.icmp_origin = opaque(error.origin);
    facts.icmp_type = opaque(error.kind);
    facts.icmp_code = opaque(error.code);
    None
}
