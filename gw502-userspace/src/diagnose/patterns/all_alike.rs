//! All upstreams fail alike: what they share is the proxy's side.
//!
//! Needs: at least three upstreams in a network namespace, every one that was tried failing, nine in
//! ten by the same cause, all since about the same time; and a cause that lies between the proxy
//! and its upstreams. On one address it is that host or the way to it; on several, what they share.
//!
//! Does not say it: of one upstream among healthy ones, of causes that lie in the upstream (it is
//! slow, it crashed, it is not there), nor of failures that began at different times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::aggregate::UpstreamId;
use crate::diagnose::words::{Span, count};
use crate::diagnose::{Shared, State};
use crate::event::{Cause, Class, Upstream};

const UPSTREAMS: usize = 3;
const APART_NS: u64 = 60_000_000_000;

/// An upstream that was tried.
#[derive(Clone, Debug)]
pub(in crate::diagnose) struct Tried<'a> {
    pub(in crate::diagnose) id: &'a UpstreamId,
    pub(in crate::diagnose) state: State,
    pub(in crate::diagnose) cause: Option<Cause>,
    pub(in crate::diagnose) since_ns: u64,
    /// Its last failure, once it is over.
    pub(in crate::diagnose) until_ns: Option<u64>,
}

/// Each namespace in which all fail alike.
pub(in crate::diagnose) fn find(tried: &[Tried<'_>]) -> Vec<Shared> {
    let mut namespaces: BTreeMap<u32, Vec<&Tried<'_>>> = BTreeMap::new();
    for upstream in tried {
        namespaces
            .entry(upstream.id.netns)
            .or_default()
            .push(upstream);
    }
    let shared = namespaces
        .iter()
        .filter_map(|(netns, tried)| shared(*netns, tried));
    shared.collect()
}

/// What to say of the only one that fails among others that do not.
pub(in crate::diagnose) fn alone(id: &UpstreamId, tried: &[Tried<'_>]) -> Option<String> {
    let others = || {
        tried
            .iter()
            .filter(|other| other.id.netns == id.netns && other.id != id)
    };
    let this = tried.iter().find(|one| one.id == id);
    let since_ns = this.map_or(0, |one| one.since_ns);
    // Of many that fail the first one is an answer already.
    let failed = |other: &Tried<'_>| {
        other.state != State::Healthy || other.until_ns.is_some_and(|until_ns| until_ns >= since_ns)
    };
    if others().any(failed) {
        return None;
    }
    let healthy = others().count();
    if healthy == 0 {
        return None;
    }
    let upstreams = count(u64::try_from(healthy).unwrap_or(u64::MAX), "other upstream");
    Some(format!(
        "{upstreams} of the same network namespace did not fail: it is this one alone"
    ))
}

fn shared(netns: u32, tried: &[&Tried<'_>]) -> Option<Shared> {
    let all = tried.len();
    let failing = tried
        .iter()
        .all(|upstream| upstream.state == State::Failing);
    if all < UPSTREAMS || !failing {
        return None;
    }
    let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
    for cause in tried.iter().filter_map(|upstream| upstream.cause) {
        *causes.entry(cause).or_default() += 1;
    }
    let (cause, members) = causes.into_iter().max_by_key(|(_, members)| *members)?;
    let first = tried.iter().map(|upstream| upstream.since_ns).min()?;
    let last = tried.iter().map(|upstream| upstream.since_ns).max()?;
    let apart = last.saturating_sub(first);
    if members * 10 < all * 9 || !lies_between(cause) || apart > APART_NS {
        return None;
    }
    let hosts: BTreeSet<IpAddr> = tried
        .iter()
        .filter_map(|upstream| host(upstream.id))
        .collect();
    let look = match (cause.class(), hosts.len()) {
        (Class::Local, _) => {
            "the proxy's own host has nothing left, or forbids it: its ports, its descriptors, its \
             memory"
                .to_owned()
        }
        (_, 1) => {
            let host = hosts.first().map(IpAddr::to_string).unwrap_or_default();
            format!("look at {host} itself, and the way to it")
        }
        _ => "look at what they share, the proxy's side: its routes, its firewall, its link"
            .to_owned(),
    };
    let summary = format!(
        "All {all} upstreams that were tried here fail alike ({cause}), since within {} of each \
         other: {look}.",
        Span(apart)
    );
    Some(Shared {
        netns,
        cause,
        upstreams: all,
        summary,
    })
}

/// Whether the cause can lie between the proxy and its upstreams.
const fn lies_between(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Refused
            | Cause::IcmpRejected
            | Cause::FirewallReset
            | Cause::FirewallDropped
            | Cause::SynUnanswered
            | Cause::PeerVanished
    ) || matches!(cause.class(), Class::Unreachable | Class::Local)
}

const fn host(id: &UpstreamId) -> Option<IpAddr> {
    match &id.upstream {
        Upstream::Tcp(endpoint) => Some(endpoint.address),
        Upstream::Unix { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Endpoint;

    fn ids(hosts: &[&str]) -> Vec<UpstreamId> {
        let id = |(port, host): (u16, &&str)| UpstreamId {
            upstream: Upstream::Tcp(Endpoint {
                address: host.parse().unwrap(),
                port,
            }),
            netns: 7,
        };
        (9000..).zip(hosts).map(id).collect()
    }

    fn failing<'a>(ids: &'a [UpstreamId], cause: Cause) -> Vec<Tried<'a>> {
        let tried = |id: &'a UpstreamId| Tried {
            id,
            state: State::Failing,
            cause: Some(cause),
            since_ns: 0,
            until_ns: None,
        };
        ids.iter().map(tried).collect()
    }

    #[test]
    fn all_alike_is_the_proxys_side() {
        let ids = ids(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let shared = find(&failing(&ids, Cause::SynUnanswered));
        assert_eq!((shared.len(), shared[0].upstreams), (1, 3));
        assert!(shared[0].summary.contains("its routes, its firewall"));
        let local = find(&failing(&ids, Cause::PortExhaustion));
        assert!(local[0].summary.contains("its ports"));
    }

    #[test]
    fn on_one_address_it_is_that_host() {
        let ids = ids(&["10.0.0.1", "10.0.0.1", "10.0.0.1"]);
        let shared = find(&failing(&ids, Cause::SynUnanswered));
        assert!(shared[0].summary.contains("look at 10.0.0.1 itself"));
    }

    #[test]
    fn one_that_works_is_enough_to_say_nothing() {
        let ids = ids(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        let mut tried = failing(&ids, Cause::SynUnanswered);
        tried[3].state = State::Healthy;
        assert_eq!(find(&tried), []);
        // Two are too few to tell.
        assert_eq!(find(&tried[..2]), []);
    }

    #[test]
    fn causes_that_lie_in_the_upstream_are_nobody_elses() {
        let ids = ids(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        for cause in [
            Cause::ResponseTimeout,
            Cause::UpstreamExited,
            Cause::NoListener,
        ] {
            assert_eq!(find(&failing(&ids, cause)), [], "{cause}");
        }
    }

    #[test]
    fn different_causes_or_times_are_not_alike() {
        let ids = ids(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let mut tried = failing(&ids, Cause::SynUnanswered);
        tried[0].cause = Some(Cause::Refused);
        assert_eq!(find(&tried), []);
        let mut tried = failing(&ids, Cause::SynUnanswered);
        tried[0].since_ns = 2 * APART_NS;
        assert_eq!(find(&tried), []);
    }

    #[test]
    fn the_only_one_that_fails_is_called_so() {
        let ids = ids(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let mut tried = failing(&ids, Cause::Refused);
        (tried[1].state, tried[2].state) = (State::Healthy, State::Healthy);
        let said = alone(&ids[0], &tried).unwrap();
        assert!(said.starts_with("2 other upstreams"), "{said}");
        tried[2].state = State::Degraded;
        assert_eq!(alone(&ids[0], &tried), None);
        assert_eq!(alone(&ids[0], &tried[..1]), None);
    }

    #[test]
    fn one_that_failed_meanwhile_and_is_well_again_did_fail() {
        let ids = ids(&["10.0.0.1", "10.0.0.2"]);
        let mut tried = failing(&ids, Cause::Refused);
        (tried[0].since_ns, tried[1].state) = (100, State::Healthy);
        tried[1].until_ns = Some(99);
        assert!(alone(&ids[0], &tried).is_some(), "that was before");
        tried[1].until_ns = Some(100);
        assert_eq!(alone(&ids[0], &tried), None);
    }
}
