//! `peer-vanished`: data stayed unacknowledged, or keep-alive probes unanswered.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::PeerVanished,
    condition: None,
    telling: |fact| {
        matches!(
            fact,
            Evidence::Retransmitted { .. } | Evidence::ProbesUnanswered { .. }
        )
    },
    page: Page {
        title: "the upstream's host fell silent on an open connection",
        symptom: symptoms::READ_TIMEOUT,
        kernel_saw: &[
            "The connection was established; then data was sent again and again, and nothing acknowledged it. A slow program does not do that: its kernel acknowledges for it.",
            "The proxy gave up, or the kernel after its retries (ETIMEDOUT).",
        ],
        reasons: &[
            "The host crashed, lost its power or its network, or its virtual machine is paused.",
            "A firewall, NAT or load balancer forgot the connection while it was idle, and drops it.",
            "The path drops large packets (MTU): small requests pass, large ones never.",
            "The address moved to another host (fail-over) that does not know the connection.",
        ],
        check: &[
            Step::new(
                "{in_netns}ss -tnoi dst {endpoint}",
                "`retrans`, `backoff` and the timer of connections that hang now",
            ),
            Step::new(
                "{in_netns}ip route get {address}",
                "which way the packets go, and with which MTU (`ip route show cache` for learnt ones)",
            ),
            Step::new(
                "{in_netns}ping -c 3 -M do -s 1472 {address}",
                "whether packets of 1500 bytes get there (IPv4); -s 1400 as a comparison",
            ),
            Step::new(
                "{in_netns}ip neigh show {address}",
                "on the own link: the hardware address, and whether it answers",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "proxy_socket_keepalive on;",
                "nginx: the kernel probes idle connections, so that nobody forgets them",
            ),
            Step::proxy(
                "haproxy",
                "option srvtcpka",
                "HAProxy: the same; `srvtcpka-idle 60s` says after how long",
            ),
            Step::new(
                "{in_netns}sysctl -w net.ipv4.tcp_keepalive_time=60",
                "the first probe after 60 s rather than 2 h, for sockets that ask for probes",
            ),
            Step::new(
                "{in_netns}sysctl -w net.ipv4.tcp_mtu_probing=1",
                "finds a smaller packet size when large ones vanish",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let unanswered = words::find(failure, |fact| match fact {
        Evidence::Retransmitted { times } => Some(format!("{times} retransmissions")),
        Evidence::ProbesUnanswered { probes } => Some(format!("{probes} probes")),
        _ => None,
    });
    format!(
        "{} fell silent: nothing acknowledged {}, and {} gave up after {}.",
        words::upstream(failure),
        unanswered.unwrap_or_else(|| "what was sent".to_owned()),
        words::who_gave_up(failure),
        words::took(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Party;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_what_was_not_acknowledged() {
        let mut failure = failure(Cause::PeerVanished);
        failure.elapsed_us = 15_300_000;
        failure.evidence = vec![
            Evidence::Retransmitted { times: 6 },
            Evidence::GaveUp { by: Party::Kernel },
        ];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 fell silent: nothing acknowledged 6 retransmissions, and the kernel \
             gave up after 15.3 s."
        );
    }
}
