//! Pure: what a decoded record means. The kernel side found the shape of the end; here it gets a
//! cause, and each fact that led to it is put down as evidence.
//!
//! A cause needs its evidence. Without it the plain cause of the class stands.

use gw502_common::ending::Ending;
use gw502_common::tcp::{errno, state};
use gw502_common::wire::{Connection, FailureRecord, SocketFacts};

use crate::event::{
    Cause, Endpoint, Errno, Evidence, Failure, Party, Phase, Proxy, address, tcp_state_name,
};
use crate::intake::decode::Decoded;

/// A proxy that closes an unanswered connection sooner than this is taken to have cancelled it:
/// its client left, or it raced two addresses. Linux sends a SYN again after 1 s (RFC 6298
/// section 2.1), so before that there is nothing to tell trouble from impatience.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Origins in the error queue, `include/uapi/linux/errqueue.h`.
const SO_EE_ORIGIN_ICMP: u8 = 2;
const SO_EE_ORIGIN_ICMP6: u8 = 3;

/// What a record means.
struct Verdict {
    cause: Cause,
    phase: Phase,
    errno: Option<Errno>,
    evidence: Vec<Evidence>,
}

/// Names the cause of a record. `lost_before` is the number of records missing before it.
pub fn classify(decoded: &Decoded, lost_before: u64) -> Failure {
    let FailureRecord {
        header,
        connection,
        socket,
    } = &decoded.record;
    let Verdict {
        cause,
        phase,
        errno,
        evidence,
    } = verdict(decoded.ending, connection, socket, header.at_ns);
    Failure {
        at_ns: header.at_ns,
        cpu: header.cpu,
        cause,
        errno,
        phase,
        upstream: Endpoint {
            address: address(connection.daddr),
            port: connection.dport,
        },
        local: (socket.sport != 0).then(|| Endpoint {
            address: address(socket.saddr),
            port: socket.sport,
        }),
        netns: connection.netns,
        proxy: Proxy {
            pid: connection.tgid,
            comm: comm(connection.comm),
            exe: None,
            cgroup: None,
            container: None,
        },
        proxy_started_ns: connection.leader_start_ns,
        elapsed_us: elapsed_ns(phase, connection, socket, header.at_ns) / 1000,
        syn_retransmits: connection.syn_retransmits,
        rtt_us: (socket.rtt_us != 0).then_some(socket.rtt_us),
        bytes_sent: socket.bytes_sent,
        bytes_received: payload_received(socket),
        evidence,
        hook: "tracepoint",
        lost_before,
    }
}

fn verdict(ending: Ending, connection: &Connection, socket: &SocketFacts, at_ns: u64) -> Verdict {
    match ending {
        Ending::Refused => Verdict {
            cause: Cause::Refused,
            phase: Phase::Connect,
            errno: Some(Errno(errno::ECONNREFUSED)),
            evidence: vec![Evidence::RstReceived { state: "SYN_SENT" }],
        },
        Ending::Icmp => icmp(connection, socket),
        Ending::SynTimedOut => Verdict {
            cause: Cause::SynUnanswered,
            phase: Phase::Connect,
            errno: Some(Errno(errno::ETIMEDOUT)),
            evidence: vec![
                no_answer(connection),
                Evidence::GaveUp { by: Party::Kernel },
            ],
        },
        Ending::SynAbandoned => Verdict {
            // A retransmitted SYN is trouble, whoever ends it. Without one only the time counts.
            cause: if connection.syn_retransmits > 0 || patient(connection.start_ns, at_ns) {
                Cause::SynUnanswered
            } else {
                Cause::Cancelled
            },
            phase: Phase::Connect,
            errno: error(socket),
            evidence: vec![no_answer(connection), Evidence::GaveUp { by: Party::Proxy }],
        },
        Ending::NoLocalPort => Verdict {
            cause: Cause::PortExhaustion,
            phase: Phase::Connect,
            errno: Some(Errno(errno::EADDRNOTAVAIL)),
            evidence: vec![Evidence::NoLocalPort],
        },
        Ending::Reset => broken_off(
            connection,
            socket,
            (Cause::ResetAfterAccept, Cause::ResetBeforeResponse),
            Evidence::RstReceived {
                state: tcp_state_name(connection.rst_state),
            },
        ),
        Ending::Closed => broken_off(
            connection,
            socket,
            (Cause::ClosedAfterAccept, Cause::ClosedBeforeResponse),
            Evidence::FinReceived,
        ),
        Ending::Abandoned => abandoned(connection, socket, at_ns),
        Ending::Vanished => vanished(connection, socket),
    }
}

