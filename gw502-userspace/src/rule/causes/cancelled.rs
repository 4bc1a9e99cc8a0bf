//! `cancelled`: the proxy cancelled, why is not known. Not a failure.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::Cancelled,
    condition: None,
    telling: words::none,
    page: Page {
        title: "the proxy gave up by itself, TCP cannot tell why: not a failure",
        symptom: &[
            "Nothing, or what the proxy logs for a client that left: nginx 499, HAProxy C…, Envoy DC",
            "If the proxy's log shows a time-out at that time: see response-timeout.",
        ],
        kernel_saw: &[
            "The proxy closed a connection that nothing was wrong with yet.",
            "Its wait was no whole number of seconds, and did not recur among its waits, so that nothing says that it was a time-out of the proxy.",
        ],
        reasons: &[
            "A client took back its request by HTTP/2 or HTTP/3, which no TCP event shows.",
            "The loser of two connects at once (happy eyeballs), or a health check.",
            "A time-out with an odd value, the first three times that it is seen.",
            "The proxy reloads or stops.",
        ],
        check: &[
            Step::new(
                "gw502 trace --include-aborted --cause cancelled",
                "how many, and after how long",
            ),
            Step::new(
                "journalctl -u {proxy_unit} --since {since} --no-pager",
                "whether the proxy reloaded, or says why it closed",
            ),
        ],
        fix: &[Step::new(
            "gw502 explain response-timeout",
            "if the proxy's log says that its time was up",
        )],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} closed its connection to {} after {}; TCP cannot tell why.",
        words::proxy(failure),
        words::upstream(failure),
        words::took(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_that_it_does_not_know() {
        assert_eq!(
            sentence(&failure(Cause::Cancelled)),
            "nginx closed its connection to 10.2.0.7:8080 after 0.2 ms; TCP cannot tell why."
        );
    }
}
