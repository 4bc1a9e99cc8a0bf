//! `host-unreachable`: a router, or this host's own routing, says that the host cannot be reached.

use super::symptoms;
use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::HostUnreachable,
    condition: None,
    telling: words::is_routing,
    page: Page {
        title: "somebody on the way says that the upstream's host cannot be reached",
        symptom: symptoms::HOST_UNREACHABLE,
        kernel_saw: &[
            "An ICMP error answered the SYN: host unreachable, or time exceeded (a routing loop); or connect() failed at once: this host's own table has an `unreachable` route.",
            "The evidence says which.",
        ],
        reasons: &[
            "The host is down, and the router on its link got no answer from it.",
            "The address belongs to nobody: a machine, container or pod that is gone.",
            "The proxy's list is stale: a DNS name that was resolved once, at the proxy's start.",
            "A REJECT rule with icmp-host-unreachable, or an `unreachable` route.",
            "Before Linux 5.18: nobody answered on this host's own link (see neighbour-failed).",
        ],
        check: &[
            Step::new(
                "{in_netns}ip route get {address}",
                "which way the packets go",
            ),
            Step::new(
                "{in_netns}ip neigh show {address}",
                "on the own link: FAILED or INCOMPLETE means that nobody answers",
            ),
            Step::new(
                "{in_netns}tcpdump -nni any 'icmp or icmp6'",
                "who sends the ICMP error: its source is the router that cannot reach the host",
            ),
            Step::new("{in_netns}tracepath -n {address}", "how far packets get"),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "nginx -s reload",
                "nginx resolves the names of its upstreams again (or use `resolver` and a variable)",
            ),
            Step::proxy(
                "haproxy",
                "server NAME HOST:{port} check resolvers DNS init-addr last,libc",
                "HAProxy: follows DNS, and takes a dead server out",
            ),
            Step::new(
                "{in_netns}ip route del unreachable {address}",
                "if it is a route of this host that says so",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    if words::by_own_routing(failure) {
        return format!("This host's own routing says that {upstream} cannot be reached.");
    }
    match words::icmp(failure) {
        Some(answered) => format!("The host of {upstream} cannot be reached: {answered}."),
        None => format!("The host of {upstream} cannot be reached."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Evidence;
    use crate::rule::samples::failure;

    #[test]
    fn this_host_is_told_from_a_router() {
        let mut failure = failure(Cause::HostUnreachable);
        failure.evidence = vec![Evidence::ConnectFailed, Evidence::OwnRouting];
        assert_eq!(
            sentence(&failure),
            "This host's own routing says that 10.2.0.7:8080 cannot be reached."
        );
        failure.evidence = vec![Evidence::IcmpError {
            version: 4,
            r#type: 3,
            code: 1,
        }];
        assert_eq!(
            sentence(&failure),
            "The host of 10.2.0.7:8080 cannot be reached: ICMP host unreachable answered the SYN."
        );
    }
}
