//! `refused`: RST answered the SYN, and this host cannot see why.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::Refused,
    condition: None,
    telling: words::none,
    page: Page {
        title: "the upstream's host answered the connect with RST",
        symptom: &[
            "nginx: 502, `connect() failed (111: Connection refused) while connecting to upstream`",
            "HAProxy: 503, termination state SC, after its retries; Apache: 503, `(111)Connection refused`",
            "Envoy: 503 UF; Caddy: 502, `connect: connection refused`",
        ],
        kernel_saw: &[
            "The SYN went out, and a RST came back: the host is up and the way there is open.",
            "The address is not one of this host's, so who refused cannot be seen from here.",
        ],
        reasons: &[
            "The program on the other host is not running, or is just restarting.",
            "It listens on another port, or on 127.0.0.1 alone.",
            "A firewall rejects with RST, or a load balancer between has no target left.",
            "The container or pod behind the address is gone, and the proxy's list is stale.",
        ],
        check: &[
            Step::new(
                "{in_netns}curl -sv -o /dev/null http://{endpoint}/",
                "whether it still refuses, from the proxy's own network namespace",
            ),
            Step::new(
                "ss -ltnp 'sport = :{port}'",
                "on the upstream's host: whether anything listens there, and on which address",
            ),
            Step::new(
                "nft list ruleset | grep -n reject",
                "on the upstream's host and between: rules that reject (`iptables -S` for old ones)",
            ),
        ],
        fix: &[
            Step::new(
                "systemctl --failed --no-pager",
                "on the upstream's host: services that failed; `systemctl restart` starts one again",
            ),
            Step::proxy(
                "nginx",
                "proxy_next_upstream error timeout;",
                "nginx tries the next server of the upstream block meanwhile (this is its default)",
            ),
            Step::proxy(
                "haproxy",
                "option redispatch",
                "HAProxy may send the retry to another server; add `check` to the server lines",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} refused the connection with RST; why cannot be seen from this host.",
        words::upstream(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_that_it_knows_no_more() {
        assert_eq!(
            sentence(&failure(Cause::Refused)),
            "10.2.0.7:8080 refused the connection with RST; why cannot be seen from this host."
        );
    }
}
