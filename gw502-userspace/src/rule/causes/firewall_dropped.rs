//! `firewall-dropped`: SYNs got no answer: this host's netfilter dropped a packet of the connection.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Condition, Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::FirewallDropped,
    condition: Some(Condition {
        refines: &[Cause::SynUnanswered],
        holds: |failure| words::has(failure, by_netfilter),
    }),
    telling: by_netfilter,
    page: Page {
        title: "this host's own firewall drops packets of the connection",
        symptom: symptoms::CONNECT_TIMEOUT,
        kernel_saw: &[
            "SYNs went out and nothing answered; netfilter on this very host dropped a packet of this very connection: the SYN on its way out or in, or the answer to it.",
        ],
        reasons: &[
            "A rule or a chain's policy `drop`: on output, on input, or on forward for containers.",
            "A rule for connection tracking: `ct state invalid drop` after a change of routes.",
            "A network policy of the container platform, or rules left over by one that is gone.",
        ],
        check: &[
            Step::new(
                "{in_netns}nft -a list ruleset | grep -E '^table|chain|drop'",
                "tables and chains with a rule or policy that drops, in the proxy's network namespace",
            ),
            Step::new(
                "nft -a list ruleset | grep -E '^table|chain|drop'",
                "the same in the host's: containers' packets pass its forward chain",
            ),
            Step::new(
                "iptables -S | grep DROP",
                "the same for hosts that still use iptables",
            ),
            Step::new(
                "{in_netns}nft monitor trace",
                "which rule it is, once a rule `meta nftrace set 1` matches the connection",
            ),
        ],
        fix: &[
            Step::new(
                "{in_netns}nft insert rule inet filter input tcp dport {port} accept",
                "lets the port in, in the table and chain that drop",
            ),
            Step::new(
                "{in_netns}nft insert rule inet filter forward ip daddr {address} accept",
                "the same for an upstream in a container; the answers need `ct state established`",
            ),
            Step::new(
                "firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload",
                "the same where firewalld writes the rules",
            ),
        ],
    },
    sentence,
};

pub(super) fn by_netfilter(fact: &Evidence) -> bool {
    matches!(fact, Evidence::DroppedHere { reason } if reason.starts_with("NETFILTER"))
}

fn sentence(failure: &Failure) -> String {
    format!(
        "This host's own firewall (netfilter) drops packets of the connect to {}.",
        words::upstream(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{dropped, queue_full, refined};

    #[test]
    fn only_netfilters_drops_are_the_firewalls() {
        let of = |reason| {
            let facts = vec![Evidence::NoAnswer { syns_sent: 2 }, dropped(reason)];
            refined(Cause::SynUnanswered, facts)
        };
        let failure = of("NETFILTER_DROP");
        assert_eq!(failure.cause, Cause::FirewallDropped);
        assert_eq!(failure.evidence.first(), Some(&dropped("NETFILTER_DROP")));
        assert_eq!(
            sentence(&failure),
            "This host's own firewall (netfilter) drops packets of the connect to 10.2.0.7:8080."
        );
        for other in ["NEIGH_FAILED", "TCP_CSUM", "NOT_SPECIFIED"] {
            assert_eq!(of(other).cause, Cause::SynUnanswered, "{other}");
        }
    }

    #[test]
    fn a_drop_of_this_connection_says_more_than_its_listeners_queue() {
        let facts = vec![queue_full(7), dropped("NETFILTER_DROP")];
        assert_eq!(
            refined(Cause::SynUnanswered, facts).cause,
            Cause::FirewallDropped
        );
    }
}
