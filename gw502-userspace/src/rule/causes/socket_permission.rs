//! `socket-permission`: the proxy may not connect to the unix socket.

use super::symptoms;
use crate::event::{Cause, Evidence, Failure};
use crate::rule::words::{find, proxy, upstream};
use crate::rule::{Page, Rule, Step};

pub(super) static RULE: Rule = Rule {
    cause: Cause::SocketPermission,
    condition: None,
    telling: |fact| {
        matches!(
            fact,
            Evidence::SocketFile { .. } | Evidence::ConnectedAs { .. }
        )
    },
    page: Page {
        title: "the proxy may not connect to the unix socket",
        symptom: &[
            "nginx: 502, [crit] `connect() to unix:… failed (13: Permission denied)`",
            symptoms::UNIX_HAPROXY,
            symptoms::UNIX_APACHE,
        ],
        kernel_saw: &[
            "connect() returned EACCES (or EPERM).",
            "It takes write permission on the socket and search permission on each directory above.",
        ],
        reasons: &[
            "The socket belongs to the program's own user, and its mode shuts others out.",
            "A directory above it has no x for the proxy's user.",
            "The program made the file again at its restart, with its default owner and mode.",
            "SELinux or AppArmor forbids it although owner and mode would do.",
        ],
        check: &[
            Step::new(
                "namei -l {path}",
                "owner and mode of the socket and each directory above",
            ),
            Step::new(
                "grep -E '^(Uid|Gid|Groups):' /proc/{proxy_pid}/status",
                "who the proxy's process is: real, effective, saved and file-system id",
            ),
            Step::new(
                "ausearch -m AVC -ts recent",
                "what SELinux denied (AppArmor: `journalctl -k -g apparmor`)",
            ),
        ],
        fix: &[
            Step::new(
                "chgrp {proxy_gid} {path} && chmod 0660 {path}",
                "lets the proxy in until the program makes the file again; the next steps make it last",
            ),
            Step::app(
                "php-fpm",
                "listen.group = www-data",
                "php-fpm's pool: the proxy's group, with `listen.mode = 0660`; then reload php-fpm",
            ),
            Step::app(
                "gunicorn",
                "gunicorn --umask 007 --group www-data --bind unix:{path}",
                "gunicorn: a socket for its group, and the proxy's user in that group",
            ),
            Step::new(
                "systemctl edit --full NAME.socket    # [Socket] SocketGroup=… SocketMode=0660",
                "with socket activation systemd makes the file",
            ),
            Step::new(
                "usermod -aG GROUP USER",
                "or put the proxy's user into the socket's group, then restart the proxy",
            ),
        ],
    },
    sentence,
};

fn sentence(failure: &Failure) -> String {
    let file = find(failure, |fact| match fact {
        Evidence::SocketFile { mode, uid, gid } => {
            Some(format!("the socket has mode {mode}, uid {uid}, gid {gid}"))
        }
        _ => None,
    });
    let runs_as = find(failure, |fact| match fact {
        Evidence::ConnectedAs { uid, gid } => {
            Some(format!("the proxy runs as uid {uid}, gid {gid}"))
        }
        _ => None,
    });
    let why: Vec<_> = file.into_iter().chain(runs_as).collect();
    let colon = if why.is_empty() { "" } else { ": " };
    format!(
        "{} may not connect to {}{colon}{}.",
        proxy(failure),
        upstream(failure),
        why.join(", and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::samples::over_unix;

    #[test]
    fn it_says_whose_the_socket_is_and_who_came() {
        let mut failure = over_unix(Cause::SocketPermission);
        assert_eq!(
            sentence(&failure),
            "nginx may not connect to unix:/run/php.sock."
        );
        failure.evidence = vec![Evidence::ConnectedAs { uid: 33, gid: 33 }];
        assert_eq!(
            sentence(&failure),
            "nginx may not connect to unix:/run/php.sock: the proxy runs as uid 33, gid 33."
        );
        failure.evidence.push(Evidence::SocketFile {
            mode: "0660".to_owned(),
            uid: 0,
            gid: 0,
        });
        assert_eq!(
            sentence(&failure),
            "nginx may not connect to unix:/run/php.sock: the socket has mode 0660, uid 0, gid 0, \
             and the proxy runs as uid 33, gid 33."
        );
    }
}
