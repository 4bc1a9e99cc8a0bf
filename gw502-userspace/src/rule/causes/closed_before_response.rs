//! `closed-before-response`: FIN while a request was outstanding and no byte of answer came.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, ended, who};
use crate::rule::{Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ClosedBeforeResponse,
    condition: None,
    telling: words::is_upstreams_side,
    page: Page {
        title: "the upstream closed the connection instead of answering",
        symptom: symptoms::CLOSED,
        kernel_saw: &[
            "The connection was established, the request went out, and a FIN came back.",
            "No byte of an answer to it was received. It was no race with an idle connection's end.",
        ],
        reasons: &[
            "The program caught an error and closed without an answer.",
            "Its worker ended while it had the request: a reload, a limit of requests, a kill.",
            "The upstream is itself a proxy, and its upstream failed.",
            "It does not speak what the proxy speaks: HTTP/2, FastCGI, TLS, the PROXY protocol.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/",
                "whether a plain request is answered (`Empty reply from server` if not)",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the program says of it",
            ),
            Step::new(
                "journalctl -k -g 'oom|segfault' -n 20 --no-pager",
                "on the upstream's host: whether the kernel killed its worker",
            ),
        ],
        fix: &[
            Step::new(
                "systemctl reload {unit}",
                "to change it without ending workers that have requests (restart ends them)",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --graceful-timeout 60",
                "gunicorn: time to finish requests before workers end (30 s by default)",
            ),
            Step::app(
                "php-fpm",
                "process_control_timeout = 60s",
                "php-fpm: children finish their request on reload (0, not at all, by default)",
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

fn sentence(failure: &Failure) -> String {
    let exit = words::find(failure, |fact| match fact {
        Evidence::UpstreamExited { owner, exit } => {
            Some(format!(": {} {} at that moment", who(owner), ended(exit)))
        }
        _ => None,
    });
    format!(
        "{} closed the connection {} after the request, before any byte of an answer{}.",
        words::upstream(failure),
        words::took(failure),
        exit.unwrap_or_else(|| words::upstreams_side(failure))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{failure, upstream_exited};

    #[test]
    fn an_orderly_end_of_the_process_is_said() {
        let mut failure = failure(Cause::ClosedBeforeResponse);
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 closed the connection 0.2 ms after the request, before any byte of an \
             answer."
        );
        failure.evidence = vec![upstream_exited(Some("SIGTERM"), None)];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 closed the connection 0.2 ms after the request, before any byte of an \
             answer: php-fpm8.2[4090] (php8.2-fpm.service) was killed by SIGTERM at that moment."
        );
    }
}
