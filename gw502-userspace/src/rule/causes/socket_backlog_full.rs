//! `socket-backlog-full`: the unix socket's backlog has no room.

use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::SocketBacklogFull,
    condition: None,
    telling: |fact| matches!(fact, Evidence::ConnectBlocked),
    page: Page {
        title: "the unix socket's backlog is full",
        symptom: &[
            "nginx: 502, `connect() to unix:… failed (11: Resource temporarily unavailable)`",
            "HAProxy: 503 SC, `can't connect to destination unix socket, check backlog size`",
            "HAProxy 3.0 may say `Out of local source ports` for it, which is misleading",
            "Apache connects blocking: the request hangs, with no log line and no status",
            "Envoy: 503 UF; Caddy: 502",
        ],
        kernel_saw: &[
            "connect() returned EAGAIN: as many connections as the backlog takes wait for accept().",
            "A blocking connect() waits instead: shown when it has not returned for three seconds.",
        ],
        reasons: &[
            "All workers are busy: a burst, or something behind them (a database) became slow.",
            "The program hangs and accepts nothing at all.",
            "The backlog is small for the traffic: php-fpm 511, uWSGI 100 by default.",
            "net.core.somaxconn cuts the backlog that the program asks for.",
        ],
        check: &[
            Step::new(
                "ss -xl src {path}",
                "Recv-Q connections wait for accept(), at most Send-Q may",
            )
            .or("ss -xl"),
            Step::new(
                "sysctl net.core.somaxconn",
                "the limit for every backlog in the namespace",
            ),
            Step::new("top -H -p {pid}", "whether its threads work or sleep").or("top -H"),
        ],
        fix: &[
            Step::app(
                "php-fpm",
                "pm.max_children = N",
                "php-fpm: more requests at once, as far as memory goes",
            ),
            Step::app(
                "php-fpm",
                "listen.backlog = 4096",
                "php-fpm: room for longer bursts",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --workers N --backlog 4096",
                "gunicorn: the same",
            ),
            Step::new(
                "sysctl -w net.core.somaxconn=4096",
                "lets backlogs be as long as asked for; restart the program after it",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    if words::has(failure, |fact| matches!(fact, Evidence::ConnectBlocked)) {
        return format!(
            "{} has been waiting for {} in connect() to {upstream}: its backlog is full.",
            words::proxy(failure),
            words::took(failure)
        );
    }
    format!("The backlog of {upstream} is full: its program does not accept fast enough.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::over_unix;

    #[test]
    fn a_connect_that_waits_is_told_from_one_that_failed() {
        let mut failure = over_unix(Cause::SocketBacklogFull);
        assert_eq!(
            sentence(&failure),
            "The backlog of unix:/run/php.sock is full: its program does not accept fast enough."
        );
        failure.evidence = vec![Evidence::ConnectBlocked];
        failure.elapsed_us = 3_050_000;
        assert_eq!(
            sentence(&failure),
            "nginx has been waiting for 3.0 s in connect() to unix:/run/php.sock: its backlog is \
             full."
        );
    }
}
