// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! `struct sock` and `struct tcp_sock` behind a BTF-typed pointer.

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns};
use gw502_common::tcp::{IPPROTO_TCP, SHUTDOWN_BOTH, family, state};
use gw502_common::wire::{
    Attempt, Connection, Flow, LossReason, SocketFacts, UpstreamKey, last_word,
};

use crate::count::Lost;
use crate::globals::{
    OFF_EE_CODE, OFF_EE_ORIGIN, OFF_EE_TYPE, OFF_ICSK_LRCV, OFF_ICSK_PROBES, OFF_ICSK_RETRANS,
    OFF_INET_SPORT, OFF_NET_INUM, OFF_SERR_EE, OFF_SK_DADDR, OFF_SK_DADDR6, OFF_SK_DPORT,
    OFF_SK_ERR, OFF_SK_ERR_SOFT, OFF_SK_ERRQ_LEN, OFF_SK_ERRQ_TAIL, OFF_SK_FAMILY, OFF_SK_NET,
    OFF_SK_PROTOCOL, OFF_SK_SADDR, OFF_SK_SADDR6, OFF_SK_SHUTDOWN, OFF_SK_SOCKET, OFF_SK_STATE,
    OFF_SKB_CB, OFF_TP_ACKED, OFF_TP_COPIED, OFF_TP_DELIVERED, OFF_TP_FIRST_TX, OFF_TP_LSNDTIME,
    OFF_TP_RCV_NXT, OFF_TP_RCV_WUP, OFF_TP_RECEIVED, OFF_TP_RETRANS, OFF_TP_RTT_MIN,
    OFF_TP_SEGS_IN, OFF_TP_SEGS_OUT, OFF_TP_SENT, OFF_TP_SND_NXT, OFF_TP_SND_UNA, OFF_TP_SRTT,
    OFF_TP_WRITE_SEQ, OFF_TP_WSTAMP, frozen,
};
use crate::kernel::{load, opaque, probe};

/// A `struct sock *` that the verifier knows as such.
#[derive(Clone, Copy)]
pub(crate) struct Sock(*const u8);

impl Sock {
    /// # Safety
    ///
    /// `sk` is an argument of a BTF-typed tracepoint, declared there as `struct sock *`, and not
    /// NULL; its state is none of TIME_WAIT and NEW_SYN_RECV, whose objects are smaller.
    #[inline(always)]
    pub(crate) const unsafe fn new(sk: *const u8) -> Self {
        Self(sk)
    }

    /// What this socket is called in our maps: its address.
    #[inline(always)]
    pub(crate) fn key(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn load<T: Copy>(self, offset: &'static u64) -> T {
        // SAFETY: `new` vouches for the pointer, the table of kernel fields for the size.
        unsafe { load(self.0, offset) }
    }

    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        self.load::<u16>(&OFF_SK_PROTOCOL) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        self.load(&OFF_SK_STATE)
    }

    #[inline(always)]
    pub(crate) fn family(self) -> u16 {
        self.load(&OFF_SK_FAMILY)
    }

    /// Port of the peer, host order. 0 again once the kernel has disconnected the socket.
    #[inline(always)]
    pub(crate) fn dport(self) -> u16 {
        u16::from_be(self.load(&OFF_SK_DPORT))
    }

    #[inline(always)]
    pub(crate) fn daddr(self) -> [u8; 16] {
        self.address(&OFF_SK_DADDR, &OFF_SK_DADDR6)
    }

    #[inline(always)]
    fn saddr(self) -> [u8; 16] {
        self.address(&OFF_SK_SADDR, &OFF_SK_SADDR6)
    }

    /// An IPv6 socket that connects to a v4-mapped address already holds it in mapped form.
    #[inline(always)]
    fn address(self, v4: &'static u64, v6: &'static u64) -> [u8; 16] {
        if self.family() == family::INET6 {
            return self.load(v6);
        }
        let [a, b, c, d] = self.load::<u32>(v4).to_ne_bytes();
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
    }

    /// Port of this side, host order; 0 when the kernel has no `tcp_sock` behind the socket.
    /// (`skc_num` is already zero when a socket changes to CLOSE.)
    #[inline(always)]
    pub(crate) fn sport(self) -> u16 {
        TcpSock::of(self).map_or(0, |tcp| u16::from_be(tcp.load(&OFF_INET_SPORT)))
    }

    /// Whether no program holds it: it waits in its listener's queue, or was closed.
    #[inline(always)]
    pub(crate) fn is_orphan(self) -> bool {
        self.load::<u64>(&OFF_SK_SOCKET) == 0
    }

    /// Whether it holds an error: the peer, or the network, ended it.
    #[inline(always)]
    pub(crate) fn has_error(self) -> bool {
        self.load::<i32>(&OFF_SK_ERR) != 0
    }

