//! `response-timeout`: request sent, no byte of answer, and the proxy closed after waiting.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, who};
use crate::rule::{Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ResponseTimeout,
    condition: None,
    telling: |fact| matches!(fact, Evidence::RequestSent { .. }),
    page: Page {
        title: "the upstream is slower than the proxy's patience",
        symptom: symptoms::READ_TIMEOUT,
        kernel_saw: &[
            "The connection was established and the request went out; no byte of an answer came.",
            "The proxy closed: its wait is a whole number of seconds, or recurs among its waits, as a configured time-out does; no client of it had just left.",
        ],
        reasons: &[
            "The request is slow: a database, another service, a lock, a large export.",
            "All workers are busy, and the request waits for one inside the program.",
            "The program hangs: a dead lock, a blocked event loop, a full disk or log pipe.",
            "The proxy's time-out is shorter than the slowest honest request.",
        ],
        check: &[
            Step::new(
                "ss -tnp 'sport = :{port}'",
                "on the upstream's host: Recv-Q above 0 is a request that the program has not read",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what the program was busy with",
            ),
            Step::new("top -H -p {pid}", "whether its threads work or wait"),
            Step::app(
                "php-fpm",
                "request_slowlog_timeout = 5s",
                "php-fpm: writes where each slow request was to the pool's `slowlog = FILE`",
            ),
            Step::app(
                "gunicorn",
                "py-spy dump --pid {pid}",
                "where each thread of it is (py-spy is a package of its own)",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "proxy_read_timeout 120s;",
                "nginx: 60 s by default; fastcgi_read_timeout, uwsgi_read_timeout, grpc_read_timeout",
            ),
            Step::proxy("haproxy", "timeout server 120s", "HAProxy: in the backend"),
            Step::proxy(
                "apache2",
                "ProxyTimeout 120",
                "Apache: `Timeout` (60 s) by default",
            ),
            Step::proxy(
                "envoy",
                "route: { timeout: 120s }",
                "Envoy: 15 s by default",
            ),
            Step::proxy(
                "caddy",
                "transport http { response_header_timeout 120s }",
                "Caddy: waits for ever by default",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --timeout 120 --threads M",
                "gunicorn: a sync worker that is silent for so long (30 s) is killed",
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

fn sentence(failure: &Failure) -> String {
    let process = words::find(failure, |fact| match fact {
        Evidence::UpstreamProcess { owner } => Some(format!(" ({})", who(owner))),
        _ => None,
    });
    format!(
        "The upstream is slower than the proxy's patience: {}{} gave no byte of answer in {}, and \
         {} gave up.",
        words::upstream(failure),
        process.unwrap_or_default(),
        words::took(failure),
        words::proxy(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{failure, gunicorn};

    #[test]
    fn it_says_how_long_the_proxy_waited() {
        let mut failure = failure(Cause::ResponseTimeout);
        failure.elapsed_us = 60_000_000;
        assert_eq!(
            sentence(&failure),
            "The upstream is slower than the proxy's patience: 10.2.0.7:8080 gave no byte of \
             answer in 60.0 s, and nginx gave up."
        );
        failure.evidence = vec![Evidence::UpstreamProcess { owner: gunicorn() }];
        assert!(sentence(&failure).contains("10.2.0.7:8080 (gunicorn[5120] (api.service)) gave"));
    }
}
