//! `firewall-reset`: RST although a listener is there with room in its queue.

use super::firewall_dropped::by_netfilter;
use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::FirewallReset,
    condition: Some(Condition {
        refines: &[Cause::Refused],
        holds,
    }),
    telling: |fact| matches!(fact, Evidence::ListenerPresent { .. }),
    page: Page {
        title: "a firewall answers the connect with RST, although the upstream listens",
        symptom: symptoms::REFUSED,
        kernel_saw: &[
            "RST answered the SYN, and a socket of this host listens on that address and port.",
            "Its accept queue has room, and this host's netfilter dropped the SYN of this very connection.",
        ],
        reasons: &[
            "A rule `reject with tcp reset`, on the input of the upstream or the output of the proxy.",
            "A rule for another port, interface or source that matches more than it was meant to.",
            "A container network's isolation rules between two bridges.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/",
                "whether it still refuses",
            ),
            Step::new(
                "{at_upstream}nft list ruleset | grep -n 'tcp reset'",
                "rules that answer with RST, in the upstream's network namespace",
            )
            .or("nft list ruleset | grep -n 'tcp reset'"),
            Step::new(
                "{in_netns}nft list ruleset | grep -n 'tcp reset'",
                "the same in the proxy's",
            ),
            Step::new(
                "iptables -S | grep tcp-reset",
                "the same for hosts that still use iptables",
            ),
        ],
        fix: &[
            Step::new(
                "nft -a list ruleset",
                "shows the handle of each rule: delete the one that rejects, or narrow it",
            ),
            Step::new(
                "nft insert rule inet filter input tcp dport {port} accept",
                "or let the port in before it, in the table and chain of that rule",
            ),
        ],
    },
    sentence,
};

/// A listener with room that the SYN never reached, and nothing that says that the TCP stack itself
/// sent the RST, or that the listener was not there the whole time. (A listener alone says nothing:
/// address translation may have led the SYN elsewhere.)
fn holds(failure: &Failure) -> bool {
    let with_room = words::has(
        failure,
        |fact| matches!(fact, Evidence::ListenerPresent { length, limit, .. } if length <= limit),
    );
    let otherwise = words::has(failure, |fact| {
        matches!(
            fact,
            Evidence::NoListener
                | Evidence::ListenerExited { .. }
                | Evidence::ListenerClosed { .. }
                | Evidence::ListenerElsewhere { .. }
                | Evidence::AcceptQueueFull { .. }
                | Evidence::AbortOnOverflow
                | Evidence::UpstreamReset { .. }
        )
    });
    let filtered = words::has(failure, by_netfilter);
    words::answered_by_rst(failure) && filtered && with_room && !otherwise
}

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    let listener = words::find(failure, |fact| match fact {
        Evidence::ListenerPresent {
            owner,
            length,
            limit,
        } => Some((owner, length, limit)),
        _ => None,
    });
    match listener {
        Some((owner, length, limit)) => format!(
            "A firewall answers for {upstream} with RST: {} listens there with room in its queue \
             ({length}/{limit}).",
            who(owner)
        ),
        None => format!("A firewall answers for {upstream} with RST."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{
        dropped, listener_closed, listener_exited, listener_present, queue_full, refined,
        rst_to_syn,
    };

    fn filtered() -> Evidence {
        dropped("NETFILTER_DROP")
    }

    #[test]
    fn a_listener_with_room_sends_no_rst() {
        let facts = vec![rst_to_syn(), filtered(), listener_present(3)];
        let failure = refined(Cause::Refused, facts);
        assert_eq!(failure.cause, Cause::FirewallReset);
        assert_eq!(
            sentence(&failure),
            "A firewall answers for 10.2.0.7:8080 with RST: gunicorn[5120] (api.service) listens \
             there with room in its queue (3/128)."
        );
    }

    #[test]
    fn whatever_else_may_have_sent_it_leaves_the_plain_cause() {
        for other in [
            listener_exited("SIGTERM", false, 200_000),
            listener_closed(200_000),
            Evidence::NoListener,
            Evidence::AbortOnOverflow,
            queue_full(3),
            Evidence::UpstreamReset {
                reason: "NO_SOCKET".to_owned(),
            },
        ] {
            let facts = vec![rst_to_syn(), filtered(), listener_present(3), other.clone()];
            assert_eq!(
                refined(Cause::Refused, facts).cause,
                Cause::Refused,
                "{other}"
            );
        }
        let full = vec![rst_to_syn(), filtered(), listener_present(129)];
        assert_eq!(refined(Cause::Refused, full).cause, Cause::Refused);
    }

    #[test]
    fn a_syn_that_no_firewall_was_seen_to_drop_may_have_gone_elsewhere() {
        let translated = vec![rst_to_syn(), listener_present(3)];
        assert_eq!(refined(Cause::Refused, translated).cause, Cause::Refused);
    }
}