    /// Whether its owner has closed it.
    #[inline(always)]
    pub(crate) fn is_shut(self) -> bool {
        self.load::<u8>(&OFF_SK_SHUTDOWN) == SHUTDOWN_BOTH
    }

    /// The connection, seen from its other end.
    #[inline(always)]
    pub(crate) fn served(self) -> Flow {
        Flow {
            client: self.daddr(),
            server: self.saddr(),
            client_port: self.dport(),
            server_port: self.sport(),
            pad: [0; 4],
        }
    }

    /// Where it listens.
    #[inline(always)]
    pub(crate) fn listens(self) -> UpstreamKey {
        UpstreamKey {
            address: self.saddr(),
            netns: self.netns(),
            port: self.sport(),
            pad: [0; 2],
        }
    }

    /// Inode number of the socket's network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net: *const u8 = self.load::<*const u8>(&OFF_SK_NET);
        // SAFETY: the verifier types a loaded `struct net *`, and a socket always has one.
        unsafe { load(net, &OFF_NET_INUM) }
    }

    /// Everything the rules judge by.
    ///
    /// A function of its own with a stack of its own, and into place: what is returned by value lies
    /// on the stack twice.
    #[inline(never)]
    pub(crate) fn fill(self, facts: &mut SocketFacts, old_state: u8, new_state: u8) -> Lost {
        let Some(tcp) = TcpSock::of(self) else {
            return Some(LossReason::NotTcpSock);
        };
        facts.bytes_sent = tcp.bytes_sent();
        facts.bytes_acked = tcp.load(&OFF_TP_ACKED);
        facts.bytes_received = tcp.load(&OFF_TP_RECEIVED);
        facts.since_request_ns = tcp.since_request_ns();
        // SAFETY: the helper has no precondition.
        facts.jiffies = unsafe { bpf_jiffies64() };
        facts.unsent_bytes = tcp
            .load::<u32>(&OFF_TP_WRITE_SEQ)
            .wrapping_sub(tcp.load::<u32>(&OFF_TP_SND_NXT));
        facts.unread_bytes = tcp
            .load::<u32>(&OFF_TP_RCV_NXT)
            .wrapping_sub(tcp.load::<u32>(&OFF_TP_COPIED));
        facts.error = self.load(&OFF_SK_ERR);
        facts.soft_error = self.load(&OFF_SK_ERR_SOFT);
        facts.segs_in = tcp.load(&OFF_TP_SEGS_IN);
        facts.segs_out = tcp.load(&OFF_TP_SEGS_OUT);
        facts.unacked_bytes = tcp.unacked_bytes();
        facts.rtt_min_us = tcp.load(&OFF_TP_RTT_MIN);
        facts.received_jiffies = tcp.load(&OFF_ICSK_LRCV);
        facts.rtt_us = tcp.load::<u32>(&OFF_TP_SRTT) >> 3;
        facts.sport = u16::from_be(tcp.load(&OFF_INET_SPORT));
        facts.old_state = old_state;
        facts.new_state = new_state;
        facts.shutdown = self.load(&OFF_SK_SHUTDOWN);
        facts.retransmits = tcp.load(&OFF_ICSK_RETRANS);
        facts.probes_out = tcp.load(&OFF_ICSK_PROBES);
        facts.last_word = opaque(self.last_word(tcp, old_state, new_state));
        facts.untouched = opaque(tcp.untouched());
        facts.saddr = self.saddr();
        self.icmp(facts);
        None
    }

    /// What the connection that ends is called by its packets. `facts` is filled.
    ///
    /// `snd_una` began at the SYN's number and has moved by what was acknowledged, which
    /// `bytes_acked` counts.
    #[inline(never)]
    pub(crate) fn flow(
        self,
        connection: &Connection,
        facts: &SocketFacts,
        flow: &mut Attempt,
    ) -> Lost {
        let Some(tcp) = TcpSock::of(self) else {
            return Some(LossReason::NotTcpSock);
        };
        flow.from = facts.saddr;
        flow.to = connection.daddr;
        flow.isn = tcp
            .load::<u32>(&OFF_TP_SND_UNA)
            .wrapping_sub(facts.bytes_acked as u32);
        flow.from_port = facts.sport;
        flow.to_port = connection.dport;
        None
    }

    /// Which side's data came last: [`gw502_common::wire::last_word`].
    ///
    /// Without any hook on the data path, from what the socket itself remembers:
    ///
    /// 1. `rcv_wup` is what had arrived when our last segment left (`tcp_select_window()`). More
    ///    than that means data that came after it and waits for its acknowledgement.
    /// 2. Data in flight or not yet sent is ours, and nothing answers what has not arrived.
    /// 3. `lsndtime` and `lrcvtime` are the jiffies of the last data sent and received.
    /// 4. Within one jiffy: `first_tx_mstamp` is when the last acknowledged data segment left
    ///    (`tcp_rate_skb_sent()`, `tcp_rate_skb_delivered()`), `tcp_wstamp_ns` when the last
    ///    segment of any kind left. After data of theirs an acknowledgement of ours left (1.),
    ///    so they are equal only if none came. Under pacing `tcp_wstamp_ns` may run ahead
    ///    (`tcp_update_skb_after_send()`): then unequal says nothing.
    #[inline(always)]
    fn last_word(self, tcp: TcpSock, old_state: u8, new_state: u8) -> u8 {
        let fin = (new_state == state::CLOSE_WAIT || old_state == state::CLOSE_WAIT) as u32;
        let not_yet_acked = tcp
            .load::<u32>(&OFF_TP_RCV_NXT)
            .wrapping_sub(tcp.load::<u32>(&OFF_TP_RCV_WUP));
        if not_yet_acked > fin {
            return last_word::THEIRS;
        }
        if tcp.load::<u32>(&OFF_TP_WRITE_SEQ) != tcp.load::<u32>(&OFF_TP_SND_UNA) {
            return last_word::OURS;
        }
        let sent_later = tcp
            .load::<u32>(&OFF_TP_LSNDTIME)
            .wrapping_sub(tcp.load::<u32>(&OFF_ICSK_LRCV)) as i32;
        if sent_later != 0 {
            return if sent_later > 0 {
                last_word::OURS
            } else {
                last_word::THEIRS
            };
        }
        let last_segment_us = tcp.load::<u64>(&OFF_TP_WSTAMP) / 1000;
        if last_segment_us == tcp.load::<u64>(&OFF_TP_FIRST_TX) {
            last_word::OURS
        } else {
            last_word::UNKNOWN
        }
    }

    /// Whether the peer may still wait for an answer from this side, now that it ends the
    /// connection: it spoke last, or that cannot be told.
    #[inline(always)]
    pub(crate) fn owes_answer(self, old_state: u8, new_state: u8) -> bool {
        TcpSock::of(self)
            .is_some_and(|tcp| self.last_word(tcp, old_state, new_state) != last_word::OURS)
    }

    /// The ICMP error at the tail of the error queue, if there is one.
    ///
    /// `tcp_v4_err()` queues it for a socket in SYN_SENT (`ip_icmp_error()`), asked for or not.
    #[inline(always)]
    fn icmp(self, facts: &mut SocketFacts) {
        if self.load::<u32>(&OFF_SK_ERRQ_LEN) == 0 {
            return;
        }
        let skb: *const u8 = self.load::<*const u8>(&OFF_SK_ERRQ_TAIL);
        let error = skb
            .wrapping_add(frozen(&OFF_SKB_CB) as usize)
            .wrapping_add(frozen(&OFF_SERR_EE) as usize);
        facts.icmp_origin = opaque(probe(error, &OFF_EE_ORIGIN));
        facts.icmp_type = opaque(probe(error, &OFF_EE_TYPE));
        facts.icmp_code = opaque(probe(error, &OFF_EE_CODE));
    }
}

