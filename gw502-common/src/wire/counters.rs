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

/// Upper bounds of [`UpstreamCounts::connects`], nanoseconds. One that lost its SYN is
/// above the last, a second: so long it takes until the SYN goes out again (RFC 6298 section 2.1).
pub const CONNECT_BOUNDS_NS: [u64; 7] = [
    500_000,
    1_000_000,
    5_000_000,
    25_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
];

/// One for each bound, and one for what is above them.
pub const CONNECT_BUCKETS: usize = CONNECT_BOUNDS_NS.len() + 1;

/// Which of [`UpstreamCounts::connects`] counts a connect that took so long.
#[inline]
#[must_use]
pub fn connect_bucket(took_ns: u64) -> u8 {
    let mut bucket = 0;
    // Short ones first: they are what there is most of.
    for bound in &CONNECT_BOUNDS_NS {
        if took_ns <= *bound {
            break;
        }
        bucket += 1;
    }
    bucket
}

wire_struct! {
    /// What is counted of an upstream, per CPU; the user side adds the CPUs up.
    pub struct UpstreamCounts(168) {
        /// Connects started.
        pub attempts: u64,
        /// How long those that were established took, nanoseconds.
        pub connect_ns: u64,
        /// Handshakes finished, by how long they took: see [`connect_bucket`].
        pub connects: [u64; CONNECT_BUCKETS],
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
    /// A `connect()` was seen to begin, and not to return: its failure, if it failed, was not seen.
    ReturnMissed = 8,
    /// Netfilter dropped more SYNs in a second than are looked at on one CPU: a connection that it
    /// dropped may keep its plain cause.
    FilteredUnseen = 9,
}

impl LossReason {
    /// Every reason, in the order of the map.
    pub const ALL: [Self; 10] = [
        Self::RingFull,
        Self::ConnectionsFull,
        Self::UpstreamsFull,
        Self::ReadFault,
        Self::NotTcpSock,
        Self::ClientsFull,
        Self::CallsFull,
        Self::ServersFull,
        Self::ReturnMissed,
        Self::FilteredUnseen,
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
            Self::ReturnMissed => "return_missed",
            Self::FilteredUnseen => "filtered_unseen",
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

/// Programs on one hook of which the later ones do only what those before them missed: index into the
/// per-CPU `DONE` and `TURNS` maps. In other pairs all always do the work, which is no different.
///
/// Most are pairs. Where a task can be preempted inside a program there are three, and some that
/// are alone elsewhere are three.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// On `inet_sock_set_state`.
    Connection = 0,
    /// On `tcp_destroy_sock`.
    ClientDismissed = 1,
    /// On `tcp_retransmit_skb`.
    Retransmit = 2,
    /// On `tcp_receive_reset`.
    ResetReceived = 3,
    /// On `tcp_send_reset`.
    ResetSent = 4,
    /// Where `security_socket_connect()` begins.
    ConnectCalled = 5,
    /// Where it returns.
    ConnectForbidden = 6,
    /// Where `inet_stream_connect()` returns.
    InetReturned = 7,
    /// Where `unix_stream_connect()` returns.
    UnixReturned = 8,
    /// On `sys_enter_connect`.
    CallEntered = 9,
    /// On `sys_exit_connect`.
    CallLeft = 10,
    /// On `kfree_skb`, for full accept queues.
    QueueOverflowed = 11,
}

impl Pair {
    /// Every pair, with its programs in the order in which they run, in the order of the maps.
    pub const ALL: [(Self, [&'static str; 3]); 12] = [
        (
            Self::Connection,
            [
                "connection_tpbtf",
                "connection_again_tpbtf",
                "connection_third_tpbtf",
            ],
        ),
        (
            Self::ClientDismissed,
            [
                "client_dismissed_tpbtf",
                "client_dismissed_again_tpbtf",
                "client_dismissed_third_tpbtf",
            ],
        ),
        (
            Self::Retransmit,
            [
                "retransmit_tpbtf",
                "retransmit_again_tpbtf",
                "retransmit_third_tpbtf",
            ],
        ),
        (
            Self::ResetReceived,
            [
                "reset_received_tpbtf",
                "reset_received_again_tpbtf",
                "reset_received_third_tpbtf",
            ],
        ),
        (
            Self::ResetSent,
            [
                "reset_sent_tpbtf",
                "reset_sent_again_tpbtf",
                "reset_sent_third_tpbtf",
            ],
        ),
        (
            Self::ConnectCalled,
            [
                "connect_called_fentry",
                "connect_called_again_fentry",
                "connect_called_third_fentry",
            ],
        ),
        (
            Self::ConnectForbidden,
            [
                "connect_forbidden_fexit",
                "connect_forbidden_again_fexit",
                "connect_forbidden_third_fexit",
            ],
        ),
        (
            Self::InetReturned,
            [
                "inet_connect_returned_fexit",
                "inet_connect_returned_again_fexit",
                "inet_connect_returned_third_fexit",
            ],
        ),
        (
            Self::UnixReturned,
            [
                "unix_connect_returned_fexit",
                "unix_connect_returned_again_fexit",
                "unix_connect_returned_third_fexit",
            ],
        ),
        (
            Self::CallEntered,
            [
                "connect_called_tp",
                "connect_called_again_tp",
                "connect_called_third_tp",
            ],
        ),
        (
            Self::CallLeft,
            [
                "connect_returned_tp",
                "connect_returned_again_tp",
                "connect_returned_third_tp",
            ],
        ),
        (
            Self::QueueOverflowed,
            [
                "queue_overflowed_tpbtf",
                "queue_overflowed_again_tpbtf",
                "queue_overflowed_third_tpbtf",
            ],
        ),
    ];
}

wire_struct! {
    /// How the programs of a [`Pair`] took turns, per CPU.
    pub struct Turns(16) {
        /// How often a later program did the work.
        pub covered: u64,
        /// How often a note was written over one that nobody had taken down: a later program of
        /// that event may do the work once more, and count as if the first had missed it.
        pub overwritten: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_is_counted_below_the_first_bound_that_it_does_not_exceed() {
        for (nth, bound) in (0..).zip(CONNECT_BOUNDS_NS) {
            assert_eq!(connect_bucket(bound), nth);
            assert_eq!(connect_bucket(bound + 1), nth + 1);
        }
        assert_eq!(connect_bucket(0), 0);
        assert_eq!(usize::from(connect_bucket(u64::MAX)), CONNECT_BUCKETS - 1);
    }
}
