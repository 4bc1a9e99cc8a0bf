//! `icmp-rejected`: an ICMP error answered the SYN, no RST.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::IcmpRejected,
    condition: None,
    telling: words::is_icmp,
    page: Page {
        title: "an ICMP error answered the connect: somebody rejects it",
        symptom: &[
            "nginx: 502, `connect() failed (111: Connection refused) while connecting to upstream`",
            "nginx: some of them 504: the one who rejects limits how many errors it sends",
            "HAProxy: 503, termination state SC or sC; Apache: 503, (111)",
            "Envoy: 503 UF; Caddy: 502, `connect: connection refused`",
        ],
        kernel_saw: &[
            "The SYN was answered by ICMP destination unreachable, most often `port unreachable`.",
            "No RST came, so it was no TCP that answered: a closed port answers with RST.",
        ],
        reasons: &[
            "A firewall rule REJECT, whose default is ICMP port unreachable: on the upstream's host, on this one, or on a router between.",
            "A security group or a host policy (firewalld, ufw, a CNI) that rejects.",
        ],
        check: &[
            Step::new(
                "{in_netns}nft list ruleset | grep -n reject",
                "rules that reject, in the proxy's namespace (then the same on the upstream's host)",
            ),
            Step::new(
                "iptables -S | grep REJECT",
                "the same for hosts that still use iptables",
            ),
            Step::new(
                "{in_netns}tcpdump -nni any 'icmp or icmp6'",
                "who sends the ICMP error: its source address is the one who rejects",
            ),
        ],
        fix: &[
            Step::new(
                "nft insert rule inet filter input ip saddr PROXY tcp dport {port} accept",
                "on the host that rejects, in its own table and chain: let the proxy in",
            ),
            Step::new(
                "firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload",
                "the same where firewalld writes the rules",
            ),
            Step::new(
                "ufw allow proto tcp to any port {port}",
                "the same where ufw does",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    match words::icmp(failure) {
        Some(answered) => format!("The connect to {upstream} is rejected: {answered}."),
        None => format!("The connect to {upstream} is rejected: an ICMP error answered the SYN."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Evidence;
    use crate::rule::samples::failure;

    #[test]
    fn it_names_the_error() {
        let mut failure = failure(Cause::IcmpRejected);
        failure.evidence = vec![Evidence::IcmpError {
            version: 4,
            r#type: 3,
            code: 3,
        }];
        assert_eq!(
            sentence(&failure),
            "The connect to 10.2.0.7:8080 is rejected: ICMP port unreachable answered the SYN."
        );
    }
}
