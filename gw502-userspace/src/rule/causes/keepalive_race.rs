//! `keepalive-race`: a reused connection: the upstream's FIN or RST met a new request.

use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, Time};
use crate::rule::{Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::KeepaliveRace,
    condition: None,
    telling: |fact| matches!(fact, Evidence::IdleBefore { .. }),
    page: Page {
        title: "the upstream closed an idle connection just as the proxy reused it",
        symptom: &[
            "nginx: 502 for POST, `upstream prematurely closed connection`; GET is retried",
            "HAProxy: the client's connection is closed, with no log line at all",
            "Apache: the client's connection is closed, AH01102 alone; Envoy: 503 UC",
            "Caddy: 502 `EOF` for POST; GET is retried in silence",
            "Few, all day, more when traffic is low; always on connections that were idle.",
        ],
        kernel_saw: &[
            "A connection that had carried requests before, and was idle for a while.",
            "The upstream's FIN or RST was on its way before the new request could reach it.",
            "The upstream never saw the request: it is safe to send it again.",
        ],
        reasons: &[
            "The upstream's keep-alive time is shorter than the proxy's: the proxy reuses connections that the upstream is just closing.",
            "The upstream closes after so many requests, without saying `Connection: close`.",
            "The upstream reloads or scales down, and closes its idle connections.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/ 2>&1 | grep -i keep-alive",
                "some upstreams say their limit: `Keep-Alive: timeout=5`",
            ),
            Step::proxy(
                "nginx",
                "nginx -T | grep -nE 'upstream |keepalive'",
                "nginx: pools and their limits; keepalive_timeout of an upstream is 60s by default",
            ),
            Step::proxy(
                "haproxy",
                "grep -nE 'http-reuse|pool-' /etc/haproxy/haproxy.cfg",
                "HAProxy: how it reuses connections (pool-purge-delay is 5s by default)",
            ),
        ],
        fix: &[
            Step::app(
                "node",
                "server.keepAliveTimeout = 75_000",
                "Node: longer than the proxy's (5 s by default in Node 20)",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --keep-alive 75 --worker-class gthread",
                "gunicorn: 2 s by default; sync workers keep no connection",
            ),
            Step::app(
                "uvicorn",
                "uvicorn --timeout-keep-alive 75",
                "uvicorn: 5 s by default",
            ),
            Step::app("puma", "persistent_timeout 75", "Puma: in config/puma.rb"),
            Step::proxy(
                "nginx",
                "upstream NAME { server {endpoint}; keepalive 16; keepalive_timeout 4s; }",
                "nginx: shorter than the upstream's",
            ),
            Step::proxy(
                "haproxy",
                "server NAME {endpoint} pool-purge-delay 2s",
                "HAProxy: drops idle connections sooner; `pool-max-conn 0` keeps none",
            ),
            Step::proxy(
                "haproxy",
                "retry-on conn-failure empty-response",
                "HAProxy: retries; `http-request disable-l7-retry if METH_POST` keeps POST out",
            ),
            Step::proxy(
                "apache2",
                "ProxyPass / http://{endpoint}/ ttl=4",
                "Apache: shorter than the upstream's (`disablereuse=On` reuses none)",
            ),
            Step::proxy(
                "envoy",
                "common_http_protocol_options: { idle_timeout: 4s }",
                "Envoy: shorter than the upstream's (1 h by default)",
            ),
            Step::proxy(
                "caddy",
                "transport http { keepalive 4s }",
                "Caddy: shorter than the upstream's (2 min by default)",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let idle = words::find(failure, |fact| match fact {
        Evidence::IdleBefore { idle_us } => Some(format!(", idle for {},", Time(*idle_us))),
        _ => None,
    });
    format!(
        "{} closed a reused connection{} just as {} sent a request on it.",
        words::upstream(failure),
        idle.unwrap_or_default(),
        words::proxy(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_how_long_the_connection_was_idle() {
        let mut failure = failure(Cause::KeepaliveRace);
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 closed a reused connection just as nginx sent a request on it."
        );
        failure.evidence = vec![Evidence::IdleBefore { idle_us: 5_010_000 }];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 closed a reused connection, idle for 5.0 s, just as nginx sent a request \
             on it."
        );
    }
}
