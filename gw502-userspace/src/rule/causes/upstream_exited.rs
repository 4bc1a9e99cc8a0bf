//! `upstream-exited`: nothing listens there since the process that did has ended.

use super::no_listener::nothing_listens;
use crate::event::{Cause, Evidence, Failure, Upstream};
use crate::rule::words::{self, Time, ended, who};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::UpstreamExited,
    condition: Some(Condition {
        refines: &[Cause::Refused, Cause::NoListener],
        holds: |failure| nothing_listens(failure) && exited_last(failure) && !has_moved(failure),
    }),
    telling: words::is_listeners_end,
    page: Page {
        title: "the process that listened there has ended",
        symptom: &[
            "nginx: 502, `connect() failed (111: Connection refused) while connecting to upstream`",
            "HAProxy: 503, termination state SC; Apache and Envoy: 503; Caddy: 502",
            "It begins at one moment, for all requests to this upstream.",
        ],
        kernel_saw: &[
            "RST answered the SYN: no socket of this host listens there.",
            "The process that listened there before has ended; its exit code or signal is the evidence.",
            "`OOM` means that the kernel's OOM killer had marked it.",
        ],
        reasons: &[
            "SIGKILL with OOM: the host, or the memory limit of its cgroup, had no memory left.",
            "SIGSEGV, SIGABRT, SIGBUS: it crashed; there may be a core dump.",
            "An exit code other than 0: it ended itself over an error; its last log lines say which.",
            "SIGTERM or code 0: somebody stopped it, or a deployment is restarting it.",
        ],
        check: &[
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "its last words, and what systemd says of its end",
            )
            .or("journalctl _PID={gone_pid} -n 50 --no-pager"),
            Step::new(
                "systemctl status --no-pager {unit}",
                "whether it is coming back",
            ),
            Step::new(
                "journalctl -k -g 'oom|Out of memory' -n 20 --no-pager",
                "what the OOM killer killed, and for whose memory",
            ),
            Step::new(
                "coredumpctl info {gone_pid} --no-pager",
                "the crash, if it left a core dump (systemd-coredump)",
            ),
        ],
        fix: &[
            Step::new("systemctl restart {unit}", "starts it again")
                .or("docker restart {container}"),
            Step::new(
                "systemctl edit {unit}    # [Service] Restart=on-failure, MemoryMax=…",
                "lets systemd restart it, and gives it the memory that it needs",
            ),
            Step::app(
                "php-fpm",
                "pm.max_children = N",
                "php-fpm: as many children as fit in memory",
            ),
            Step::app(
                "php-fpm",
                "pm.max_requests = 500",
                "php-fpm: a new child after so many requests, before a leak fills the memory",
            ),
        ],
    },
    sentence,
};

/// Whether the last who listened there has ended: of several, only the last one counts.
fn exited_last(failure: &Failure) -> bool {
    last_end(failure).is_some_and(|(_, has_ended)| has_ended)
}

/// The last end of a listener there, and whether its process has ended.
fn last_end(failure: &Failure) -> Option<(&Evidence, bool)> {
    let ends = failure.evidence.iter().filter_map(|fact| match fact {
        Evidence::ListenerExited { ago_us, .. } => Some((fact, true, *ago_us)),
        Evidence::ListenerClosed { ago_us, ended, .. } => Some((fact, *ended, *ago_us)),
        _ => None,
    });
    let last = ends.min_by_key(|(_, _, ago_us)| *ago_us);
    last.map(|(fact, has_ended, _)| (fact, has_ended))
}

/// Whether it came back since, and listens on another port.
fn has_moved(failure: &Failure) -> bool {
    let Upstream::Tcp(upstream) = failure.upstream else {
        return false;
    };
    words::has(
        failure,
        |fact| matches!(fact, Evidence::ListenerElsewhere { listens, .. } if listens.port != upstream.port),
    )
}

fn sentence(failure: &Failure) -> String {
    match last_end(failure) {
        Some((
            Evidence::ListenerExited {
                owner,
                exit,
                ago_us,
            },
            _,
        )) => format!(
            "The upstream is gone: {}, which listened here, {} {} before.",
            who(owner),
            ended(exit),
            Time(*ago_us)
        ),
        Some((Evidence::ListenerClosed { owner, ago_us, .. }, true)) => format!(
            "The upstream is gone: {} stopped listening here {} before, and has ended.",
            who(owner),
            Time(*ago_us)
        ),
        _ => format!(
            "The upstream is gone: the process that listened on {} has ended.",
            words::upstream(failure)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{
        elsewhere_on, listener_closed, listener_exited, listener_present, refined, rst_to_syn,
    };

    #[test]
    fn a_listener_that_ended_is_why_nothing_listens() {
        let gone = |more: &[Evidence]| {
            let facts = [&[rst_to_syn(), Evidence::NoListener], more].concat();
            refined(Cause::Refused, facts)
        };
        let failure = gone(&[listener_exited("SIGKILL", true, 1_820_334)]);
        assert_eq!(failure.cause, Cause::UpstreamExited);
        assert_eq!(
            sentence(&failure),
            "The upstream is gone: php-fpm8.2[4090] (php8.2-fpm.service), which listened here, \
             was killed by SIGKILL (OOM) 1.8 s before."
        );
        let back = gone(&[listener_exited("SIGTERM", false, 9), listener_present(0)]);
        assert_eq!(back.cause, Cause::Refused);
    }

    #[test]
    fn who_listened_there_after_it_counts_more() {
        let facts = |closed_us| {
            vec![
                rst_to_syn(),
                Evidence::NoListener,
                listener_exited("SIGTERM", false, 2_000_000),
                listener_closed(closed_us),
            ]
        };
        let after = refined(Cause::Refused, facts(1_000_000));
        assert_eq!(after.cause, Cause::NoListener);
        let before = refined(Cause::Refused, facts(3_000_000));
        assert_eq!(before.cause, Cause::UpstreamExited);
    }

    #[test]
    fn who_closed_its_listener_in_good_order_has_ended_too() {
        let mut closed = listener_closed(12_500);
        if let Evidence::ListenerClosed { ended, .. } = &mut closed {
            *ended = true;
        }
        let failure = refined(
            Cause::Refused,
            vec![rst_to_syn(), Evidence::NoListener, closed],
        );
        assert_eq!(failure.cause, Cause::UpstreamExited);
        assert_eq!(
            sentence(&failure),
            "The upstream is gone: gunicorn[5120] (api.service) stopped listening here 12.5 ms before, and has \
             ended."
        );
    }

    #[test]
    fn who_came_back_on_another_port_is_elsewhere() {
        for (port, cause) in [
            (8081, Cause::ListenerElsewhere),
            (8080, Cause::UpstreamExited),
        ] {
            let facts = vec![
                rst_to_syn(),
                Evidence::NoListener,
                listener_exited("SIGTERM", false, 9),
                elsewhere_on(port),
            ];
            assert_eq!(refined(Cause::Refused, facts).cause, cause, "{port}");
        }
    }
}
