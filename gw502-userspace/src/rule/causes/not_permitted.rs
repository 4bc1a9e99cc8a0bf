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
            "nginx: 502, [crit] `connect() to … failed (13: Permission denied)`",
            "nginx: `(1: Operation not permitted)` where a firewall rule on output drops",
            "HAProxy: 503, termination state SC; Envoy: 503 UF; Apache: 503, (13); Caddy: 502",
        ],
        kernel_saw: &["connect() returned EACCES or EPERM: nothing was sent, nobody was asked."],
        reasons: &[
            "SELinux: `httpd_can_network_connect` is off, so nginx, Apache and others may not connect.",
            "AppArmor forbids the network to the proxy's profile.",
            "systemd's `IPAddressDeny=` or another BPF program of its cgroup.",
            "A `prohibit` route (EACCES), or a firewall rule on output (EPERM).",
        ],
        check: &[
            Step::new("getenforce", "whether SELinux enforces"),
            Step::new("ausearch -m AVC -ts recent", "what SELinux denied"),
            Step::new(
                "journalctl -k -g 'apparmor.*DENIED' -n 20 --no-pager",
                "what AppArmor denied",
            ),
            Step::new(
                "systemctl show -p IPAddressDeny,IPAddressAllow,RestrictAddressFamilies {proxy_unit}",
                "what systemd denies to the service",
            ),
            Step::new(
                "{in_netns}ip route get {address}",
                "`Permission denied` here: it is a prohibit route",
            ),
            Step::new(
                "{in_netns}nft list ruleset | grep -nE 'hook output|drop|reject'",
                "rules on output",
            ),
        ],
        fix: &[
            Step::new(
                "setsebool -P httpd_can_network_connect 1",
                "SELinux: nginx and Apache may connect (HAProxy: haproxy_connect_any)",
            ),
            Step::new(
                "systemctl edit {proxy_unit}    # [Service] IPAddressAllow={address}",
                "systemd: lets the service reach the upstream",
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
