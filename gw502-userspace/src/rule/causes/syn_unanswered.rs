//! `syn-unanswered`: SYNs got no answer until the kernel or the proxy gave up.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::SynUnanswered,
    condition: None,
    telling: |fact| matches!(fact, Evidence::NoAnswer { .. }),
    page: Page {
        title: "nothing answered the connect",
        symptom: symptoms::CONNECT_TIMEOUT,
        kernel_saw: &[
            "SYNs went out, again after 1 s, 2 s, 4 s …, and neither SYN-ACK, RST nor ICMP came back.",
            "The proxy gave up when its connect time-out was over, or the kernel after its retries.",
        ],
        reasons: &[
            "A firewall or security group drops the SYN, or the answer to it, on the way.",
            "The host is down or its address is wrong, behind a router that does not say so.",
            "The upstream's accept queue is full: its kernel then ignores SYNs.",
            "The way back is another one (asymmetric routing), and something there drops the answer.",
            "systemd's `IPAddressDeny=` of the proxy's or the upstream's unit: it drops in silence.",
        ],
        check: &[
            Step::new(
                "{in_netns}ip route get {address}",
                "which way the packets go, and with which source address",
            ),
            Step::new(
                "{in_netns}tcpdump -nni any host {address} and tcp port {port}",
                "what leaves and what comes back; run it on the upstream's host too",
            ),
            Step::new(
                "{in_netns}curl -sv --connect-timeout 5 -o /dev/null http://{endpoint}/",
                "whether it is still so",
            ),
            Step::new(
                "nstat -az TcpExtListenOverflows TcpExtListenDrops",
                "on the upstream's host: if it grows, the accept queue is full",
            ),
            Step::new(
                "nft list ruleset | grep -n drop",
                "on the upstream's host and between: rules that drop",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "proxy_connect_timeout 3s;",
                "nginx: give up sooner than after 60 s, and try the next server",
            ),
            Step::proxy(
                "haproxy",
                "timeout connect 3s",
                "HAProxy: give up sooner, and retry on another server (`option redispatch`)",
            ),
            Step::proxy(
                "envoy",
                "connect_timeout: 3s",
                "Envoy: the same, in the cluster",
            ),
            Step::proxy(
                "caddy",
                "transport http { dial_timeout 1s }",
                "Caddy: 3 s is its default",
            ),
            Step::proxy(
                "apache2",
                "ProxyPass / http://{endpoint}/ connectiontimeout=3",
                "Apache: the same",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let syns = words::find(failure, |fact| match fact {
        Evidence::NoAnswer { syns_sent } => Some(*syns_sent),
        _ => None,
    });
    let what = match syns {
        Some(1) => "1 SYN".to_owned(),
        Some(syns) => format!("{syns} SYNs"),
        None => "the SYN".to_owned(),
    };
    format!(
        "Nothing answered {what} to {} in {}, and {} gave up.",
        words::upstream(failure),
        words::took(failure),
        words::who_gave_up(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Party;
    use crate::rule::samples::failure;

    #[test]
    fn it_counts_the_syns_and_says_who_gave_up() {
        let mut failure = failure(Cause::SynUnanswered);
        failure.elapsed_us = 3_000_000;
        failure.evidence = vec![
            Evidence::NoAnswer { syns_sent: 2 },
            Evidence::GaveUp { by: Party::Proxy },
        ];
        assert_eq!(
            sentence(&failure),
            "Nothing answered 2 SYNs to 10.2.0.7:8080 in 3.0 s, and nginx gave up."
        );
        failure.evidence = vec![
            Evidence::NoAnswer { syns_sent: 1 },
            Evidence::GaveUp { by: Party::Kernel },
        ];
        assert_eq!(
            sentence(&failure),
            "Nothing answered 1 SYN to 10.2.0.7:8080 in 3.0 s, and the kernel gave up."
        );
    }
}
