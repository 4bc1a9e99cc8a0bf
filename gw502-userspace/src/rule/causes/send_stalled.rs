//! `send-stalled`: the upstream stopped reading the request until the proxy gave up.

use crate::event::{Cause, Evidence, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::SendStalled,
    condition: None,
    telling: |fact| matches!(fact, Evidence::Unsent { .. }),
    page: Page {
        title: "the upstream stopped reading the request",
        symptom: &[
            "nginx: 504, `upstream timed out (110: …) while sending request to upstream`",
            "HAProxy 2.6: 504 sH, or closed with sD; 3.0: 502 SH",
            "Apache: 504, AH01084; Envoy and Caddy wait",
            "It hits uploads; small requests go well.",
        ],
        kernel_saw: &[
            "The connection is there, and the upstream acknowledges what it gets, but its window is closed: its receive buffer is full, and the program does not read.",
            "The rest of the request waited on this host for a second or more; then the proxy closed.",
        ],
        reasons: &[
            "The program reads the body only after something slow, or never (it hangs).",
            "It writes the upload to a slow or full disk.",
            "All workers are busy, and the connection still waits for accept().",
        ],
        check: &[
            Step::new(
                "{in_netns}ss -tnoi dst {endpoint}",
                "Send-Q waits here; `persist` is the timer of a closed window",
            ),
            Step::new(
                "ss -tnp 'sport = :{port}'",
                "on the upstream's host: a large Recv-Q is what the program has not read",
            ),
            Step::new(
                "df -h /tmp /var/tmp",
                "on the upstream's host: room for uploads",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "proxy_send_timeout 120s;",
                "nginx: more patience between two writes (60 s by default)",
            ),
            Step::proxy("haproxy", "timeout server 120s", "HAProxy: more patience"),
            Step::new(
                "read the body before the slow work",
                "in the program: or answer 413 early and close after reading",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let waited = words::find(failure, |fact| match fact {
        Evidence::Unsent { bytes } => Some(format!("{bytes} B of it waited")),
        _ => None,
    });
    format!(
        "{} stopped reading the request ({}), and {} gave up after {}.",
        words::upstream(failure),
        waited.unwrap_or_else(|| "the rest of it waited".to_owned()),
        words::proxy(failure),
        words::took(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::failure;

    #[test]
    fn it_says_how_much_waited() {
        let mut failure = failure(Cause::SendStalled);
        failure.elapsed_us = 5_000_000;
        failure.evidence = vec![Evidence::Unsent { bytes: 65_536 }];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 stopped reading the request (65536 B of it waited), and nginx gave up \
             after 5.0 s."
        );
    }
}
