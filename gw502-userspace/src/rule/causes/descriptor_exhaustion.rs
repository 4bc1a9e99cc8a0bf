//! `descriptor-exhaustion`: EMFILE or ENFILE: no descriptor left.

use crate::event::{Cause, Errno, Evidence, Failure};
use crate::rule::words::{self, proxy, upstream};
use crate::rule::{Condition, Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::DescriptorExhaustion,
    condition: Some(Condition {
        refines: &[Cause::ConnectFailed],
        holds: |failure| failure.errno.is_some_and(Errno::means_no_descriptor),
    }),
    telling: |fact| matches!(fact, Evidence::Descriptors { .. }),
    page: Page {
        title: "no file descriptor is left for the connection",
        symptom: &[
            "nginx: 500 (not 502), [alert] `socket() failed (24: Too many open files)`",
            "HAProxy: stops accepting at its maxconn, which it computes from the limit",
            "Its listening sockets accept nothing either: `accept4() failed (24: …)`",
        ],
        kernel_saw: &[
            "connect() returned ENFILE: the host has no room for another file or unix socket.",
            "A proxy at its own limit (EMFILE) fails in socket(), before there is a connection: no TCP event shows that, and gw502 sees only that attempts stop coming.",
        ],
        reasons: &[
            "The service's limit is the default of 1024, and each request takes two descriptors.",
            "Connections pile up behind a slow upstream.",
            "The proxy leaks: descriptors of deleted logs or caches, or of old workers.",
            "fs.file-max of the host is reached.",
        ],
        check: &[
            Step::new(
                "ls /proc/{proxy_pid}/fd | wc -l",
                "how many descriptors the proxy's process has",
            ),
            Step::new(
                "grep 'Max open files' /proc/{proxy_pid}/limits",
                "how many it may have",
            ),
            Step::new(
                "sysctl fs.file-nr",
                "of the whole host: in use, unused, and the limit",
            ),
        ],
        fix: &[
            Step::new(
                "systemctl edit {proxy_unit}    # [Service] LimitNOFILE=65536",
                "a higher limit for the service; then restart it",
            ),
            Step::proxy(
                "nginx",
                "worker_rlimit_nofile 65536;",
                "nginx: a higher limit for its workers, at least twice worker_connections",
            ),
            Step::proxy(
                "haproxy",
                "maxconn N",
                "HAProxy: in `global`; it needs some 2 × N + 100",
            ),
            Step::new(
                "sysctl -w fs.file-max=2097152",
                "a higher limit for the host",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let open = words::find(failure, |fact| match fact {
        Evidence::Descriptors { open, limit } => Some(format!(" ({open} of {limit} are open)")),
        _ => None,
    });
    format!(
        "No file descriptor is left for {} to connect to {}{}.",
        proxy(failure),
        upstream(failure),
        open.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::refine;
    use crate::rule::samples::failure;

    #[test]
    fn the_errno_names_it() {
        for (errno, expected) in [
            (libc::EMFILE, Cause::DescriptorExhaustion),
            (libc::ENFILE, Cause::DescriptorExhaustion),
            (91, Cause::ConnectFailed),
        ] {
            let mut failure = failure(Cause::ConnectFailed);
            failure.errno = Some(Errno(errno));
            refine(&mut failure);
            assert_eq!(failure.cause, expected);
        }
    }

    #[test]
    fn it_counts_the_descriptors() {
        let mut failure = failure(Cause::DescriptorExhaustion);
        failure.evidence = vec![Evidence::Descriptors {
            open: 1024,
            limit: 1024,
        }];
        assert_eq!(
            sentence(&failure),
            "No file descriptor is left for nginx to connect to 10.2.0.7:8080 (1024 of 1024 are \
             open)."
        );
    }
}
