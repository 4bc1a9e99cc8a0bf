//! Evidence: each fact that led to a cause, fit for a machine and for a sentence.

use std::fmt;

use gw502_common::tcp::state;
use serde::{Deserialize, Serialize};

use super::{Errno, TcpState};

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
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RstReceived {
                state: TcpState(state::SYN_SENT),
            } => f.write_str("RST answered the SYN"),
            Self::RstReceived { .. } => f.write_str("RST received"),
            Self::RstSent => f.write_str("RST sent by this host"),
            Self::FinReceived => f.write_str("FIN received"),
            Self::IcmpError {
                version,
                r#type,
                code,
            } => {
                let family = if *version == 6 { "ICMPv6" } else { "ICMP" };
                match icmp_name(*version, *r#type, *code) {
                    Some(name) => write!(f, "{family} {name} answered the SYN"),
                    None => write!(f, "{family} type {type} code {code} answered the SYN"),
                }
            }
            Self::IcmpErrno { errno } => write!(f, "an ICMP error ({errno}) answered the SYN"),
            Self::SynNeverLeft => {
                f.write_str("no neighbour answered: the SYN never left this host")
            }
            Self::NoAnswer { syns_sent: 1 } => f.write_str("SYN sent once, no answer"),
            Self::NoAnswer { syns_sent } => write!(f, "SYN sent {syns_sent} times, no answer"),
            Self::GaveUp { by: Party::Kernel } => f.write_str("the kernel gave up"),
            Self::GaveUp { by: Party::Proxy } => f.write_str("the proxy gave up"),
            Self::ClientLeft => f.write_str("a client had just left"),
            Self::WaitRecurs => f.write_str("its time was up"),
            Self::NoLocalPort => f.write_str("no local port is free towards this upstream"),
            Self::ConnectFailed => f.write_str("connect() failed at once"),
            Self::OwnRouting => f.write_str("by this host's own routing"),
            Self::ConnectBlocked => {
                f.write_str("connect() has not returned: no room in the socket's backlog")
            }
            Self::RequestSent {
                bytes,
                acknowledged: true,
            } => {
                write!(f, "request acknowledged ({bytes} B), no byte of answer")
            }
            Self::RequestSent {
                bytes,
                acknowledged: false,
            } => {
                write!(
                    f,
                    "request sent ({bytes} B), not acknowledged, no byte of answer"
                )
            }
            Self::IdleBefore { idle_us } => {
                write!(
                    f,
                    "idle {}.{:02} s before",
                    idle_us / 1_000_000,
                    idle_us % 1_000_000 / 10_000
                )
            }
            Self::Unsent { bytes } => write!(f, "{bytes} B more waited for the upstream to read"),
            Self::Retransmitted { times } => write!(f, "retransmitted {times} times"),
            Self::ProbesUnanswered { probes } => write!(f, "{probes} probes unanswered"),
            Self::NothingSent => f.write_str("nothing was sent yet"),
            Self::ConnectionError { errno } => write!(f, "{errno}"),
        }
    }
}

/// The words of RFC 792 (and 1812) for ICMP, RFC 4443 for ICMPv6.
const fn icmp_name(version: u8, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (version, kind, code) {
        (4, 3, 0) => "net unreachable",
        (4, 3, 1) => "host unreachable",
        (4, 3, 2) => "protocol unreachable",
        (4, 3, 3) => "port unreachable",
        (4, 3, 5) => "source route failed",
        (4, 3, 6) => "network unknown",
        (4, 3, 7) => "host unknown",
        (4, 3, 9) => "network administratively prohibited",
        (4, 3, 10) => "host administratively prohibited",
        (4, 3, 11) => "net unreachable for this service",
        (4, 3, 12) => "host unreachable for this service",
        (4, 3, 13) => "administratively prohibited",
        (4, 11, _) | (6, 3, _) => "time exceeded",
        (6, 1, 0) => "no route",
        (6, 1, 1) => "administratively prohibited",
        (6, 1, 3) => "address unreachable",
        (6, 1, 4) => "port unreachable",
        (6, 1, 5) => "source address failed policy",
        (6, 1, 6) => "reject route",
        _ => return None,
    })
}
