//! `neighbour-failed`: ARP or neighbour discovery got no answer on this host's own link.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::NeighbourFailed,
    condition: None,
    telling: |fact| matches!(fact, Evidence::SynNeverLeft),
    page: Page {
        title: "nobody on this host's own link answers for the upstream's address",
        symptom: symptoms::HOST_UNREACHABLE,
        kernel_saw: &[
            "The SYN never left: it waited for the hardware address of the next hop.",
            "ARP (IPv6: neighbour discovery) asked for it, and nobody answered for some 3 s.",
        ],
        reasons: &[
            "The host on the same link is down, or its cable, switch port or VLAN is.",
            "The gateway to the upstream is down: then every upstream behind it fails like this.",
            "The address belongs to nobody: a machine, container or pod that is gone.",
            "A netmask too wide: the host thinks that the address is on its link, and it is not.",
        ],
        check: &[
            Step::new(
                "{in_netns}ip route get {address}",
                "the next hop: the upstream itself, or the gateway after `via`",
            ),
            Step::new(
                "{in_netns}ip neigh show nud failed",
                "addresses that nobody answers for; the next hop is among them",
            ),
            Step::new(
                "{in_netns}tcpdump -nni any 'arp or icmp6'",
                "the questions, and whether an answer comes",
            ),
            Step::new(
                "{in_netns}ip -br link",
                "which interfaces are UP and have a carrier",
            ),
        ],
        fix: &[
            Step::new(
                "{in_netns}ip neigh flush to {address}",
                "asks again at once when the host is back (the kernel does so by itself)",
            ),
            Step::proxy(
                "nginx",
                "proxy_connect_timeout 1s;",
                "nginx: try the next server before the 3 s are over",
            ),
            Step::proxy(
                "haproxy",
                "timeout connect 1s",
                "HAProxy: the same, with `option redispatch`",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "Nobody on this host's own link answers for the next hop to {}: the SYN never left.",
        words::upstream(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_that_the_packet_never_left() {
        assert_eq!(
            sentence(&failure(Cause::NeighbourFailed)),
            "Nobody on this host's own link answers for the next hop to 10.2.0.7:8080: the SYN \
             never left."
        );
    }
}
