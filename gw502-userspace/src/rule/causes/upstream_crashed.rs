//! `upstream-crashed`: reset or closed, and the local process at the other end ended abnormally.

use crate::event::{Cause, Evidence, Exit, Failure, Owner, Phase};
use crate::rule::words::{self, ended, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::UpstreamCrashed,
    condition: Some(Condition {
        refines: &[
            Cause::ResetBeforeResponse,
            Cause::ResetAfterAccept,
            Cause::ResetMidRequest,
            Cause::ClosedBeforeResponse,
            Cause::ClosedAfterAccept,
            Cause::KeepaliveRace,
        ],
        holds,
    }),
    telling: |fact| matches!(fact, Evidence::UpstreamExited { .. }),
    page: Page {
        title: "the upstream's process crashed or was killed with the connection open",
        symptom: &[
            "nginx: 502, `upstream prematurely closed connection while reading response header`",
            "nginx: 502, `recv() failed (104: Connection reset by peer)` if the request was unread",
            "HAProxy: 502, termination state SH; Envoy: 503 UC; Apache: 502, AH01102; Caddy: 502",
            "The proxy's log cannot tell it from an orderly close.",
        ],
        kernel_saw: &[
            "A FIN or RST ended the connection, and no byte of an answer came.",
            "At that moment the process of this host that held the other end ended: by a signal that nobody sends to stop a program, or with an exit code other than 0.",
            "`OOM` means that the kernel's OOM killer had marked it.",
        ],
        reasons: &[
            "SIGSEGV, SIGABRT, SIGBUS, SIGFPE: it crashed over this request; there may be a core dump.",
            "SIGKILL with OOM: no memory left, on the host or in its cgroup.",
            "SIGKILL without: its own supervisor (gunicorn --timeout, php-fpm), or systemd at its stop time-out.",
            "An exit code: an error that nobody caught, or a limit of requests with a bad exit.",
        ],
        check: &[
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "its last words: a stack trace, `WORKER TIMEOUT`, `exited on signal`",
            )
            .or("journalctl _PID={gone_pid} -n 50 --no-pager"),
            Step::new(
                "coredumpctl info {gone_pid} --no-pager",
                "the crash, if it left a core dump (systemd-coredump)",
            ),
            Step::new(
                "journalctl -k -g 'oom|segfault|general protection' -n 20 --no-pager",
                "what the kernel killed, and why",
            ),
            Step::new(
                "systemctl show -p MemoryMax,MemoryPeak,NRestarts {unit}",
                "its memory limit, its peak (newer systemd only), how often it was restarted",
            ),
        ],
        fix: &[
            Step::app(
                "gunicorn",
                "gunicorn --timeout 120",
                "gunicorn: kills a worker that is silent for longer (30 s by default)",
            ),
            Step::app(
                "php-fpm",
                "php_admin_value[memory_limit] = 256M",
                "php-fpm: what one request may take; times pm.max_children it is to fit in memory",
            ),
            Step::app(
                "node",
                "node --max-old-space-size=MB app.js",
                "Node: aborts at its heap limit, which is to be below the cgroup's",
            ),
            Step::new(
                "systemctl edit {unit}    # [Service] MemoryMax=… Restart=on-failure",
                "more memory, and a restart when it has ended",
            ),
            Step::proxy(
                "nginx",
                "proxy_next_upstream error timeout;",
                "nginx: tries the next server, for requests that may be sent twice (GET, PUT, …)",
            ),
            Step::proxy(
                "haproxy",
                "retry-on conn-failure empty-response",
                "HAProxy: retries; `http-request disable-l7-retry if METH_POST` keeps POST out",
            ),
        ],
    },
    sentence,
};

/// A crash ends idle connections too, and a request may meet that end: what the race needs (see
/// `keepalive-race`) was the crash's doing, so it is the better name. Without a request there is
/// nothing that it cost.
fn holds(failure: &Failure) -> bool {
    let crashed = words::has(
        failure,
        |fact| matches!(fact, Evidence::UpstreamExited { exit, .. } if exit.is_abnormal()),
    );
    let outstanding = failure.phase == Phase::Request
        && words::has(failure, |fact| matches!(fact, Evidence::RequestSent { .. }));
    crashed && (failure.cause != Cause::KeepaliveRace || outstanding)
}

fn crash(failure: &Failure) -> Option<(&Owner, &Exit)> {
    let exits = failure.evidence.iter().filter_map(|fact| match fact {
        Evidence::UpstreamExited { owner, exit } => Some((owner, exit)),
        _ => None,
    });
    exits.max_by_key(|(_, exit)| exit.is_abnormal())
}

fn sentence(failure: &Failure) -> String {
    let left = if failure.phase == Phase::Request {
        "and the request got no answer"
    } else {
        "and the connection broke"
    };
    match crash(failure) {
        Some((owner, exit)) => format!(
            "The upstream crashed: {}, which held the connection, {} at that moment, {left}.",
            who(owner),
            ended(exit)
        ),
        None => format!(
            "The upstream crashed: the process that served {} ended, {left}.",
            words::upstream(failure)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Class;
    use crate::rule::samples::{failure, refined, request, upstream_exited};

    fn crashed(cause: Cause, phase: Phase, evidence: Vec<Evidence>) -> Failure {
        let mut failure = Failure {
            phase,
            evidence,
            ..failure(cause)
        };
        crate::rule::refine(&mut failure);
        failure
    }

    #[test]
    fn a_crash_at_that_moment_is_why() {
        let facts = vec![request(true), upstream_exited(Some("SIGSEGV"), None)];
        for (cause, class) in [
            (Cause::ResetBeforeResponse, Class::Reset),
            (Cause::ClosedBeforeResponse, Class::Closed),
            (Cause::KeepaliveRace, Class::Reset),
        ] {
            let failure = crashed(cause, Phase::Request, facts.clone());
            assert_eq!(
                (failure.cause, failure.class),
                (Cause::UpstreamCrashed, class)
            );
            assert_eq!(
                sentence(&failure),
                "The upstream crashed: php-fpm8.2[4090] (php8.2-fpm.service), which held the \
                 connection, was killed by SIGSEGV at that moment, and the request got no answer."
            );
        }
        let facts = vec![Evidence::NothingSent, upstream_exited(None, Some(1))];
        let failure = crashed(Cause::ClosedAfterAccept, Phase::Idle, facts);
        assert_eq!(failure.cause, Cause::UpstreamCrashed);
        assert!(sentence(&failure).ends_with(
            "which held the connection, exited with code 1 at that moment, and the connection broke."
        ));
    }

    #[test]
    fn an_end_that_was_asked_for_is_no_crash() {
        for exit in [
            upstream_exited(Some("SIGTERM"), None),
            upstream_exited(None, Some(0)),
            upstream_exited(None, Some(143)), // 128 + SIGTERM, as a JVM ends
            upstream_exited(None, None),
        ] {
            let facts = vec![request(true), exit];
            let failure = refined(Cause::ClosedBeforeResponse, facts);
            assert_eq!(failure.cause, Cause::ClosedBeforeResponse);
        }
    }

    #[test]
    fn a_race_without_a_request_stays_one() {
        let facts = vec![upstream_exited(Some("SIGKILL"), None)];
        let failure = crashed(Cause::KeepaliveRace, Phase::Idle, facts);
        assert_eq!(failure.cause, Cause::KeepaliveRace);
    }
}
