//! `reset-before-response`: RST while a request was outstanding, no byte of its answer received.

use super::symptoms;
use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ResetBeforeResponse,
    condition: None,
    telling: words::is_upstreams_side,
    page: Page {
        title: "the upstream reset the connection instead of answering",
        symptom: symptoms::RESET,
        kernel_saw: &[
            "The connection was established, the request went out, and a RST came back.",
            "No byte of an answer to it was received.",
            "For an upstream on this host the kernel may say why it sent the RST.",
        ],
        reasons: &[
            "The program closed the socket without having read all of the request.",
            "A worker was killed before it read the request (php-fpm: request_terminate_timeout).",
            "The proxy speaks plain HTTP to a TLS port, or another protocol than the upstream.",
            "The program closes with SO_LINGER 0, or crashed.",
            "A load balancer or firewall between reset a connection that it had forgotten.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/",
                "whether a plain request is answered",
            ),
            Step::new(
                "{in_netns}curl -skv -o /dev/null https://{endpoint}/",
                "whether the port speaks TLS instead",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the program says of it",
            ),
            Step::app(
                "php-fpm",
                "grep -E 'terminat|SIGKILL|max_children' /var/log/php*-fpm.log",
                "php-fpm says which child it killed, and why",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "proxy_pass https://NAME;",
                "nginx: if the upstream speaks TLS (fastcgi_pass for php-fpm, uwsgi_pass for uWSGI)",
            ),
            Step::proxy(
                "haproxy",
                "server NAME {endpoint} ssl verify required ca-file FILE",
                "HAProxy: if the upstream speaks TLS",
            ),
            Step::app(
                "php-fpm",
                "request_terminate_timeout = 120s",
                "php-fpm: more time before a slow child is killed",
            ),
            Step::new(
                "read the whole request before closing",
                "in the program: the kernel answers unread data with RST, and the answer is lost",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} reset the connection {} after the request, before any byte of an answer{}.",
        words::upstream(failure),
        words::took(failure),
        words::upstreams_side(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Evidence;
    use crate::rule::samples::{failure, gunicorn};

    #[test]
    fn it_gives_the_upstreams_reason_where_it_is_known() {
        let mut failure = failure(Cause::ResetBeforeResponse);
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 reset the connection 0.2 ms after the request, before any byte of an \
             answer."
        );
        failure.evidence = vec![
            Evidence::UpstreamProcess { owner: gunicorn() },
            Evidence::UpstreamReset {
                reason: "TCP_ABORT_ON_CLOSE".to_owned(),
            },
        ];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 reset the connection 0.2 ms after the request, before any byte of an \
             answer: gunicorn[5120] (api.service) closed it with data unread."
        );
    }
}
