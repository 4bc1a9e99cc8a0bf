//! `accept-queue-full`: the listener's accept queue was full, and its kernel ignored the connect.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::AcceptQueueFull,
    condition: Some(Condition {
        refines: &[
            Cause::SynUnanswered,
            Cause::ResponseTimeout,
            Cause::PeerVanished,
        ],
        holds,
    }),
    telling: |fact| matches!(fact, Evidence::AcceptQueueFull { .. }) || is_overflow(fact),
    page: Page {
        title: "the upstream's accept queue is full: it takes no new connections",
        symptom: symptoms::CONNECT_TIMEOUT,
        kernel_saw: &[
            "The listener is on this host, and more connections waited for accept() than may.",
            "Its kernel then ignores SYNs, and the last packet of handshakes: nothing answers.",
            "Where the handshake seemed done to the proxy, its request was never acknowledged.",
        ],
        reasons: &[
            "The program accepts too slowly: too few workers, or all of them busy with slow requests.",
            "It hangs, or is stopped, and accepts nothing at all.",
            "Its backlog is small for the bursts: it is what listen() asked for, at most somaxconn.",
        ],
        check: &[
            Step::new(
                "{at_upstream}ss -ltnp 'sport = :{port}'",
                "Recv-Q connections wait, Send-Q may: full when Recv-Q is the larger one",
            )
            .or("ss -ltnp 'sport = :{port}'"),
            Step::new(
                "{at_upstream}nstat -az TcpExtListenOverflows TcpExtListenDrops",
                "overflows in that network namespace since it is there: do they still grow?",
            )
            .or("nstat -az TcpExtListenOverflows TcpExtListenDrops"),
            Step::new(
                "top -H -p {pid}",
                "whether the program's threads work, or sleep and wait for something",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the program says of it: php-fpm warns `server reached pm.max_children`",
            )
            .or("journalctl -u {unit} -n 50 --no-pager"),
        ],
        fix: &[
            Step::app(
                "gunicorn",
                "gunicorn --workers N --threads M --backlog 2048",
                "gunicorn: more requests at once; 2048 is its default backlog",
            ),
            Step::app(
                "php-fpm",
                "pm.max_children = N",
                "php-fpm: more requests at once, as far as memory goes",
            ),
            Step::app(
                "php-fpm",
                "listen.backlog = 4096",
                "php-fpm: room for longer bursts (511 by default)",
            ),
            Step::app(
                "node",
                "server.listen({ port, backlog: 1024 })",
                "Node: 511 is its default backlog; a busy event loop accepts nothing",
            ),
            Step::new(
                "{at_upstream}sysctl -w net.core.somaxconn=4096",
                "the limit for every backlog; the program must listen again (restart) to use it",
            )
            .or("sysctl -w net.core.somaxconn=4096"),
            Step::proxy(
                "nginx",
                "server {endpoint} max_conns=N;",
                "nginx: no more connections to this server than it can take",
            ),
            Step::proxy(
                "haproxy",
                "server NAME {endpoint} maxconn N",
                "HAProxy: the rest waits in HAProxy's queue (`timeout queue`)",
            ),
        ],
    },
    sentence,
};

/// The listener overflowed, and the upstream's kernel took nothing of this connection.
fn holds(failure: &Failure) -> bool {
    let overflowed = words::queue_overflowed(failure) || words::has(failure, is_overflow);
    overflowed && (failure.cause == Cause::SynUnanswered || words::never_taken(failure))
}

/// The kernel dropped a packet of this very connection for it.
fn is_overflow(fact: &Evidence) -> bool {
    matches!(fact, Evidence::DroppedHere { reason } if reason == "TCP_LISTEN_OVERFLOW")
}

fn sentence(failure: &Failure) -> String {
    let queue = words::find(failure, |fact| match fact {
        Evidence::AcceptQueueFull {
            owner,
            length,
            limit,
            ..
        } => Some((owner, length, limit)),
        _ => None,
    });
    let queue = match queue {
        Some((Some(owner), length, limit)) => {
            format!(
                "the accept queue of {} was full ({length}/{limit})",
                who(owner)
            )
        }
        Some((None, length, limit)) => format!("its accept queue was full ({length}/{limit})"),
        None => "its accept queue was full".to_owned(),
    };
    format!(
        "{} does not accept connections fast enough: {queue}.",
        words::upstream(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{dropped, listener_present, queue_full, refined, request};

    #[test]
    fn a_queue_that_overflowed_is_why_nothing_answered() {
        let syn = Evidence::NoAnswer { syns_sent: 2 };
        let failure = refined(Cause::SynUnanswered, vec![syn.clone(), queue_full(2)]);
        assert_eq!(failure.cause, Cause::AcceptQueueFull);
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 does not accept connections fast enough: the accept queue of \
             gunicorn[5120] (api.service) was full (129/128)."
        );
        let without_drop = refined(Cause::SynUnanswered, vec![syn.clone(), queue_full(0)]);
        assert_eq!(without_drop.cause, Cause::SynUnanswered);
        let with_room = refined(Cause::SynUnanswered, vec![syn, listener_present(128)]);
        assert_eq!(with_room.cause, Cause::SynUnanswered);
    }

    #[test]
    fn an_established_connection_must_not_have_been_taken() {
        for cause in [Cause::ResponseTimeout, Cause::PeerVanished] {
            let taken = refined(cause, vec![request(true), queue_full(2)]);
            assert_eq!(taken.cause, cause);
            let not_taken = refined(cause, vec![request(false), queue_full(2)]);
            assert_eq!(not_taken.cause, Cause::AcceptQueueFull);
            let seen = refined(cause, vec![request(false), dropped("TCP_LISTEN_OVERFLOW")]);
            assert_eq!(seen.cause, Cause::AcceptQueueFull);
            assert_eq!(
                sentence(&seen),
                "10.2.0.7:8080 does not accept connections fast enough: its accept queue was full."
            );
        }
    }
}
