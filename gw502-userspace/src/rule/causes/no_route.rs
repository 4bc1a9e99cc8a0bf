//! `no-route`: ENETUNREACH: a router, or this host, has no route.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::NoRoute,
    condition: None,
    telling: words::is_routing,
    page: Page {
        title: "there is no route to the upstream",
        symptom: &[
            "nginx: 502, `connect() to … failed (101: Network is unreachable)`",
            "nginx: `(22: Invalid argument)` where the route is a blackhole",
            "HAProxy: 503, termination state SC (`General socket error`)",
            "Envoy: 503 UF; Apache: 503, (101); Caddy: 502, `connect: network is unreachable`",
        ],
        kernel_saw: &[
            "connect() failed at once: this host's routing table has no way there, or forbids it; or the SYN left, and a router answered with ICMP network unreachable.",
            "The evidence says which: `by this host's own routing`, or the ICMP error.",
        ],
        reasons: &[
            "The default route, an interface or a VPN is down.",
            "The upstream has an IPv6 address, and this host has no IPv6 (or the reverse).",
            "A container's network namespace has no route: its bridge is gone.",
            "A `blackhole` route, as routing daemons and people set it to shut something out.",
        ],
        check: &[
            Step::new(
                "{in_netns}ip route get {address}",
                "what the routing table says; it fails the same way if the table is the reason",
            ),
            Step::new(
                "{in_netns}ip route show table all",
                "all routes; `ip -6 route` for IPv6, `ip rule` for policy routing",
            ),
            Step::new(
                "{in_netns}ip -br address",
                "the interfaces, which are UP, their addresses",
            ),
            Step::new(
                "journalctl -k -g 'link is down|link down|carrier' -n 20 --no-pager",
                "whether a link went down",
            ),
        ],
        fix: &[
            Step::new(
                "{in_netns}ip route add {address} via GATEWAY dev INTERFACE",
                "a route for now; the network's configuration makes it last",
            ),
            Step::new(
                "{in_netns}ip link set INTERFACE up",
                "if the interface is down",
            ),
            Step::proxy(
                "nginx",
                "resolver ADDRESS ipv6=off;",
                "nginx: no IPv6 addresses for names that it resolves itself",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    match words::icmp(failure) {
        Some(answered) if !words::by_own_routing(failure) => {
            format!("There is no route to {upstream}: {answered}.")
        }
        _ if words::by_own_routing(failure) => {
            format!("This host has no route to {upstream} in the proxy's network namespace.")
        }
        _ => format!("There is no route to {upstream}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Evidence;
    use crate::rule::samples::failure;

    #[test]
    fn this_host_is_told_from_a_router() {
        let mut failure = failure(Cause::NoRoute);
        failure.evidence = vec![Evidence::ConnectFailed, Evidence::OwnRouting];
        assert_eq!(
            sentence(&failure),
            "This host has no route to 10.2.0.7:8080 in the proxy's network namespace."
        );
        failure.evidence = vec![Evidence::IcmpError {
            version: 4,
            r#type: 3,
            code: 0,
        }];
        assert_eq!(
            sentence(&failure),
            "There is no route to 10.2.0.7:8080: ICMP net unreachable answered the SYN."
        );
    }
}
