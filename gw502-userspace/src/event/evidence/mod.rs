//! Evidence: each fact that led to a cause, fit for a machine and for a sentence.

mod host;
mod words;

use serde::{Deserialize, Serialize};

pub use self::host::{Exit, Owner};
use super::{Endpoint, Errno, TcpState};

/// Who gave up waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The kernel, after its retransmissions.
    Kernel,
    /// The proxy, by closing the socket.
    Proxy,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Evidence {
    /// A RST arrived.
    RstReceived {
        /// TCP state in which it arrived.
        #[cfg_attr(test, schemars(with = "String"))]
        state: TcpState,
    },
    /// A RST was sent by this host for the connection.
    RstSent,
    /// A FIN arrived.
    FinReceived,
    /// An ICMP error answered.
    IcmpError {
        /// ICMP version: 4 or 6.
        version: u8,
        /// ICMP type.
        r#type: u8,
        /// ICMP code.
        code: u8,
    },
    /// An ICMP error answered; only its errno was kept by the kernel.
    IcmpErrno {
        /// The errno it was turned into.
        #[cfg_attr(test, schemars(with = "String"))]
        errno: Errno,
    },
    /// The SYN never left this host: it waited for a neighbour's address.
    SynNeverLeft,
    /// No segment of an answer came.
    NoAnswer {
        /// SYNs sent, the first included.
        syns_sent: u32,
    },
    /// Somebody gave up.
    GaveUp {
        /// Who.
        by: Party,
    },
    /// A client of the proxy had left, and the proxy was just dealing with that.
    ClientLeft,
    /// The wait was as long as others before it, or a whole number of seconds: a timer's.
    WaitRecurs,
    /// No local port was free.
    NoLocalPort,
    /// `connect()` failed on this host, before anything was sent.
    ConnectFailed,
    /// It was this host's own routing that said so: no router was asked.
    OwnRouting,
    /// `connect()` has not returned: the socket's backlog has no room.
    ConnectBlocked,
    /// Request bytes are out.
    RequestSent {
        /// Payload bytes.
        bytes: u64,
        /// Whether the upstream's kernel acknowledged all of them.
        acknowledged: bool,
    },
    /// How long a reused connection was quiet before this request.
    IdleBefore {
        /// Microseconds between the last byte received and the request, as exact as a jiffy.
        idle_us: u64,
    },
    /// Request bytes that the upstream's window did not let out.
    Unsent {
        /// Payload bytes.
        bytes: u32,
    },
    /// Data was sent again and again.
    Retransmitted {
        /// How often.
        times: u32,
    },
    /// Keep-alive or window probes got no answer.
    ProbesUnanswered {
        /// How many in a row.
        probes: u8,
    },
    /// The proxy had not written anything yet.
    NothingSent,
    /// The connection died with this errno.
    ConnectionError {
        /// The errno.
        #[cfg_attr(test, schemars(with = "String"))]
        errno: Errno,
    },
    /// The address is one of this host, and no socket listens on the port there.
    NoListener,
    /// Nothing listens where the proxy connected to, but somebody listens close by: on another
    /// address or family, or the program that used to listen here on another port.
    ListenerElsewhere {
        /// Where.
        listens: Endpoint,
        /// Who.
        #[serde(flatten)]
        owner: Owner,
    },
    /// Who listened here has ended.
    ListenerExited {
        /// Who.
        #[serde(flatten)]
        owner: Owner,
        /// How.
        #[serde(flatten)]
        exit: Exit,
        /// Microseconds between its end and the failure.
        ago_us: u64,
    },
    /// Who listened here closed the socket, and lived on then.
    ListenerClosed {
        /// Who.
        #[serde(flatten)]
        owner: Owner,
        /// Microseconds between its end and the failure.
        ago_us: u64,
        /// Whether the process was gone when it was looked for after the failure.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ended: bool,
    },
    /// Somebody listens where the proxy connected to, right after the failure.
    ListenerPresent {
        /// Who.
        #[serde(flatten)]
        owner: Owner,
        /// Connections that wait for `accept()`.
        length: u32,
        /// How many may wait; one more than this is still taken.
        limit: u32,
    },
    /// The listener's accept queue was full.
    AcceptQueueFull {
        /// Connections that waited for `accept()`.
        length: u32,
        /// How many may wait; one more than this is still taken.
        limit: u32,
        /// How often it happened: to this very connection where a program saw it, to the listener
        /// while the connection waited where it was sampled.
        drops: u32,
        /// Who listens.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        owner: Option<Owner>,
    },
    /// The upstream's host answers a full accept queue with RST (`net.ipv4.tcp_abort_on_overflow`).
    AbortOnOverflow,
    /// The connection still waits in the listener's accept queue: the program never took it.
    NeverAccepted {
        /// Who listens.
        #[serde(flatten)]
        owner: Owner,
    },
    /// This host dropped a segment of the connection.
    DroppedHere {
        /// The kernel's name for the reason, without its prefix (`enum skb_drop_reason`).
        reason: String,
    },
    /// The process that held the other end ended at that moment.
    UpstreamExited {
        /// Who.
        #[serde(flatten)]
        owner: Owner,
        /// How.
        #[serde(flatten)]
        exit: Exit,
    },
    /// Who holds the other end of the connection.
    UpstreamProcess {
        /// Who.
        #[serde(flatten)]
        owner: Owner,
    },
    /// Why the upstream, on this host, sent its RST.
    UpstreamReset {
        /// The kernel's name for the reason, without its prefix (`enum sk_rst_reason`).
        reason: String,
    },
    /// Who may use the unix socket.
    SocketFile {
        /// Permission bits, octal: `0660`.
        mode: String,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
    },
    /// Who tried to use it.
    ConnectedAs {
        /// Effective user id of the proxy.
        uid: u32,
        /// Effective group id of the proxy.
        gid: u32,
    },
    /// Descriptors of the proxy.
    Descriptors {
        /// In use.
        open: u64,
        /// Allowed at most (`RLIMIT_NOFILE`).
        limit: u64,
    },
    /// Local ports towards this upstream.
    LocalPorts {
        /// In use, TIME_WAIT included.
        used: u32,
        /// In the range (`net.ipv4.ip_local_port_range`).
        range: u32,
    },
}
