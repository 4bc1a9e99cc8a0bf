//! `never-accepted`: no answer in time, and the program had not even called `accept()`.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::NeverAccepted,
    condition: Some(Condition {
        refines: &[Cause::ResponseTimeout],
        holds: |failure| words::has(failure, is_never_accepted),
    }),
    telling: is_never_accepted,
    page: Page {
        title: "the upstream never took the connection: it waited in the accept queue",
        symptom: symptoms::READ_TIMEOUT,
        kernel_saw: &[
            "The kernel of this host did the handshake and took the request, on the program's behalf.",
            "When the proxy gave up, the connection was still in the listener's accept queue: the program had not called accept() for it. It has not seen the request.",
        ],
        reasons: &[
            "All workers are busy with other requests, and nobody is left to accept.",
            "The program hangs: a blocked event loop, a dead lock, a stopped process (SIGSTOP).",
            "It is still starting: it listens already, but does not serve yet.",
            "Idle keep-alive connections hold its workers (prefork servers).",
        ],
        check: &[
            Step::new(
                "{at_upstream}ss -ltnp 'sport = :{port}'",
                "Recv-Q connections wait for accept() now",
            )
            .or("ss -ltnp 'sport = :{port}'"),
            Step::new(
                "grep -E '^(State|Threads):' /proc/{pid}/status",
                "T is stopped, D waits for a disk or another device, S sleeps, R runs",
            ),
            Step::new("top -H -p {pid}", "whether one thread takes a whole CPU"),
            Step::new(
                "strace -f -p {pid} -e trace=accept,accept4,epoll_wait,futex",
                "what it waits for; it slows the program down, so only for some seconds",
            ),
            Step::app(
                "gunicorn",
                "py-spy dump --pid {pid}",
                "where each thread of it is (py-spy is a package of its own)",
            ),
        ],
        fix: &[
            Step::new(
                "systemctl restart {unit}",
                "if it hangs: nothing else frees it",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --workers N --threads M",
                "gunicorn: one sync worker serves one request at a time",
            ),
            Step::app(
                "php-fpm",
                "pm.max_children = N",
                "php-fpm: each child serves one request at a time",
            ),
            Step::app(
                "node",
                "node --cpu-prof app.js",
                "Node: shows what blocks the event loop; move it to a worker thread",
            ),
        ],
    },
    sentence,
};

const fn is_never_accepted(fact: &Evidence) -> bool {
    matches!(fact, Evidence::NeverAccepted { .. })
}

fn sentence(failure: &Failure) -> String {
    let owner = words::find(failure, |fact| match fact {
        Evidence::NeverAccepted { owner } => Some(who(owner)),
        _ => None,
    });
    format!(
        "{} never accepted the connection: the request waited {} in its accept queue, and {} gave \
         up.",
        owner.unwrap_or_else(|| words::upstream(failure)),
        words::took(failure),
        words::proxy(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{never_accepted, refined, request};

    #[test]
    fn a_time_out_in_the_accept_queue_is_named() {
        let facts = vec![request(true), never_accepted()];
        let mut failure = refined(Cause::ResponseTimeout, facts);
        failure.elapsed_us = 60_000_000;
        assert_eq!(failure.cause, Cause::NeverAccepted);
        assert_eq!(
            sentence(&failure),
            "gunicorn[5120] (api.service) never accepted the connection: the request waited 60.0 s \
             in its accept queue, and nginx gave up."
        );
    }

    #[test]
    fn what_the_proxy_cancelled_stays_cancelled() {
        for cause in [Cause::Cancelled, Cause::ClientGone] {
            assert_eq!(
                refined(cause, vec![request(true), never_accepted()]).cause,
                cause
            );
        }
    }
}
