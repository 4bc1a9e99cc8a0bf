//! `socket-missing`: the unix socket does not exist.

use super::symptoms;
use crate::event::{Cause, Failure};
use crate::rule::{Page, Rule, Step, words};

pub(super) static RULE: Rule = Rule {
    cause: Cause::SocketMissing,
    condition: None,
    telling: words::is_listeners_end,
    page: Page {
        title: "the unix socket does not exist",
        symptom: &[
            "nginx: 502, [crit] `connect() to unix:… failed (2: No such file or directory)`",
            symptoms::UNIX_HAPROXY,
            symptoms::UNIX_APACHE,
        ],
        kernel_saw: &[
            "connect() returned ENOENT (or ENOTDIR): the path leads to no file, as the proxy sees it, in its own mount namespace and root directory.",
        ],
        reasons: &[
            "The program is not running: many remove their socket when they end.",
            "The proxy or the program names another path: php8.2-fpm.sock and php8.4-fpm.sock.",
            "Its directory in /run is gone since the last boot: /run is empty then.",
            "PrivateTmp=yes, a chroot or a container: both sides have a file system of their own.",
        ],
        check: &[
            Step::new("ls -l {dir}", "what is in the directory"),
            Step::new(
                "nsenter -t {proxy_pid} -m ls -l {dir}",
                "the same as the proxy sees it",
            ),
            Step::new(
                "ss -xlp | grep {path}",
                "whether somebody listens on such a path",
            ),
            Step::new(
                "ss -xlp",
                "the unix sockets that somebody listens on: look for the right one",
            ),
            Step::new(
                "systemctl --failed --no-pager",
                "whether the program's service failed",
            ),
        ],
        fix: &[
            Step::new("systemctl restart {unit}", "starts the program again"),
            Step::new(
                "systemctl edit {unit}    # [Service] RuntimeDirectory=NAME",
                "systemd makes /run/NAME at each start, with the right owner",
            ),
            Step::proxy(
                "nginx",
                "fastcgi_pass unix:PATH;",
                "the path that the program really has (php-fpm: `listen =` of its pool)",
            ),
            Step::proxy(
                "haproxy",
                "server NAME unix@PATH",
                "the path that the program really has",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let missing = format!("{} does not exist", words::upstream(failure));
    words::with_listeners_end(failure, missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::{listener_exited, over_unix};

    #[test]
    fn it_says_who_was_there() {
        let mut failure = over_unix(Cause::SocketMissing);
        assert_eq!(sentence(&failure), "unix:/run/php.sock does not exist.");
        failure.evidence = vec![listener_exited("SIGTERM", false, 2_000_000)];
        assert_eq!(
            sentence(&failure),
            "unix:/run/php.sock does not exist: php-fpm8.2[4090] (php8.2-fpm.service), which \
             listened here, was killed by SIGTERM 2.0 s before."
        );
    }
}
