//! What was seen of single flows outside their socket: drops by a full accept queue, ICMP errors.
//!
//! A failed connection's own flow is looked up, so that the record tells of no other.

use super::wire_struct;

wire_struct! {
    /// One attempt to connect, as its packets show it.
    ///
    /// The initial sequence number makes it unique: the same addresses and ports come again, later
    /// or at the same time in another network namespace, but never with the same number.
    pub struct Attempt(40) {
        /// Address of the side that connects; IPv4 as `::ffff:a.b.c.d`.
        pub from: [u8; 16],
        /// Address of the listener.
        pub to: [u8; 16],
        /// Sequence number of the SYN.
        pub isn: u32,
        /// Port of the side that connects.
        pub from_port: u16,
        /// Port of the listener.
        pub to_port: u16,
    }
}

wire_struct! {
    /// What a full accept queue on this host did to a connection. All zero: nothing that was seen.
    pub struct AcceptFacts(24) {
        /// Connections that waited for `accept()` at the last drop (`sk_ack_backlog`).
        pub length: u32,
        /// How many may wait (`sk_max_ack_backlog`); one more than this is still taken.
        pub limit: u32,
        /// SYNs dropped.
        pub syn_drops: u32,
        /// Other segments dropped: the last of the handshake, and data sent after it.
        pub ack_drops: u32,
        /// Inode number of the listener's network namespace.
        pub netns: u32,
        /// 1 when `tcp_abort_on_overflow` was on there: what is dropped is answered with RST.
        pub aborts: u8,
        /// Zero.
        pub pad: [u8; 3],
    }
}

wire_struct! {
    /// What the full accept queue of a listener did.
    pub struct QueueCounts(16) {
        /// SYNs and other segments dropped.
        pub drops: u64,
        /// Connections that waited for `accept()` at the last drop.
        pub length: u32,
        /// How many may wait.
        pub limit: u32,
    }
}

wire_struct! {
    /// An ICMP error that answered a SYN.
    pub struct IcmpError(4) {
        /// As [`super::SocketFacts::icmp_origin`].
        pub origin: u8,
        /// ICMP type.
        pub kind: u8,
        /// ICMP code.
        pub code: u8,
        /// Zero.
        pub pad: u8,
    }
}

/// Values of [`super::SocketFacts::icmp_origin`] and [`IcmpError::origin`],
/// `include/uapi/linux/errqueue.h`.
pub mod icmp_origin {
    /// `SO_EE_ORIGIN_ICMP`
    pub const V4: u8 = 2;
    /// `SO_EE_ORIGIN_ICMP6`
    pub const V6: u8 = 3;
}
