// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! TCP packets: in a `struct sk_buff`, or in an ICMP error that quotes one.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use gw502_common::wire::{Attempt, LossReason};

use crate::count;
use crate::globals::{OFF_SKB_DATA, OFF_SKB_HEAD, OFF_SKB_NETWORK, OFF_SKB_TRANSPORT};
use crate::kernel::probe;

/// The SYN bit and where it stands, RFC 9293 3.1.
const FLAGS: usize = 13;
const SYN: u8 = 2;
const ACK: u8 = 16;
/// `IPPROTO_TCP`, and where an IP header says what follows it.
const TCP: u8 = 6;
const PROTOCOL_V4: usize = 9;
const NEXT_V6: usize = 6;
/// Where the addresses stand: RFC 791 3.1, RFC 8200 3.
const ADDRESSES_V4: usize = 12;
const ADDRESSES_V6: usize = 8;

/// A `struct sk_buff` that the verifier may know nothing about.
#[derive(Clone, Copy)]
pub(crate) struct Packet(*const u8);

impl Packet {
    #[inline(always)]
    pub(crate) const fn at(skb: *const u8) -> Self {
        Self(skb)
    }

    /// Its IP header.
    #[inline(always)]
    pub(crate) fn network(self) -> *const u8 {
        self.head()
            .wrapping_add(probe::<u16>(self.0, &OFF_SKB_NETWORK) as usize)
    }

    /// What follows that.
    #[inline(always)]
    pub(crate) fn transport(self) -> *const u8 {
        self.head()
            .wrapping_add(probe::<u16>(self.0, &OFF_SKB_TRANSPORT) as usize)
    }

    /// What the layer that has it now works on.
    #[inline(always)]
    pub(crate) fn data(self) -> *const u8 {
        probe::<u64>(self.0, &OFF_SKB_DATA) as *const u8
    }

    #[inline(always)]
    fn head(self) -> *const u8 {
        probe::<u64>(self.0, &OFF_SKB_HEAD) as *const u8
    }
}

/// The addresses in an IP header. Returns its version and, for IPv4, its length.
#[inline(always)]
pub(crate) fn addresses(ip: *const u8, flow: &mut Attempt) -> (u8, usize) {
    let first: u8 = read(ip);
    let (version, words) = (first >> 4, first & 0xf);
    if version == 6 {
        flow.from = read(ip.wrapping_add(ADDRESSES_V6));
        flow.to = read(ip.wrapping_add(ADDRESSES_V6 + 16));
    } else {
        flow.from = mapped(read(ip.wrapping_add(ADDRESSES_V4)));
        flow.to = mapped(read(ip.wrapping_add(ADDRESSES_V4 + 4)));
    }
    (version, words as usize * 4)
}

/// The ports and the sequence number in a TCP header.
#[inline(always)]
pub(crate) fn ports(tcp: *const u8, flow: &mut Attempt) {
    let [a, b, c, d] = read(tcp);
    flow.from_port = u16::from_be_bytes([a, b]);
    flow.to_port = u16::from_be_bytes([c, d]);
    flow.isn = u32::from_be_bytes(read(tcp.wrapping_add(4)));
}

#[inline(always)]
pub(crate) fn is_syn(tcp: *const u8) -> bool {
    read::<u8>(tcp.wrapping_add(FLAGS)) & SYN != 0
}

#[inline(always)]
pub(crate) fn is_ack(tcp: *const u8) -> bool {
    read::<u8>(tcp.wrapping_add(FLAGS)) & ACK != 0
}

/// Whether a TCP header follows the IP header. (With IPv6 options in between it is not found.)
#[inline(always)]
pub(crate) fn is_tcp(ip: *const u8) -> bool {
    let at = if read::<u8>(ip) >> 4 == 6 {
        NEXT_V6
    } else {
        PROTOCOL_V4
    };
    read::<u8>(ip.wrapping_add(at)) == TCP
}

/// The same connect seen from the answer to its SYN, which bears the number after the SYN's.
#[inline(always)]
pub(crate) fn turn(tcp: *const u8, flow: &mut Attempt) {
    let acknowledged = u32::from_be_bytes(read(tcp.wrapping_add(8)));
    (flow.from, flow.to) = (flow.to, flow.from);
    (flow.from_port, flow.to_port) = (flow.to_port, flow.from_port);
    flow.isn = acknowledged.wrapping_sub(1);
}

#[inline(always)]
const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[inline(always)]
pub(crate) fn read<T: Copy + Default>(at: *const u8) -> T {
    // SAFETY: the helper checks the address itself and reports a fault.
    match unsafe { bpf_probe_read_kernel(at.cast::<T>()) } {
        Ok(value) => value,
        Err(_) => {
            count::loss(LossReason::ReadFault);
            T::default()
        }
    }
}
