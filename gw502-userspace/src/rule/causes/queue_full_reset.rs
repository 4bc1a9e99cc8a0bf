//! `queue-full-reset`: the accept queue overflowed, and the host answers that with RST.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::QueueFullReset,
    condition: Some(Condition {
        refines: &[
            Cause::ResetAfterAccept,
            Cause::ResetBeforeResponse,
            Cause::ResetMidRequest,
        ],
        holds,
    }),
    telling: |fact| {
        matches!(
            fact,
            Evidence::AcceptQueueFull { .. } | Evidence::AbortOnOverflow
        )
    },
    page: Page {
        title: "the accept queue is full, and the host answers that with RST",
        symptom: symptoms::RESET,
        kernel_saw: &[
            "The handshake began, and the listener had no room for the connection when it was done.",
            "net.ipv4.tcp_abort_on_overflow is 1 in the upstream's namespace: the kernel sends RST.",
            "To the proxy the connection was established; nothing it sent was acknowledged.",
        ],
        reasons: &[
            "The program accepts too slowly: too few workers, or all of them busy.",
            "Its backlog is small, or net.core.somaxconn cuts it.",
            "tcp_abort_on_overflow is on. It is off by default, and then connects only wait.",
        ],
        check: &[
            Step::new(
                "{at_upstream}ss -ltnp 'sport = :{port}'",
                "Recv-Q is the queue, Send-Q its limit",
            )
            .or("ss -ltnp 'sport = :{port}'"),
            Step::new(
                "{at_upstream}nstat -az TcpExtListenOverflows",
                "how often a queue of that namespace overflowed: does it still grow?",
            )
            .or("nstat -az TcpExtListenOverflows"),
            Step::new(
                "{at_upstream}sysctl net.ipv4.tcp_abort_on_overflow net.core.somaxconn",
                "the two settings that matter",
            )
            .or("sysctl net.ipv4.tcp_abort_on_overflow net.core.somaxconn"),
        ],
        fix: &[
            Step::new(
                "{at_upstream}sysctl -w net.ipv4.tcp_abort_on_overflow=0",
                "connects wait for room instead of being reset",
            )
            .or("sysctl -w net.ipv4.tcp_abort_on_overflow=0"),
            Step::app(
                "gunicorn",
                "gunicorn --workers N --threads M",
                "gunicorn: more requests at once, so that the queue drains",
            ),
            Step::app(
                "php-fpm",
                "pm.max_children = N",
                "php-fpm: more requests at once, as far as memory goes",
            ),
        ],
    },
    sentence,
};

/// A connection that the listener had no room for is none to the upstream: nothing of it was
/// acknowledged, and nothing came back. The kernel answers a SYN with a full queue with silence,
/// never with RST (`tcp_conn_request()`).
fn holds(failure: &Failure) -> bool {
    words::queue_overflowed(failure)
        && words::has(failure, |fact| matches!(fact, Evidence::AbortOnOverflow))
        && words::never_taken(failure)
}

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    let queue = words::find(failure, |fact| match fact {
        Evidence::AcceptQueueFull {
            owner,
            length,
            limit,
            ..
        } => Some((owner, length, limit)),
        _ => None,
    });
    match queue {
        Some((Some(owner), length, limit)) => format!(
            "{upstream} does not accept connections fast enough: the accept queue of {} was full \
             ({length}/{limit}), and tcp_abort_on_overflow turns that into RST.",
            who(owner)
        ),
        Some((None, length, limit)) => format!(
            "{upstream} does not accept connections fast enough: its accept queue was full \
             ({length}/{limit}), and tcp_abort_on_overflow turns that into RST."
        ),
        None => format!("{upstream} answers connections that find its accept queue full with RST."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{queue_full, refined, request, rst_to_syn};

    #[test]
    fn a_full_queue_that_resets_is_named() {
        for cause in [
            (Cause::ResetAfterAccept, Evidence::NothingSent),
            (Cause::ResetBeforeResponse, request(false)),
        ] {
            let facts = vec![cause.1, queue_full(1), Evidence::AbortOnOverflow];
            let failure = refined(cause.0, facts);
            assert_eq!(failure.cause, Cause::QueueFullReset);
            assert_eq!(failure.class, cause.0.class());
            assert_eq!(
                sentence(&failure),
                "10.2.0.7:8080 does not accept connections fast enough: the accept queue of \
                 gunicorn[5120] (api.service) was full (129/128), and tcp_abort_on_overflow turns \
                 that into RST."
            );
        }
    }

    #[test]
    fn a_connection_that_was_taken_did_not_overflow() {
        let taken = vec![request(true), queue_full(1), Evidence::AbortOnOverflow];
        let failure = refined(Cause::ResetBeforeResponse, taken);
        assert_eq!(failure.cause, Cause::ResetBeforeResponse);
        let off = vec![request(false), queue_full(1)];
        let failure = refined(Cause::ResetBeforeResponse, off);
        assert_eq!(failure.cause, Cause::ResetBeforeResponse);
        let syn = vec![rst_to_syn(), queue_full(1), Evidence::AbortOnOverflow];
        assert_eq!(refined(Cause::Refused, syn).cause, Cause::Refused);
    }
}
