//! Whether what is remembered is of this very connection, namespace or app: ports, numbers of network
//! namespaces and names of programs are used again.

use gw502_common::wire::{Departure, Unaccepted};

use crate::event::{Failure, Owner, Upstream};

/// What became of a connection's other end happened no longer than this before its failure, or after
/// it. Nanoseconds.
const RECENT_NS: u64 = 1_000_000_000;

/// When the attempt began.
pub(super) const fn start_ns(failure: &Failure) -> u64 {
    failure
        .at_ns
        .saturating_sub(failure.elapsed_us.saturating_mul(1000))
}

/// Whether what happened to the same addresses and ports at `at_ns` in `netns` happened to the
/// connection that failed.
pub(super) const fn is_of_connection(failure: &Failure, at_ns: u64, netns: u32) -> bool {
    let is_there = netns == failure.netns || !everywhere(failure);
    is_there && failure.at_ns.abs_diff(at_ns) < RECENT_NS
}

/// Whether the connection of this attempt ended before anybody had accepted it.
pub(super) const fn is_unaccepted(failure: &Failure, netns: u32, end: &Unaccepted) -> bool {
    end.netns == netns && end.at_ns >= start_ns(failure)
}

/// Whether a listener that ended may have been one of another namespace with the same number. The
/// host's own stays; of another it tells that the proxy has been there since.
pub(super) fn may_be_of_another_namespace(
    failure: &Failure,
    host_netns: Option<u32>,
    ended: &Departure,
) -> bool {
    everywhere(failure)
        && host_netns != Some(failure.netns)
        && ended.at_ns < failure.proxy_started_ns
}

/// Whether a process may have taken the place of another: they have name, unit and container in
/// common.
pub(super) fn is_same_app(was: &Owner, is: &Owner) -> bool {
    (&was.comm, &was.unit, &was.container) == (&is.comm, &is.unit, &is.container)
}

/// Whether every namespace has the upstream's address.
const fn everywhere(failure: &Failure) -> bool {
    matches!(failure.upstream, Upstream::Tcp(at) if at.address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::refused;
    use crate::event::Endpoint;

    const SECOND_NS: u64 = 1_000_000_000;
    const NETNS: u32 = 7;

    /// Of an attempt from second 100 to second 160.
    fn failure(address: [u8; 4]) -> Failure {
        Failure {
            upstream: Upstream::Tcp(Endpoint {
                address: address.into(),
                port: 8080,
            }),
            elapsed_us: 60_000_000,
            netns: NETNS,
            proxy_started_ns: 50 * SECOND_NS,
            ..refused(8080, 160 * SECOND_NS)
        }
    }

    #[test]
    fn an_end_in_the_backlog_is_of_the_attempt_if_it_came_after_its_start() {
        let failure = failure([10, 0, 0, 7]);
        let is = |second: u64, netns| {
            let end = Unaccepted {
                at_ns: second * SECOND_NS,
                netns,
                pad: [0; 4],
            };
            is_unaccepted(&failure, NETNS, &end)
        };
        assert!(is(160, NETNS) && is(100, NETNS));
        assert!(!is(99, NETNS), "one before had the same ports");
        assert!(!is(160, NETNS + 1));
    }

    #[test]
    fn an_end_is_of_the_connection_if_it_is_as_old_as_the_failure() {
        let failure = failure([127, 0, 0, 1]);
        let is = |ms: u64, netns| is_of_connection(&failure, ms * 1_000_000, netns);
        assert!(is(160_000, NETNS) && is(159_500, NETNS) && is(160_500, NETNS));
        assert!(!is(158_900, NETNS) && !is(161_100, NETNS));
        assert!(!is(160_000, NETNS + 1), "another 127.0.0.1");
        let elsewhere = self::failure([10, 0, 0, 7]);
        assert!(is_of_connection(&elsewhere, 160 * SECOND_NS, NETNS + 1));
    }

    #[test]
    fn a_number_of_a_namespace_is_used_again() {
        let ended = |second: u64| Departure {
            at_ns: second * SECOND_NS,
            ..Departure::default()
        };
        let local = failure([127, 0, 0, 1]);
        assert!(may_be_of_another_namespace(&local, Some(1), &ended(49)));
        assert!(!may_be_of_another_namespace(&local, Some(1), &ended(51)));
        assert!(!may_be_of_another_namespace(
            &local,
            Some(NETNS),
            &ended(49)
        ));
        let elsewhere = failure([10, 0, 0, 7]);
        assert!(!may_be_of_another_namespace(
            &elsewhere,
            Some(1),
            &ended(49)
        ));
    }

    #[test]
    fn programs_of_one_name_are_one_app_in_one_unit() {
        let java = |unit: &str| Owner {
            comm: "java".to_owned(),
            unit: Some(unit.to_owned()),
            ..Owner::default()
        };
        assert!(is_same_app(&java("api.service"), &java("api.service")));
        assert!(!is_same_app(&java("api.service"), &java("web.service")));
    }
}
