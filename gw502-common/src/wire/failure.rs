//! The failure record: who connected where, and what the socket looked like when it ended.

use super::{AcceptFacts, wire_struct};

/// Bits of [`Connection::flags`].
pub mod flag {
    /// The connection reached ESTABLISHED.
    pub const ESTABLISHED: u8 = 1;
    /// A RST arrived for it (`tcp:tcp_receive_reset`).
    pub const RST_RECEIVED: u8 = 1 << 1;
    /// We sent a RST for it (`tcp:tcp_send_reset`) before it ended.
    pub const RST_SENT: u8 = 1 << 2;
    /// The proxy shut down only its sending side.
    pub const HALF_CLOSED: u8 = 1 << 3;
    /// This host gave up on the neighbour's address and dropped a segment that waited for it.
    pub const NEIGHBOUR_FAILED: u8 = 1 << 5;
    /// A failure of it was already reported; later state changes are its aftermath.
    pub const REPORTED: u8 = 1 << 4;
}

/// Values of [`SocketFacts::clients`].
pub mod clients {
    /// Where this proxy listens is not known, so nothing is known of its clients; or one had left a
    /// while ago, and the proxy still has it: it may wait for all answers all the same.
    pub const UNKNOWN: u8 = 0;
    /// Every client of the proxy that had left was dealt with before.
    pub const STAYED: u8 = 1;
    /// A client had left, and the proxy was just dealing with that.
    pub const GONE: u8 = 2;
}

/// Values of [`SocketFacts::last_word`].
pub mod last_word {
    /// Data arrived after the last data we sent: nothing is outstanding.
    pub const THEIRS: u8 = 0;
    /// The last data on the connection is ours: a request without a byte of answer.
    pub const OURS: u8 = 1;
    /// Cannot be told: both within one jiffy, and the socket is paced (BBR, fq), which moves the
    /// time stamp that tells.
    pub const UNKNOWN: u8 = 2;
}

wire_struct! {
    /// Starts every record in the ring buffer.
    pub struct RecordHeader(24) {
        /// `CLOCK_BOOTTIME`, nanoseconds.
        pub at_ns: u64,
        /// Records that could not be kept since the programs were loaded, all CPUs together, as
        /// seen just before this record was written.
        pub lost_total: u64,
        /// CPU that wrote the record.
        pub cpu: u32,
        /// Length of the record in bytes, this header included.
        pub len: u16,
        /// [`super::WIRE_VERSION`] of the writer.
        pub version: u8,
        /// [`crate::ending::Ending`] as a number.
        pub kind: u8,
    }
}

wire_struct! {
    /// What is remembered of a connection from its first SYN: who made it and to where.
    ///
    /// Everything about the process is read in the process's own context, in
    /// `inet_sock_set_state(CLOSE -> SYN_SENT)`: later events run in whatever task the packet
    /// happened to interrupt.
    pub struct Connection(96) {
        /// Start of the connect, `CLOCK_BOOTTIME` nanoseconds.
        pub start_ns: u64,
        /// When the handshake ended, `CLOCK_BOOTTIME` nanoseconds; 0 before.
        pub established_ns: u64,
        /// `task_struct.start_boottime` of the thread-group leader, nanoseconds: with `tgid` it
        /// names one process for ever, whatever pid is reused.
        pub leader_start_ns: u64,
        /// `jiffies` at the start of the connect.
        pub start_jiffies: u64,
        /// cgroup v2 id of the connecting task.
        pub cgroup_id: u64,
        /// Thread-group id (what user space calls pid) in the initial pid namespace.
        pub tgid: u32,
        /// Inode number of the socket's network namespace.
        pub netns: u32,
        /// Segments the kernel retransmitted while in SYN_SENT.
        pub syn_retransmits: u32,
        /// Segments the kernel retransmitted after the handshake.
        pub data_retransmits: u32,
        /// Upstream address; IPv4 as `::ffff:a.b.c.d`.
        pub daddr: [u8; 16],
        /// Name of the thread-group leader, NUL-terminated.
        pub comm: [u8; 16],
        /// `AF_UNIX` (1), `AF_INET` (2) or `AF_INET6` (10) of the socket; a v4-mapped connect keeps
        /// 10.
        pub family: u16,
        /// Upstream port.
        pub dport: u16,
        /// Bits of [`flag`].
        pub flags: u8,
        /// TCP state in which the RST arrived; 0 when none did.
        pub rst_state: u8,
        /// The kernel's `sk_rst_reason` for a RST we sent (Linux 6.10+); 0 when none or unknown.
        pub rst_sent_reason: u8,
        /// Zero.
        pub pad: u8,
    }
}

