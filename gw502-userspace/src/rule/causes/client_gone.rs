//! `client-gone`: the proxy cancelled because its client left. Not a failure.

use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ClientGone,
    condition: None,
    telling: |fact| matches!(fact, Evidence::ClientLeft),
    page: Page {
        title: "the proxy gave up because its client had left: not a failure",
        symptom: &[
            "nginx: 499 in the access log; HAProxy: a termination state that begins with C",
            "Envoy: flag DC. Nobody gets a 502: the client is gone.",
        ],
        kernel_saw: &[
            "The proxy closed a connection that nothing was wrong with yet, right after one of its own clients had closed or reset its connection to it.",
        ],
        reasons: &[
            "A person went on or closed the page; a mobile client lost its network.",
            "The client's own time-out is shorter than the upstream is fast.",
            "A load balancer in front gave up on the proxy.",
        ],
        check: &[
            Step::new(
                "gw502 trace --include-aborted --class aborted",
                "how many, and after how long: a wait that recurs is a client's time-out",
            ),
            Step::proxy(
                "nginx",
                "grep ' 499 ' /var/log/nginx/access.log | tail",
                "which requests: are they the slow ones?",
            ),
        ],
        fix: &[
            Step::new(
                "gw502 explain response-timeout",
                "if clients leave because the upstream is slow",
            ),
            Step::proxy(
                "nginx",
                "proxy_ignore_client_abort on;",
                "nginx: lets the upstream finish although the client has left",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} cancelled after {}: its client had left. {} did nothing wrong.",
        words::proxy(failure),
        words::took(failure),
        words::upstream(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn nobody_is_blamed() {
        assert_eq!(
            sentence(&failure(Cause::ClientGone)),
            "nginx cancelled after 0.2 ms: its client had left. 10.2.0.7:8080 did nothing wrong."
        );
    }
}
