//! `reset-after-accept`: RST soon after the handshake, before any request byte.

use super::symptoms;
use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ResetAfterAccept,
    condition: None,
    telling: words::is_upstreams_side,
    page: Page {
        title: "the upstream reset the connection right after the handshake",
        symptom: symptoms::RESET,
        kernel_saw: &[
            "The handshake was done, nothing was sent yet, and a RST came within a second.",
            "A spare connection of a pool that ends later is not reported: that is no failure.",
        ],
        reasons: &[
            "The program accepts and closes at once: a limit of connections, or of this client.",
            "An access list: tcp wrappers, `deny` in its configuration, mTLS or PROXY protocol missing.",
            "The listening socket was closed while connections waited in its queue (a restart).",
            "A load balancer between accepts first, and finds no target then.",
            "net.ipv4.tcp_abort_on_overflow is on over there, and its accept queue is full.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/",
                "whether it does so to everybody",
            ),
            Step::new(
                "nstat -az TcpExtListenOverflows TcpExtTCPAbortOnClose",
                "on the upstream's host: full queues, and connections closed with data unread",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the program says of it",
            ),
        ],
        fix: &[
            Step::proxy(
                "haproxy",
                "server NAME {endpoint} send-proxy",
                "HAProxy: if the upstream waits for the PROXY protocol (or remove it on both sides)",
            ),
            Step::proxy(
                "nginx",
                "server {endpoint} max_conns=N;",
                "nginx: no more connections than the upstream's limit",
            ),
            Step::new(
                "sysctl net.ipv4.tcp_abort_on_overflow",
                "on the upstream's host: set it to 0, and connects wait for room",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} reset the connection {} after the connect, before any request{}.",
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
            sentence(&failure(Cause::ResetAfterAccept)),
            "10.2.0.7:8080 reset the connection 0.2 ms after the connect, before any request."
        );
    }
}
