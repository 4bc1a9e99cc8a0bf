//! `closed-after-accept`: FIN soon after the handshake, nothing exchanged.

use super::symptoms;
use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ClosedAfterAccept,
    condition: None,
    telling: words::is_upstreams_side,
    page: Page {
        title: "the upstream closed the connection right after the handshake",
        symptom: symptoms::CLOSED,
        kernel_saw: &[
            "The handshake was done, nothing was sent either way, and a FIN came within a second.",
            "A spare connection of a pool that ends later is not reported: that is no failure.",
        ],
        reasons: &[
            "The program accepts and closes at once: a limit of connections, or of this client.",
            "An access list in the program or in front of it (tcp wrappers, stunnel, a mesh).",
            "A port forwarder (ssh, docker-proxy, kubectl) accepts, and its target is not there.",
            "The program is shutting down, and takes what is still in its queue.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/",
                "whether it does so to everybody",
            ),
            Step::new(
                "{at_upstream}ss -ltnp 'sport = :{port}'",
                "on the upstream's host: who really accepts, the program or a forwarder before it",
            )
            .or("ss -ltnp 'sport = :{port}'"),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the program says of it",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "server {endpoint} max_conns=N;",
                "nginx: no more connections than the upstream's limit",
            ),
            Step::proxy(
                "haproxy",
                "server NAME {endpoint} maxconn N",
                "HAProxy: no more connections than the upstream's limit",
            ),
            Step::new(
                "systemctl restart {unit}",
                "if a forwarder's target is gone: starts it again",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} closed the connection {} after the connect, before any request{}.",
        words::upstream(failure),
        words::took(failure),
        words::upstreams_side(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_that_no_request_was_sent() {
        assert_eq!(
            sentence(&failure(Cause::ClosedAfterAccept)),
            "10.2.0.7:8080 closed the connection 0.2 ms after the connect, before any request."
        );
    }
}
