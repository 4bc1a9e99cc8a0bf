//! Connects that an ICMP error answered.

use gw502_common::tcp::errno;
use gw502_common::wire::{Connection, SocketFacts, flag, icmp_origin};

use super::{Verdict, error};
use crate::event::{Cause, Errno, Evidence, Phase};

/// An ICMP error answered the SYN.
///
/// Trap: over a real path the error arrives asynchronously and is in `sk_err`; on one host it
/// arrives inside `connect()`, and then only the error queue (IPv4) or the soft error (IPv6, or a
/// proxy that never asked `SO_ERROR`) has it.
pub(super) fn verdict(connection: &Connection, socket: &SocketFacts) -> Verdict {
    let known = match socket.icmp_origin {
        icmp_origin::V4 => Some((4, socket.icmp_type, socket.icmp_code)),
        icmp_origin::V6 => Some((6, socket.icmp_type, socket.icmp_code)),
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
    // A router's error and the one that this host sends itself are the same; only the drop tells.
    let never_left = connection.flags & flag::NEIGHBOUR_FAILED != 0;
    let cause = if cause == Cause::HostUnreachable && never_left {
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

/// What the kernel makes of an ICMP error: `icmp_err_convert[]`, `net/ipv4/icmp.c`, and
/// `icmpv6_err_convert()`, `net/ipv6/icmp.c`; the same from Linux 2.6 and 3.11 to 7.2.
const fn icmp_errno((version, kind, code): (u8, u8, u8)) -> Option<Errno> {
    Some(Errno(match (version, kind, code) {
        (4, 3, 0 | 6 | 9 | 11) | (6, 1, 0) => errno::ENETUNREACH,
        (4, 3, 1 | 10 | 12 | 13 | 14 | 15) | (4, 11, _) | (6, 1, 2 | 3) | (6, 3, _) => {
            errno::EHOSTUNREACH
        }
        (4, 3, 2) => errno::ENOPROTOOPT,
        (4, 3, 3) | (6, 1, 4) => errno::ECONNREFUSED,
        (4, 3, 7) => errno::EHOSTDOWN,
        (6, 1, 1 | 5 | 6) => errno::EACCES,
        (4, 12, _) | (6, 4, _) => errno::EPROTO,
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
