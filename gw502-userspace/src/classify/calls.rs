//! `connect()` calls that failed at once, or on a unix socket.

use gw502_common::hooks::Backend;
use gw502_common::tcp::{errno, family};
use gw502_common::wire::CallRecord;

use super::{Verdict, never_connected};
use crate::event::{Cause, Errno, Evidence, Failure, Phase, Upstream};

/// Names the cause. `lost_before` is the number of records missing before this one.
pub(super) fn failure(call: &CallRecord, lost_before: u64) -> Failure {
    let is_unix = call.connection.family == family::UNIX;
    let (cause, evidence) = match (call.error, is_unix) {
        // It has not returned yet; TCP's wait is seen elsewhere, so this is a unix socket's.
        (0, _) => (Cause::SocketBacklogFull, vec![Evidence::ConnectBlocked]),
        (error, true) => (unix_cause(error), vec![Evidence::ConnectFailed]),
        (error, false) => {
            let cause = tcp_cause(error, &call.connection.daddr);
            (cause, tcp_evidence(cause))
        }
    };
    let verdict = Verdict {
        cause,
        phase: Phase::Connect,
        errno: (call.error != 0).then_some(Errno(call.error)),
        evidence,
    };
    let failure = never_connected(&call.header, &call.connection, verdict);
    Failure {
        upstream: if is_unix {
            Upstream::from(&call.unix)
        } else {
            failure.upstream.clone()
        },
        hook: Backend::try_from(call.backend)
            .map_or("unknown", Backend::name)
            .into(),
        lost_before,
        ..failure
    }
}

/// unix(7), `unix_stream_connect()` and `unix_find_other()`: the same from Linux 5.10 to 7.2.
const fn unix_cause(error: i32) -> Cause {
    match error {
        errno::ENOENT | errno::ENOTDIR => Cause::SocketMissing,
        errno::ECONNREFUSED => Cause::SocketStale,
        errno::EACCES | errno::EPERM => Cause::SocketPermission,
        errno::EAGAIN => Cause::SocketBacklogFull,
        _ => local_cause(error),
    }
}

/// What the routing table of this host says without sending anything: ip-route(8) on the types
/// `unreachable`, `blackhole`, `prohibit` and `throw`. EACCES is a prohibit route as well as a
/// policy (LSM, cgroup) that forbids the connect: what they share is said. EINVAL is a blackhole, but of
/// a link-local address it can be the interface that is missing.
///
/// EADDRNOTAVAIL is no lack of ports, which shows on the socket: it is a host without an address of
/// that family or scope (`ip6_dst_lookup_tail()`).
const fn tcp_cause(error: i32, daddr: &[u8; 16]) -> Cause {
    match error {
        errno::EINVAL if is_link_local(daddr) => Cause::ConnectFailed,
        errno::ENETUNREACH | errno::ENETDOWN | errno::EINVAL => Cause::NoRoute,
        errno::EHOSTUNREACH => Cause::HostUnreachable,
        errno::EACCES | errno::EPERM => Cause::NotPermitted,
        _ => local_cause(error),
    }
}

/// `fe80::/10`.
const fn is_link_local(daddr: &[u8; 16]) -> bool {
    daddr[0] == 0xfe && daddr[1] & 0xc0 == 0x80
}

/// Whether it was the routing table that answered.
fn tcp_evidence(cause: Cause) -> Vec<Evidence> {
    match cause {
        Cause::NoRoute | Cause::HostUnreachable => {
            vec![Evidence::ConnectFailed, Evidence::OwnRouting]
        }
        _ => vec![Evidence::ConnectFailed],
    }
}

const fn local_cause(error: i32) -> Cause {
    match error {
        errno::ENOMEM | errno::ENOBUFS => Cause::OutOfMemory,
        _ => Cause::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use gw502_common::wire::{Connection, RecordHeader, UnixAddress};

    use super::*;

    fn call(family: u16, error: i32) -> CallRecord {
        let mut unix = UnixAddress::default();
        if family == family::UNIX {
            for (to, from) in unix.path.iter_mut().zip(b"/run/app.sock") {
                *to = *from;
            }
            unix.len = 13;
        }
        CallRecord {
            header: RecordHeader {
                at_ns: 5_000_000,
                ..RecordHeader::default()
            },
            connection: Connection {
                start_ns: 2_000_000,
                family,
                daddr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7],
                dport: 80,
                comm: *b"haproxy\0\0\0\0\0\0\0\0\0",
                ..Connection::default()
            },
            unix,
            error,
            ..CallRecord::default()
        }
    }

    #[test]
    fn each_errno_of_a_unix_socket_has_its_cause() {
        for (error, expected) in [
            (2, Cause::SocketMissing),
            (111, Cause::SocketStale),
            (13, Cause::SocketPermission),
            (11, Cause::SocketBacklogFull),
            (91, Cause::ConnectFailed),
        ] {
            let failure = failure(&call(family::UNIX, error), 0);
            assert_eq!(failure.cause, expected, "{error}");
            assert_eq!(failure.errno, Some(Errno(error)));
            assert_eq!(failure.upstream.to_string(), "unix:/run/app.sock");
            assert_eq!((failure.elapsed_us, failure.local), (3000, None));
            assert_eq!(failure.expected_status(), Some(503));
        }
    }

    #[test]
    fn a_call_that_does_not_return_has_no_errno_yet() {
        let failure = failure(&call(family::UNIX, 0), 0);
        assert_eq!(failure.cause, Cause::SocketBacklogFull);
        assert_eq!(failure.errno, None);
        assert_eq!(failure.evidence, [Evidence::ConnectBlocked]);
    }

    #[test]
    fn routes_of_this_host_are_told_from_its_permissions() {
        for (error, expected) in [
            (101, Cause::NoRoute),
            (22, Cause::NoRoute),
            (113, Cause::HostUnreachable),
            (13, Cause::NotPermitted),
            (1, Cause::NotPermitted),
            (99, Cause::ConnectFailed),
            (11, Cause::ConnectFailed),
            (105, Cause::OutOfMemory),
            (97, Cause::ConnectFailed),
        ] {
            let failure = failure(&call(2, error), 7);
            assert_eq!(failure.cause, expected, "{error}");
            assert_eq!(failure.upstream.to_string(), "10.0.0.7:80");
            assert_eq!(failure.lost_before, 7);
            let routed = failure.evidence.contains(&Evidence::OwnRouting);
            assert_eq!(routed, matches!(error, 101 | 22 | 113));
        }
    }

    #[test]
    fn a_link_local_address_without_an_interface_is_no_blackhole() {
        let mut call = call(10, 22);
        call.connection.daddr = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let failure = failure(&call, 0);
        assert_eq!(failure.cause, Cause::ConnectFailed);
        assert_eq!(failure.evidence, [Evidence::ConnectFailed]);
    }
}
