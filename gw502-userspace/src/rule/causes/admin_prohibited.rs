//! `admin-prohibited`: ICMP says that somebody forbids it.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::AdminProhibited,
    condition: None,
    telling: words::is_icmp,
    page: Page {
        title: "a firewall or router forbids the connect, and says so",
        symptom: &[
            "nginx: 502, `connect() failed (113: No route to host)`; IPv6: `(13: Permission denied)`",
            "HAProxy: 503, termination state SC or sC; Envoy: 503 UF; Apache: 503",
            "Caddy: 502, `connect: no route to host`",
            "The words mislead: there is a route, and it is forbidden.",
        ],
        kernel_saw: &[
            "ICMP answered the SYN: administratively prohibited (type 3, code 9, 10 or 13;",
            "ICMPv6 type 1, code 1, 5 or 6).",
        ],
        reasons: &[
            "firewalld on the upstream's host: this is how it rejects what no zone allows.",
            "A REJECT rule with icmp-admin-prohibited, or a router's access list.",
            "The proxy's source address is not the one that was allowed (NAT, another interface).",
        ],
        check: &[
            Step::new(
                "{in_netns}tcpdump -nni any 'icmp or icmp6'",
                "who sends the ICMP error: its source is the one who forbids",
            ),
            Step::new(
                "firewall-cmd --list-all",
                "on the upstream's host: which ports and services its zone allows",
            ),
            Step::new(
                "nft list ruleset | grep -n 'admin-prohibited'",
                "there and here: the rules that say so",
            ),
            Step::new(
                "{in_netns}ip route get {address}",
                "`src` is the address that the firewall sees",
            ),
        ],
        fix: &[
            Step::new(
                "firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload",
                "on the upstream's host, where firewalld runs",
            ),
            Step::new(
                "nft insert rule inet filter input ip saddr PROXY tcp dport {port} accept",
                "the same with plain nftables, in the table and chain that reject",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    match words::icmp(failure) {
        Some(answered) => format!("Somebody forbids the connect to {upstream}: {answered}."),
        None => format!("Somebody on the way forbids the connect to {upstream}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Evidence;
    use crate::rule::samples::failure;

    #[test]
    fn it_quotes_the_error() {
        let mut failure = failure(Cause::AdminProhibited);
        failure.evidence = vec![Evidence::IcmpError {
            version: 4,
            r#type: 3,
            code: 13,
        }];
        assert_eq!(
            sentence(&failure),
            "Somebody forbids the connect to 10.2.0.7:8080: ICMP administratively prohibited \
             answered the SYN."
        );
    }
}
