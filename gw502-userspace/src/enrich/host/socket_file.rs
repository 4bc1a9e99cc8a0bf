//! A unix socket that the proxy may not use: who may, and who tried.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::event::{Evidence, Proxy};
use crate::kernel::root::KernelRoot;

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// The socket's mode and owner, and whom the proxy runs as.
pub(super) fn evidence(root: &KernelRoot, proxy: &Proxy, path: &str) -> Vec<Evidence> {
    // As the proxy sees it: it may live in a mount namespace of its own.
    let seen_from = if path.starts_with('/') { "root" } else { "cwd" };
    let file = root
        .proc(format!("{}/{seen_from}", proxy.pid))
        .join(path.trim_start_matches('/'));
    let socket = fs::metadata(file).ok().map(|found| Evidence::SocketFile {
        mode: format!("{:04o}", found.mode() & PERMISSIONS),
        uid: found.uid(),
        gid: found.gid(),
    });
    let status = fs::read_to_string(root.proc(format!("{}/status", proxy.pid)));
    let user = status.ok().and_then(|status| {
        Some(Evidence::ConnectedAs {
            uid: effective(&status, "Uid:")?,
            gid: effective(&status, "Gid:")?,
        })
    });
    socket.into_iter().chain(user).collect()
}

/// The second of the four ids of a line of `/proc/PID/status`: real, effective, saved, file system.
fn effective(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_id_is_the_second() {
        let status = "Name:\tnginx\nUid:\t1\t33\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!(effective(status, "Uid:"), Some(33));
        assert_eq!(effective(status, "Gid:"), Some(6));
        assert_eq!(effective("Uid:\t1\n", "Uid:"), None);
    }
}
