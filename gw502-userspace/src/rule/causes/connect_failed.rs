//! `connect-failed`: `connect()` failed on this host with an errno that says no more.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ConnectFailed,
    condition: None,
    telling: words::none,
    page: Page {
        title: "connect() failed on this host, with an errno that says no more",
        symptom: &[
            "nginx: 502, `connect() to … failed (N: …)`: the number is the errno",
            "HAProxy: 503, termination state SC; Envoy: 503 UF; Apache: 503; Caddy: 502",
        ],
        kernel_saw: &["connect() returned the errno shown; nothing was sent."],
        reasons: &[
            "EPROTOTYPE: the unix socket is of another type (a datagram socket, such as a log's).",
            "EAFNOSUPPORT: the address is of a family that this host or socket does not have (IPv6).",
            "EADDRNOTAVAIL: the namespace has no address of that family or scope: a container without IPv6 whose upstream is `::1`, or a name with an AAAA record.",
            "EINVAL: a link-local address (fe80::…) without the interface that it is to be reached by.",
            "Another errno: errno(3) and connect(2) say what it means.",
        ],
        check: &[
            Step::new(
                "ss -xlp",
                "listening unix sockets: u_str is a stream, u_dgr a datagram socket",
            ),
            Step::new(
                "{in_netns}sysctl net.ipv6.conf.all.disable_ipv6",
                "whether this namespace has IPv6 at all",
            ),
            Step::new(
                "{in_netns}ip -brief address",
                "the addresses that it has, of each family",
            ),
            Step::new(
                "strace -f -p {proxy_pid} -e trace=socket,connect",
                "the calls themselves; it slows the proxy down, so only for some seconds",
            ),
        ],
        fix: &[Step::new(
            "gw502 trace --cause connect-failed --output json",
            "keep an event: with its errno this may deserve a cause of its own, please report it",
        )],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{}'s connect to {} failed on this host{}.",
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
        let mut failure = failure(Cause::ConnectFailed);
        failure.errno = Some(Errno(91));
        assert_eq!(
            sentence(&failure),
            "nginx's connect to 10.2.0.7:8080 failed on this host (EPROTOTYPE)."
        );
    }
}
