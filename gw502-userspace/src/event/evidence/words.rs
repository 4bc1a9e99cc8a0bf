//! Evidence in words.

use std::fmt;

use gw502_common::tcp::state;

use super::{Evidence, Party};
use crate::event::TcpState;

impl fmt::Display for Evidence {
    #[expect(clippy::too_many_lines, reason = "a line or two for each fact")]
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
                write!(f, "idle {} before", Seconds(*idle_us))
            }
            Self::Unsent { bytes } => write!(f, "{bytes} B more waited for the upstream to read"),
            Self::Retransmitted { times } => write!(f, "retransmitted {times} times"),
            Self::ProbesUnanswered { probes } => write!(f, "{probes} probes unanswered"),
            Self::NothingSent => f.write_str("nothing was sent yet"),
            Self::ConnectionError { errno } => write!(f, "{errno}"),
            Self::NoListener => f.write_str("nothing listens there on this host"),
            Self::ListenerElsewhere { listens, owner } => {
                write!(f, "{owner} listens on {listens} instead")
            }
            Self::ListenerExited {
                owner,
                exit,
                ago_us,
            } => write!(f, "{owner} listened here, {exit} {} ago", Seconds(*ago_us)),
            Self::ListenerClosed {
                owner,
                ago_us,
                ended,
            } => {
                let then = if *ended { ", and ended" } else { "" };
                write!(
                    f,
                    "{owner} stopped listening {} ago{then}",
                    Seconds(*ago_us)
                )
            }
            Self::ListenerPresent {
                owner,
                length,
                limit,
            } => write!(f, "{owner} listens here, queue {length}/{limit}"),
            Self::AcceptQueueFull {
                length,
                limit,
                drops,
                owner,
            } => {
                if let Some(owner) = owner {
                    write!(f, "{owner} ")?;
                }
                write!(f, "accept queue {length}/{limit}, dropped {drops} times")
            }
            Self::AbortOnOverflow => f.write_str("tcp_abort_on_overflow is on"),
            Self::NeverAccepted { owner } => write!(f, "{owner} never accepted it"),
            Self::DroppedHere { reason } => write!(f, "dropped on this host: {reason}"),
            Self::UpstreamExited { owner, exit } => {
                write!(f, "{owner} held the other end, {exit} at that moment")
            }
            Self::UpstreamProcess { owner } => write!(f, "{owner} holds the other end"),
            Self::UpstreamReset { reason } => write!(f, "the upstream's reason: {reason}"),
            Self::SocketFile { mode, uid, gid } => {
                write!(f, "mode {mode}, owner uid {uid} gid {gid}")
            }
            Self::ConnectedAs { uid, gid } => write!(f, "the proxy runs as uid {uid} gid {gid}"),
            Self::Descriptors { open, limit } => {
                write!(f, "the proxy has {open} of {limit} descriptors open")
            }
            Self::LocalPorts { used, range } => {
                write!(f, "{used} of {range} local ports in use")
            }
        }
    }
}

/// Microseconds, for people: `0.20 s`.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(us) = self;
        write!(f, "{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000)
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
