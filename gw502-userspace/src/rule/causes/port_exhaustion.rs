//! `port-exhaustion`: no local port left towards this upstream.

use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::PortExhaustion,
    condition: None,
    telling: |fact| matches!(fact, Evidence::LocalPorts { .. }),
    page: Page {
        title: "no local port is left towards this upstream",
        symptom: &[
            "nginx: 502, [crit] `connect() to … failed (99: Cannot assign requested address)`",
            "HAProxy: 503 SC, `Connect() failed for backend …: no free ports.`",
            "Apache: 503, (99); Envoy: 503 UF; Caddy: 502",
            "It comes with load, and goes with it; other upstreams go well.",
        ],
        kernel_saw: &[
            "connect() returned EADDRNOTAVAIL before anything was sent.",
            "Every port of net.ipv4.ip_local_port_range is taken towards this address and port, by open connections and by those in TIME_WAIT, which last 60 s.",
        ],
        reasons: &[
            "The proxy opens a connection for each request: no keep-alive towards the upstream.",
            "One upstream address for all traffic: 28232 ports by default are 470 connections a second.",
            "The proxy closes first, so that TIME_WAIT is on its side.",
            "`source` or `proxy_bind` ties it to one address, or the port range was made small.",
            "The address to connect from does not exist on this host (the same errno).",
        ],
        check: &[
            Step::new(
                "{in_netns}ss -tan dst {endpoint} | awk '{print $1}' | sort | uniq -c",
                "connections to this upstream by state: is it TIME-WAIT?",
            ),
            Step::new(
                "{in_netns}sysctl net.ipv4.ip_local_port_range net.ipv4.tcp_tw_reuse",
                "the range, and whether TIME_WAIT ports may be used again (1 yes, 2 loopback only)",
            ),
            Step::proxy(
                "nginx",
                "nginx -T | grep -nE 'keepalive |proxy_http_version|proxy_bind'",
                "whether nginx keeps connections to its upstreams",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "upstream NAME { server {endpoint}; keepalive 64; }",
                "nginx: with `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";`",
            ),
            Step::proxy(
                "haproxy",
                "http-reuse always",
                "HAProxy: shares connections between clients (`safe` is the default)",
            ),
            Step::new(
                "{in_netns}sysctl -w net.ipv4.ip_local_port_range='1024 65535'",
                "twice the ports; keep those that services listen on in ip_local_reserved_ports",
            ),
            Step::new(
                "{in_netns}sysctl -w net.ipv4.tcp_tw_reuse=1",
                "lets connects use ports in TIME_WAIT for more than a second (needs time stamps)",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let used = words::find(failure, |fact| match fact {
        Evidence::LocalPorts { used, range } => Some(format!(" ({used} of {range} are in use)")),
        _ => None,
    });
    format!(
        "No local port is left for a connection to {}{}.",
        words::upstream(failure),
        used.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_counts_the_ports() {
        let mut failure = failure(Cause::PortExhaustion);
        failure.evidence = vec![Evidence::LocalPorts {
            used: 28_232,
            range: 28_232,
        }];
        assert_eq!(
            sentence(&failure),
            "No local port is left for a connection to 10.2.0.7:8080 (28232 of 28232 are in use)."
        );
    }
}
