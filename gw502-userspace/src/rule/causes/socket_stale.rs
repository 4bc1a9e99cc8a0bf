//! `socket-stale`: the unix socket is there, but nobody listens on it.

use super::symptoms;
use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::SocketStale,
    condition: None,
    telling: words::is_listeners_end,
    page: Page {
        title: "nobody listens on the unix socket",
        symptom: &[
            "nginx: 502, [error] `connect() to unix:… failed (111: Connection refused)`",
            symptoms::UNIX_HAPROXY,
            symptoms::UNIX_APACHE,
        ],
        kernel_saw: &[
            "connect() returned ECONNREFUSED: the file is there, its listener is not.",
            "An abstract socket (`@name`) has no file: there it means that nobody has the name.",
        ],
        reasons: &[
            "The program crashed or was killed, and left its file behind.",
            "It has made the file, but does not listen yet: it is just starting.",
            "It is restarting: the old one has closed, the new one has not bound yet.",
        ],
        check: &[
            Step::new(
                "ss -xlp | grep {path}",
                "whether somebody listens there by now",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "why the program ended",
            )
            .or("systemctl --failed --no-pager"),
            Step::new(
                "journalctl -k -g 'oom|segfault' -n 20 --no-pager",
                "whether the kernel killed it",
            ),
        ],
        fix: &[
            Step::new(
                "systemctl restart {unit}",
                "starts the program again; it replaces the stale file",
            ),
            Step::new(
                "rm {path}",
                "if it says `address in use` and nobody listens: then start it",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let stale = format!("Nobody listens on {}", words::upstream(failure));
    words::with_listeners_end(failure, stale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Evidence, Exit};
    use crate::rule::samples::{gunicorn, listener_exited, over_unix};

    #[test]
    fn a_listener_that_ended_is_evidence_and_the_cause_stays() {
        let mut failure = over_unix(Cause::SocketStale);
        assert_eq!(sentence(&failure), "Nobody listens on unix:/run/php.sock.");
        failure.evidence = vec![
            Evidence::ConnectFailed,
            listener_exited("SIGKILL", true, 1_800_000),
        ];
        crate::rule::refine(&mut failure);
        assert_eq!(failure.cause, Cause::SocketStale);
        assert_ne!(failure.evidence.first(), Some(&Evidence::ConnectFailed));
        assert_eq!(
            sentence(&failure),
            "Nobody listens on unix:/run/php.sock: php-fpm8.2[4090] (php8.2-fpm.service), which \
             listened here, was killed by SIGKILL (OOM) 1.8 s before."
        );
    }

    #[test]
    fn an_exit_code_is_no_signal() {
        let mut failure = over_unix(Cause::SocketStale);
        failure.evidence = vec![Evidence::ListenerExited {
            owner: gunicorn(),
            exit: Exit {
                code: Some(3),
                ..Exit::default()
            },
            ago_us: 0,
        }];
        assert_eq!(
            sentence(&failure),
            "Nobody listens on unix:/run/php.sock: gunicorn[5120] (api.service), which listened \
             here, exited with code 3 0.0 ms before."
        );
    }
}