wire_struct! {
    /// The socket's own numbers at the state change that ended it.
    ///
    /// Source: `struct sock`, `struct tcp_sock`, read in `inet_sock_set_state`.
    pub struct SocketFacts(112) {
        /// Payload bytes sent, retransmissions not counted (`bytes_sent - bytes_retrans`).
        pub bytes_sent: u64,
        /// Bytes acknowledged, the SYN counted as one (`bytes_acked`).
        pub bytes_acked: u64,
        /// Bytes received, a FIN counted as one (`bytes_received`).
        pub bytes_received: u64,
        /// Nanoseconds since the request left: since its last byte when all of it is acknowledged,
        /// since its first when something is still in flight (`first_tx_mstamp`).
        pub since_request_ns: u64,
        /// `jiffies` now.
        pub jiffies: u64,
        /// Payload bytes written by the application and not yet sent (`write_seq - snd_nxt`).
        pub unsent_bytes: u32,
        /// Bytes received and not yet read by the application (`rcv_nxt - copied_seq`).
        pub unread_bytes: u32,
        /// `sk_err`: positive errno, 0 when none.
        pub error: i32,
        /// `sk_err_soft`: positive errno of an error that was only noted, 0 when none.
        pub soft_error: i32,
        /// Segments received on the connection (`segs_in`).
        pub segs_in: u32,
        /// Segments sent on the connection (`segs_out`).
        pub segs_out: u32,
        /// Sequence numbers sent and not acknowledged (`snd_nxt - snd_una`). `packets_out` is already
        /// zero here: `tcp_reset()` and `tcp_write_err()` purge the queue first.
        pub unacked_bytes: u32,
        /// Smallest round-trip time of late, microseconds (`rtt_min`); all ones when never measured.
        pub rtt_min_us: u32,
        /// `jiffies`, low 32 bits, when data last arrived (`icsk_ack.lrcvtime`).
        pub received_jiffies: u32,
        /// Smoothed round-trip time, microseconds (`srtt_us >> 3`); 0 when never measured.
        pub rtt_us: u32,
        /// Local port (`inet_sport`); 0 when none was ever assigned.
        pub sport: u16,
        /// State before the change.
        pub old_state: u8,
        /// State after the change.
        pub new_state: u8,
        /// `sk_shutdown`: bit 0 receive, bit 1 send.
        pub shutdown: u8,
        /// Retransmissions of the current head of the queue in a row (`icsk_retransmits`).
        pub retransmits: u8,
        /// Unanswered keep-alive or window probes (`icsk_probes_out`).
        pub probes_out: u8,
        /// `ee_origin` at the tail of the socket's error queue, or of an ICMP error that was seen
        /// to arrive for its SYN: see [`super::icmp_origin`]; 0 when there was none.
        pub icmp_origin: u8,
        /// ICMP type.
        pub icmp_type: u8,
        /// ICMP code.
        pub icmp_code: u8,
        /// Whether the last word was ours: see [`super::last_word`].
        pub last_word: u8,
        /// 1 when nothing of what is in flight has been acknowledged since the connection was last
        /// all acknowledged (`delivered_mstamp == first_tx_mstamp`).
        pub untouched: u8,
        /// When the proxy gave up: whether a client of it had just left, see [`super::clients`].
        pub clients: u8,
        /// 1 when netfilter on this host dropped a SYN of this connection, or the answer to it.
        pub filtered: u8,
        /// Zero.
        pub pad: [u8; 2],
        /// Local address; IPv4 as `::ffff:a.b.c.d`.
        pub saddr: [u8; 16],
    }
}

impl SocketFacts {
    /// The proxy has not written a byte on this connection.
    #[expect(
        clippy::inline_always,
        reason = "a BPF function of its own would cost a call and a stack frame"
    )]
    #[inline(always)]
    pub const fn wrote_nothing(&self) -> bool {
        self.bytes_sent == 0 && self.unsent_bytes == 0
    }
}

wire_struct! {
    /// A connection whose end looked like a failure, or like the proxy giving up.
    pub struct FailureRecord(256) {
        /// When, and in which shape.
        pub header: RecordHeader,
        /// Who connected where.
        pub connection: Connection,
        /// What the socket looked like.
        pub socket: SocketFacts,
        /// What the listener's accept queue did, if it is on this host.
        pub accept: AcceptFacts,
    }
}
