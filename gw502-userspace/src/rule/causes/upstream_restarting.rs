//! `upstream-restarting`: refusals between a listener's end and its return. Known once it is back,
//! so the diagnosis alone names it; the single event says `upstream-exited`.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{self, Time, ended, who};
use crate::rule::{Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::UpstreamRestarting,
    condition: None,
    telling: |fact| {
        matches!(
            fact,
            Evidence::ListenerExited { .. } | Evidence::ListenerClosed { .. }
        )
    },
    page: Page {
        title: "the upstream restarted, and refused connections meanwhile",
        symptom: symptoms::REFUSED,
        kernel_saw: &[
            "RST answered the SYNs from the moment the listening socket closed to the moment when a new one listened on the same address and port.",
            "Only the diagnosis says so: the single events are `upstream-exited` or `no-listener`.",
        ],
        reasons: &[
            "A deployment or `systemctl restart`: the old process ends before the new one listens.",
            "The process crashes again and again, and its supervisor restarts it.",
            "The OOM killer or a memory limit ends it each time it has grown.",
        ],
        check: &[
            Step::new(
                "systemctl show -p NRestarts,Result,Restart,RestartUSec {unit}",
                "how often systemd restarted it, why it ended, and how long systemd waits",
            ),
            Step::new(
                "journalctl -u {unit} --since {since} --no-pager",
                "what it said before each end",
            )
            .or("journalctl -u {unit} -n 50 --no-pager"),
        ],
        fix: &[
            Step::new(
                "systemctl reload {unit}",
                "many servers change code or configuration without closing their socket",
            ),
            Step::new(
                "systemctl edit --full --force NAME.socket    # [Socket] ListenStream={port}",
                "socket activation: systemd keeps the socket, connects wait and are not refused",
            )
            .or("systemctl edit --full --force NAME.socket    # [Socket] ListenStream=…"),
            Step::proxy(
                "nginx",
                "upstream NAME { server A; server B; }",
                "two instances, restarted one after the other: nginx tries the other one",
            ),
            Step::proxy(
                "haproxy",
                "retries 3 with option redispatch",
                "HAProxy retries each second, the last time on another server",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let upstream = words::upstream(failure);
    let exit = words::find(failure, |fact| match fact {
        Evidence::ListenerExited {
            owner,
            exit,
            ago_us,
        } => Some((owner, exit, *ago_us)),
        _ => None,
    });
    match exit {
        Some((owner, exit, ago_us)) => format!(
            "{upstream} refused connections while it restarted: {}, which listened here, {} {} \
             before.",
            who(owner),
            ended(exit),
            Time(ago_us)
        ),
        None => format!("{upstream} refused connections while it restarted."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{failure, listener_exited};

    #[test]
    fn it_says_what_ended() {
        let mut failure = failure(Cause::UpstreamRestarting);
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 refused connections while it restarted."
        );
        failure.evidence = vec![listener_exited("SIGTERM", false, 300_000)];
        assert_eq!(
            sentence(&failure),
            "10.2.0.7:8080 refused connections while it restarted: php-fpm8.2[4090] \
             (php8.2-fpm.service), which listened here, was killed by SIGTERM 300.0 ms before."
        );
    }
}