/// An ICMP error answered the SYN.
///
/// Trap: over a real path the error arrives asynchronously and is in `sk_err`; on one host it
/// arrives inside `connect()`, and then only the error queue (IPv4) or the soft error (IPv6, or a
/// proxy that never asked `SO_ERROR`) has it.
fn icmp(connection: &Connection, socket: &SocketFacts) -> Verdict {
    let known = match socket.icmp_origin {
        SO_EE_ORIGIN_ICMP => Some((4, socket.icmp_type, socket.icmp_code)),
        SO_EE_ORIGIN_ICMP6 => Some((6, socket.icmp_type, socket.icmp_code)),
        _ => None,
    };
    let raised = error(socket);
    let cause = match known {
        Some(kind) => icmp_cause(kind),
        None => raised.map_or(Cause::IcmpRejected, errno_cause),
    };
    let mut evidence = vec![match (known, raised) {
        (Some((version, r#type, code)), _) => Evidence::IcmpError {
            version,
            r#type,
            code,
        },
        (None, errno) => Evidence::IcmpErrno {
            errno: errno.unwrap_or(Errno(0)),
        },
    }];
    let cause = if cause == Cause::HostUnreachable && never_left(connection, socket) {
        evidence.insert(0, Evidence::SynNeverLeft);
        Cause::NeighbourFailed
    } else {
        cause
    };
    // nginx takes the soft error with SO_ERROR before it closes: nothing is left on the socket,
    // but the kernel's own table says what it got.
    let errno = raised.or_else(|| known.and_then(icmp_errno));
    Verdict {
        cause,
        phase: Phase::Connect,
        errno,
        evidence,
    }
}

/// The SYN still waits in the neighbour's queue: the kernel could not send it a second time
/// because the first has not left, so `segs_out` stays at one while the timer runs.
const fn never_left(connection: &Connection, socket: &SocketFacts) -> bool {
    socket.segs_out <= 1 && (connection.syn_retransmits > 0 || socket.retransmits > 0)
}

/// Destination unreachable (type 3; v6: 1) by code: RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1.
const fn icmp_cause((version, kind, code): (u8, u8, u8)) -> Cause {
    match (version, kind, code) {
        (4, 3, 0 | 6 | 11) | (6, 1, 0) => Cause::NoRoute,
        (4, 3, 1 | 5 | 7 | 8 | 12) | (6, 1, 2 | 3) => Cause::HostUnreachable,
        (4, 3, 9 | 10 | 13) | (6, 1, 1 | 5 | 6) => Cause::AdminProhibited,
        // Time exceeded: a routing loop, or too many hops.
        (4, 11, _) | (6, 3, _) => Cause::HostUnreachable,
        _ => Cause::IcmpRejected,
    }
}

/// What the kernel makes of an ICMPv4 error: `icmp_err_convert[]`, `net/ipv4/icmp.c`; the same
/// from Linux 2.6 to 7.2.
const fn icmp_errno((version, kind, code): (u8, u8, u8)) -> Option<Errno> {
    Some(Errno(match (version, kind, code) {
        (4, 3, 0 | 6 | 9 | 11) => errno::ENETUNREACH,
        (4, 3, 1 | 10 | 12 | 13 | 14 | 15) | (4, 11, _) => errno::EHOSTUNREACH,
        (4, 3, 2) => errno::ENOPROTOOPT,
        (4, 3, 3) => errno::ECONNREFUSED,
        (4, 3, 7) => errno::EHOSTDOWN,
        (4, 12, _) => errno::EPROTO,
        _ => return None,
    }))
}

/// The cause when only the errno survived. For ICMPv6 (`icmpv6_err_convert()`) it says as much as
/// the code did.
const fn errno_cause(raised: Errno) -> Cause {
    match raised.0 {
        errno::ENETUNREACH => Cause::NoRoute,
        errno::EHOSTUNREACH | errno::EHOSTDOWN => Cause::HostUnreachable,
        errno::EACCES => Cause::AdminProhibited,
        errno::EPERM => Cause::NotPermitted,
        errno::ENOBUFS | errno::ENOMEM => Cause::OutOfMemory,
        _ => Cause::IcmpRejected,
    }
}

/// RST or FIN from the upstream before any byte of an answer: turned away right after the
/// handshake, or with a request outstanding.
fn broken_off(
    connection: &Connection,
    socket: &SocketFacts,
    (after_accept, before_response): (Cause, Cause),
    seen: Evidence,
) -> Verdict {
    if wrote_nothing(socket) {
        return Verdict {
            cause: after_accept,
            phase: Phase::Idle,
            errno: error(socket),
            evidence: vec![seen, Evidence::NothingSent],
        };
    }
    let mut evidence = vec![seen, request(socket)];
    evidence.extend(retransmitted(connection));
    Verdict {
        cause: before_response,
        phase: Phase::Request,
        errno: error(socket),
        evidence,
    }
}

/// The proxy closed while its request had no byte of answer.
///
/// To TCP a time-out of the proxy and a client that left look alike; what is too quick for a
/// time-out is called cancelled.
fn abandoned(connection: &Connection, socket: &SocketFacts, at_ns: u64) -> Verdict {
    let phase = Phase::Request;
    let waited = elapsed_ns(phase, connection, socket, at_ns);
    let path_is_dead = socket.packets_out > 0 && connection.data_retransmits > 0;
    let cause = match (waited < PATIENCE_NS, path_is_dead) {
        (true, _) => Cause::Cancelled,
        (false, true) => Cause::PeerVanished,
        (false, false) => Cause::ResponseTimeout,
    };
    let mut evidence = vec![request(socket)];
    evidence.extend(retransmitted(connection));
    evidence.push(Evidence::GaveUp { by: Party::Proxy });
    Verdict {
        cause,
        phase,
        errno: error(socket),
        evidence,
    }
}

/// The kernel gave up on an established connection.
fn vanished(connection: &Connection, socket: &SocketFacts) -> Verdict {
    let outstanding = payload_received(socket) == 0 || socket.packets_out > 0;
    let mut evidence = Vec::new();
    if socket.probes_out > 0 && socket.packets_out == 0 {
        evidence.push(Evidence::ProbesUnanswered {
            probes: socket.probes_out,
        });
    }
    if payload_received(socket) == 0 {
        evidence.push(request(socket));
    }
    evidence.extend(retransmitted(connection));
    evidence.extend(error(socket).map(|errno| Evidence::ConnectionError { errno }));
    evidence.push(Evidence::GaveUp { by: Party::Kernel });
    Verdict {
        cause: Cause::PeerVanished,
        phase: if outstanding {
            Phase::Request
        } else {
            Phase::Idle
        },
        errno: error(socket),
        evidence,
    }
}

const fn no_answer(connection: &Connection) -> Evidence {
    Evidence::NoAnswer {
        syns_sent: connection.syn_retransmits.saturating_add(1),
    }
}

fn request(socket: &SocketFacts) -> Evidence {
    Evidence::RequestSent {
        bytes: socket.bytes_sent + u64::from(socket.unsent_bytes),
        acknowledged: socket.packets_out == 0 && socket.unsent_bytes == 0,
    }
}

fn retransmitted(connection: &Connection) -> Option<Evidence> {
    let times = connection.data_retransmits;
    (times > 0).then_some(Evidence::Retransmitted { times })
}

/// The error on the socket, the hard one first.
fn error(socket: &SocketFacts) -> Option<Errno> {
    [socket.error, socket.soft_error]
        .into_iter()
        .find(|errno| *errno != 0)
        .map(Errno)
}

const fn wrote_nothing(socket: &SocketFacts) -> bool {
    socket.bytes_sent == 0 && socket.unsent_bytes == 0
}

/// `bytes_received` counts the FIN of the peer as one.
fn payload_received(socket: &SocketFacts) -> u64 {
    let fin_counted =
        socket.old_state == state::CLOSE_WAIT || socket.new_state == state::CLOSE_WAIT;
    socket.bytes_received.saturating_sub(u64::from(fin_counted))
}

const fn patient(since_ns: u64, at_ns: u64) -> bool {
    at_ns.saturating_sub(since_ns) >= PATIENCE_NS
}

/// Since the connect started; with a request out, since it left.
///
/// The kernel remembers when the last segment left. With retransmissions that is not when the
/// request left, and the end of the handshake is the closest moment that is known.
fn elapsed_ns(phase: Phase, connection: &Connection, socket: &SocketFacts, at_ns: u64) -> u64 {
    let since_handshake = at_ns.saturating_sub(connection.established_ns);
    match phase {
        Phase::Connect | Phase::Idle => at_ns.saturating_sub(connection.start_ns),
        Phase::Request if connection.data_retransmits > 0 || socket.since_sent_ns == 0 => {
            since_handshake
        }
        Phase::Request => socket.since_sent_ns.min(since_handshake),
    }
}

/// A name up to its NUL. The kernel allows any bytes in it.
fn comm(bytes: [u8; 16]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
