//! `listener-elsewhere`: nothing listens there, but somebody does close by.

use super::no_listener::nothing_listens;
use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::ListenerElsewhere,
    condition: Some(Condition {
        refines: &[Cause::Refused, Cause::NoListener],
        holds: |failure| nothing_listens(failure) && words::has(failure, is_elsewhere),
    }),
    telling: is_elsewhere,
    page: Page {
        title: "the upstream listens, but not where the proxy connects to",
        symptom: symptoms::REFUSED,
        kernel_saw: &[
            "RST answered the SYN: no socket listens on that address and port.",
            "In the same network namespace a socket listens on the port at another address or family, or the program that used to listen here listens on another port.",
        ],
        reasons: &[
            "The program listens on 127.0.0.1, and the proxy connects to the host's own address.",
            "The program listens on ::1 alone, and the proxy connects to 127.0.0.1, or the reverse.",
            "`localhost` means both families: the proxy's resolver took the other one.",
            "The port was changed on one side only.",
            "A second copy found its port taken and chose the next one.",
        ],
        check: &[
            Step::new(
                "{at_upstream}ss -ltnp",
                "what listens there, and on which address: 0.0.0.0 and [::] mean all of them",
            )
            .or("ss -ltnp"),
            Step::new(
                "getent ahosts localhost",
                "which families `localhost` has, in their order",
            ),
            Step::proxy(
                "nginx",
                "nginx -T | grep -nE 'server |_pass '",
                "the addresses that nginx's configuration names",
            ),
            Step::proxy(
                "haproxy",
                "grep -nE '^ *server ' /etc/haproxy/haproxy.cfg",
                "the addresses that HAProxy's configuration names",
            ),
        ],
        fix: &[
            Step::proxy(
                "nginx",
                "server {listens};",
                "connect to where it listens, in `upstream`",
            ),
            Step::proxy(
                "haproxy",
                "server NAME {listens}",
                "connect to where it listens",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --bind {endpoint}",
                "or make gunicorn listen where the proxy connects to",
            ),
            Step::app(
                "php-fpm",
                "listen = {endpoint}",
                "or make php-fpm's pool listen where the proxy connects to",
            ),
            Step::app(
                "node",
                "server.listen({port}, '{address}')",
                "or make Node listen where the proxy connects to",
            ),
        ],
    },
    sentence,
};

const fn is_elsewhere(fact: &Evidence) -> bool {
    matches!(fact, Evidence::ListenerElsewhere { .. })
}

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    let elsewhere = words::find(failure, |fact| match fact {
        Evidence::ListenerElsewhere { listens, owner } => Some((listens, owner)),
        _ => None,
    });
    match elsewhere {
        Some((listens, owner)) => format!(
            "Nothing listens on {upstream}, but {} listens on {listens}.",
            who(owner)
        ),
        None => format!("Nothing listens on {upstream}, but somebody does close by."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{elsewhere, listener_exited, refined, rst_to_syn};

    #[test]
    fn a_listener_close_by_is_named() {
        let facts = vec![rst_to_syn(), Evidence::NoListener, elsewhere()];
        let failure = refined(Cause::Refused, facts);
        assert_eq!(failure.cause, Cause::ListenerElsewhere);
        assert_eq!(
            sentence(&failure),
            "Nothing listens on 10.2.0.7:8080, but gunicorn[5120] (api.service) listens on \
             127.0.0.1:8080."
        );
        let alone = refined(Cause::Refused, vec![rst_to_syn(), elsewhere()]);
        assert_eq!(alone.cause, Cause::Refused);
    }

    #[test]
    fn one_that_ended_here_says_more_than_one_close_by() {
        let exited = listener_exited("SIGKILL", false, 1_000_000);
        let facts = vec![rst_to_syn(), Evidence::NoListener, elsewhere(), exited];
        assert_eq!(refined(Cause::Refused, facts).cause, Cause::UpstreamExited);
    }
}