/// A `struct tcp_sock *` that the verifier knows as such.
#[derive(Clone, Copy)]
struct TcpSock(*const u8);

impl TcpSock {
    #[inline(always)]
    fn of(sock: Sock) -> Option<Self> {
        // SAFETY: the helper checks that the socket is a full TCP socket and answers NULL if not.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sock.0.cast_mut().cast()) };
        if tcp.is_null() {
            None
        } else {
            Some(Self(tcp.cast_const().cast()))
        }
    }

    #[inline(always)]
    fn load<T: Copy>(self, offset: &'static u64) -> T {
        // SAFETY: `of` vouches for the pointer, the table of kernel fields for the size.
        unsafe { load(self.0, offset) }
    }

    /// `bytes_sent` counts every retransmission again.
    #[inline(always)]
    fn bytes_sent(self) -> u64 {
        self.load::<u64>(&OFF_TP_SENT)
            .wrapping_sub(self.load::<u64>(&OFF_TP_RETRANS))
    }

    #[inline(always)]
    fn unacked_bytes(self) -> u32 {
        self.load::<u32>(&OFF_TP_SND_NXT)
            .wrapping_sub(self.load::<u32>(&OFF_TP_SND_UNA))
    }

    /// `first_tx_mstamp` is microseconds of `CLOCK_MONOTONIC`.
    #[inline(always)]
    fn since_request_ns(self) -> u64 {
        let sent_ns = self.load::<u64>(&OFF_TP_FIRST_TX).wrapping_mul(1000);
        // SAFETY: the helper has no precondition.
        unsafe { bpf_ktime_get_ns() }.saturating_sub(sent_ns)
    }

    /// Both stamps are set together when the first segment leaves an idle connection; the first
    /// acknowledgement moves one of them.
    #[inline(always)]
    fn untouched(self) -> u8 {
        (self.load::<u64>(&OFF_TP_DELIVERED) == self.load::<u64>(&OFF_TP_FIRST_TX)) as u8
    }
}
