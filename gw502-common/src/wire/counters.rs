//! Keys and values of the counting maps, and the names of what can be lost.

use super::wire_struct;
use crate::ending::ENDINGS;

wire_struct! {
    /// An upstream as it is counted: an address in a network namespace.
    ///
    /// All zero stands for every upstream that came after the map was full.
    pub struct UpstreamKey(24) {
        /// Upstream address; IPv4 as `::ffff:a.b.c.d`.
        pub address: [u8; 16],
        /// Inode number of the network namespace.
        pub netns: u32,
        /// Upstream port.
        pub port: u16,
        /// Zero.
        pub pad: [u8; 2],
    }
}

wire_struct! {
    /// What is counted of an upstream, per CPU; the user side adds the CPUs up.
    pub struct UpstreamCounts(104) {
        /// Connects started.
        pub attempts: u64,
        /// Handshakes finished.
        pub established: u64,
        /// Endings by [`crate::ending::Ending`], then [`super::CONNECT_FAILED`]; slot 0 is unused.
        pub endings: [u64; ENDINGS],
    }
}

/// Why something that was seen could not be kept: index into the per-CPU `LOSSES` map.
///
/// Ids are never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The ring buffer had no room for a failure record.
    RingFull = 0,
    /// No room to remember one more open connection: its failure will not be seen.
    ConnectionsFull = 1,
    /// No room to count one more upstream on its own: it is counted under "other".
    UpstreamsFull = 2,
    /// A read of kernel memory failed: the field it was for is zero.
    ReadFault = 3,
    /// The kernel had no `tcp_sock` behind a TCP socket: the state change was not judged.
    NotTcpSock = 4,
    /// No room to remember one more client that left, or one more port of a proxy: a wait that
    /// the proxy gave up for it may be taken for a time-out.
    ClientsFull = 5,
    /// No room to remember one more `connect()` that has not returned: its failure will not be
    /// seen if TCP does not know of it.
    CallsFull = 6,
    /// No room to remember one more upstream of this host that ended: a failure keeps its plain
    /// cause.
    ServersFull = 7,
}

impl LossReason {
    /// Every reason, in the order of the map.
    pub const ALL: [Self; 8] = [
        Self::RingFull,
        Self::ConnectionsFull,
        Self::UpstreamsFull,
        Self::ReadFault,
        Self::NotTcpSock,
        Self::ClientsFull,
        Self::CallsFull,
        Self::ServersFull,
    ];

    /// The name in metrics, JSON and summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::ConnectionsFull => "connections_full",
            Self::UpstreamsFull => "upstreams_full",
            Self::ReadFault => "read_fault",
            Self::NotTcpSock => "not_tcp_sock",
            Self::ClientsFull => "clients_full",
            Self::CallsFull => "calls_full",
            Self::ServersFull => "servers_full",
        }
    }
}

/// Why an attempt of a watched process was not looked at: index into the per-CPU `SKIPS` map.
///
/// A skip is chosen, a loss is not. Ids are never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// `--upstream` names others.
    Upstream = 0,
    /// `--cgroup` names another.
    Cgroup = 1,
    /// A unix socket of the host's own services, which the C library connects to.
    HostService = 2,
}

impl SkipReason {
    /// Every reason, in the order of the map.
    pub const ALL: [Self; 3] = [Self::Upstream, Self::Cgroup, Self::HostService];

    /// The name in JSON and summaries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Cgroup => "cgroup",
            Self::HostService => "host_service",
        }
    }
}

/// Pairs of programs of which the second does only what the first missed: index into the per-CPU
/// `DONE` and `COVERED` maps. In other pairs both always do the work, which is no different.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// `connection_tpbtf` and `connection_again_tpbtf`.
    Connection = 0,
    /// `client_dismissed_tpbtf` and `client_dismissed_again_tpbtf`.
    ClientDismissed = 1,
    /// `retransmit_tpbtf` and `retransmit_again_tpbtf`.
    Retransmit = 2,
    /// `queue_overflowed_tpbtf` and `queue_overflowed_again_tpbtf`.
    QueueOverflowed = 3,
}

impl Pair {
    /// Every pair, with the name of its first program, in the order of the maps.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Connection, "connection_tpbtf"),
        (Self::ClientDismissed, "client_dismissed_tpbtf"),
        (Self::Retransmit, "retransmit_tpbtf"),
        (Self::QueueOverflowed, "queue_overflowed_tpbtf"),
    ];
}
