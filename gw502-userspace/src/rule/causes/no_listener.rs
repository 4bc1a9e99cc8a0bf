//! `no-listener`: the address is one of this host, and nothing listens on the port there.

use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, Time, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::NoListener,
    condition: Some(Condition {
        refines: &[Cause::Refused],
        holds: nothing_listens,
    }),
    telling: |fact| matches!(fact, Evidence::NoListener | Evidence::ListenerClosed { .. }),
    page: Page {
        title: "nothing listens on that port of this host",
        symptom: &[
            "nginx: 502, `connect() failed (111: Connection refused) while connecting to upstream`",
            "HAProxy: 503, termination state SC; Apache and Envoy: 503; Caddy: 502",
        ],
        kernel_saw: &[
            "RST answered the SYN, and the address belongs to a network namespace of this host.",
            "No socket of that namespace listens on the port, on that address or on all addresses.",
        ],
        reasons: &[
            "The program was never started, or failed at its start before it could listen.",
            "It is configured for another port, or the proxy is.",
            "It stopped listening but still runs: draining before a restart, or stuck in its shutdown.",
            "It listens in another network namespace: 127.0.0.1 of a container is not the host's.",
        ],
        check: &[
            Step::new(
                "{in_netns}ss -ltnp 'sport = :{port}'",
                "whether something listens by now, in the namespace that the proxy connects in",
            ),
            Step::new(
                "{in_netns}ss -ltnp",
                "all that listens there: look for the program on another port",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the service said when it stopped listening",
            )
            .or("systemctl --failed --no-pager"),
        ],
        fix: &[
            Step::new(
                "systemctl restart {unit}",
                "starts the service that listened here",
            ),
            Step::proxy(
                "nginx",
                "nginx -T | grep -nE 'server |_pass '",
                "the addresses that nginx's configuration names",
            ),
            Step::proxy(
                "haproxy",
                "grep -nE '^ *server ' /etc/haproxy/haproxy.cfg",
                "the addresses that HAProxy's configuration names",
            ),
        ],
    },
    sentence,
};

/// Nothing listens there, as far as both looks at it say.
pub(super) fn nothing_listens(failure: &Failure) -> bool {
    words::answered_by_rst(failure)
        && words::has(failure, |fact| matches!(fact, Evidence::NoListener))
        && !words::has(failure, |fact| {
            matches!(fact, Evidence::ListenerPresent { .. })
        })
}

fn sentence(failure: &Failure) -> String {
    let closed = words::find(failure, |fact| match fact {
        Evidence::ListenerClosed { owner, ago_us, .. } => Some((owner, *ago_us)),
        _ => None,
    });
    let upstream = words::upstream(failure);
    match closed {
        Some((owner, ago_us)) => format!(
            "Nothing listens on {upstream}: {} stopped listening there {} before, and still ran.",
            who(owner),
            Time(ago_us)
        ),
        None => format!("Nothing listens on {upstream} on this host."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{failure, listener_closed, listener_present, refined, rst_to_syn};

    #[test]
    fn a_port_without_listener_is_told_from_a_refusal() {
        let facts = vec![rst_to_syn(), Evidence::NoListener];
        assert_eq!(refined(Cause::Refused, facts).cause, Cause::NoListener);
        let seen_later = vec![rst_to_syn(), Evidence::NoListener, listener_present(0)];
        assert_eq!(refined(Cause::Refused, seen_later).cause, Cause::Refused);
        let no_rst = vec![Evidence::NoListener];
        assert_eq!(refined(Cause::Refused, no_rst).cause, Cause::Refused);
    }

    #[test]
    fn it_says_who_stopped_listening() {
        assert_eq!(
            sentence(&failure(Cause::NoListener)),
            "Nothing listens on 10.2.0.7:8080 on this host."
        );
        let facts = vec![rst_to_syn(), Evidence::NoListener, listener_closed(500_000)];
        assert_eq!(
            sentence(&refined(Cause::Refused, facts)),
            "Nothing listens on 10.2.0.7:8080: gunicorn[5120] (api.service) stopped listening \
             there 500.0 ms before, and still ran."
        );
    }
}
