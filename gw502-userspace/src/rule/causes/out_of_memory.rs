//! `out-of-memory`: ENOBUFS or ENOMEM.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::OutOfMemory,
    condition: None,
    telling: words::none,
    page: Page {
        title: "the kernel has no memory for the connection",
        symptom: &[
            "nginx: 502, `connect() … failed (12: Cannot allocate memory)`, or (105: No buffer space)",
            "HAProxy: 503, termination state SC; Envoy: 503 UF; Apache: 503; Caddy: 502",
        ],
        kernel_saw: &["connect() returned ENOMEM or ENOBUFS: nothing was sent."],
        reasons: &[
            "The cgroup of the proxy is at its memory limit, and kernel memory counts too.",
            "The host is out of memory.",
            "IPv6: the table of routes is full (net.ipv6.route.max_size, Linux before 6.3).",
        ],
        check: &[
            Step::new(
                "cat /proc/pressure/memory",
                "how long tasks wait for memory",
            ),
            Step::new(
                "grep -E '^(TCP|sockets)' /proc/{proxy_pid}/net/sockstat",
                "sockets and pages that TCP uses, in the proxy's network namespace",
            ),
            Step::new(
                "systemctl show -p MemoryCurrent,MemoryMax,TasksCurrent {proxy_unit}",
                "the proxy's memory and its limit",
            ),
            Step::new(
                "journalctl -k -g 'out of memory|page allocation failure' -n 20 --no-pager",
                "what the kernel says of it (`dmesg` where there is no journal)",
            ),
        ],
        fix: &[
            Step::new(
                "systemctl edit {proxy_unit}    # [Service] MemoryMax=…",
                "more memory for the proxy",
            ),
            Step::new(
                "{in_netns}sysctl -w net.ipv6.route.max_size=65536",
                "room for more IPv6 routes, on kernels that have a limit",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "The kernel had no memory for {}'s connect to {}{}.",
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
        let mut failure = failure(Cause::OutOfMemory);
        failure.errno = Some(Errno(12));
        assert_eq!(
            sentence(&failure),
            "The kernel had no memory for nginx's connect to 10.2.0.7:8080 (ENOMEM)."
        );
    }
}
