//! `not-permitted`: EPERM or EACCES from this host.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::NotPermitted,
    condition: None,
    telling: words::none,
    page: Page {
        title: "this host forbids the proxy to connect",
        symptom: &[
            "nginx: 502, [crit] `connect() to … failed (13: Permission denied)`, or (1: …)",
            "HAProxy: 503, termination state SC; Envoy: 503 UF; Apache: 503, (13); Caddy: 502",
        ],
        kernel_saw: &["connect() returned EACCES or EPERM: nothing was sent, nobody was asked."],
        reasons: &[
            "SELinux: `httpd_can_network_connect` is off, so nginx, Apache and others may not connect.",
            "AppArmor forbids the network to the proxy's profile.",
            "A `prohibit` route (EACCES).",
            "A BPF program on connect() of its cgroup (EPERM). What a seccomp filter forbids is not seen.",
            "Not a firewall rule on output: TCP sends the SYN again then, which is syn-unanswered.",
        ],
        check: &[
            Step::new("getenforce", "whether SELinux enforces"),
            Step::new("ausearch -m AVC -ts recent", "what SELinux denied"),
            Step::new(
                "journalctl -k -g 'apparmor.*DENIED' -n 20 --no-pager",
                "what AppArmor denied",
            ),
            Step::new(
                "{in_netns}ip route get {address}",
                "`Permission denied` here: it is a prohibit route",
            ),
            Step::new(
                "bpftool cgroup tree",
                "programs on connect (connect4, connect6) of the proxy's cgroup and those above",
            ),
            Step::new(
                "systemctl show -p SystemCallFilter,RestrictAddressFamilies {proxy_unit}",
                "what systemd forbids to the service",
            ),
        ],
        fix: &[
            Step::new(
                "setsebool -P httpd_can_network_connect 1",
                "SELinux: nginx and Apache may connect (HAProxy: haproxy_connect_any)",
            ),
            Step::new(
                "{in_netns}ip route del prohibit {address}",
                "if it is a route; as `ip route show table all` writes it",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "This host forbids {} to connect to {}{}.",
        words::proxy(failure),
        words::upstream(failure),
        words::errno(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Errno;
    use crate::rule::samples::failure;

    #[test]
    fn it_gives_the_errno() {
        let mut failure = failure(Cause::NotPermitted);
        failure.errno = Some(Errno(13));
        assert_eq!(
            sentence(&failure),
            "This host forbids nginx to connect to 10.2.0.7:8080 (EACCES)."
        );
    }
}
