//! `reset-mid-request`: RST while part of the request was acknowledged and part was not.

use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ResetMidRequest,
    condition: None,
    telling: words::is_upstreams_side,
    page: Page {
        title: "the upstream reset the connection while the request was still being sent",
        symptom: &[
            "nginx: 502, `writev() failed (104: Connection reset by peer) while sending request`",
            "HAProxy 2.6: closed with SD; 3.0: 502 SH; where a 413 came first, it is passed on",
            "Apache: 502, (104) with AH01084 and AH01097; Envoy: 503 UC",
            "Caddy: 502, `write: connection reset by peer`",
            "It hits uploads; small requests go well.",
        ],
        kernel_saw: &[
            "Part of the request was acknowledged, part was not or had not even left; a RST came.",
            "No byte of an answer was received: where the upstream answered 413, nginx lost it.",
        ],
        reasons: &[
            "The body is larger than the upstream allows, and it closes without reading the rest.",
            "The program answers early (401, 413) and closes instead of reading on.",
            "The worker was killed or crashed in the middle of an upload.",
        ],
        check: &[
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "whether the program says that a body was too large",
            ),
            Step::new(
                "{in_netns}curl -sv -o /dev/null --data-binary @FILE http://{endpoint}/PATH",
                "the same upload without the proxy: curl shows an early answer",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "client_max_body_size 10m;",
                "nginx: refuse with a proper 413 what the upstream would refuse (1m by default)",
            ),
            Step::proxy(
                "haproxy",
                "http-request deny status 413 if { req.body_size gt 10485760 }",
                "HAProxy: the same",
            ),
            Step::app(
                "php-fpm",
                "php_admin_value[post_max_size] = 64M",
                "php-fpm: allow larger bodies (upload_max_filesize for a single file)",
            ),
            Step::new(
                "read the rest of the body before closing",
                "in the program: then the proxy gets its 413",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    format!(
        "{} reset the connection while the request was still being sent{}.",
        words::upstream(failure),
        words::upstreams_side(failure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Evidence;
    use crate::rule::samples::{failure, gunicorn};

    #[test]
    fn it_says_who_it_was() {
        let mut failure = failure(Cause::ResetMidRequest);
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 reset the connection while the request was still being sent."
        );
        failure.evidence = vec![Evidence::UpstreamProcess { owner: gunicorn() }];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 reset the connection while the request was still being sent: \
             gunicorn[5120] (api.service) held the other end."
        );
    }
}
