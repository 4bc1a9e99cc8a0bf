//! What the live suite needs of the machine, and what to do when it is not there.

use std::path::Path;

use nix::unistd::Uid;

use crate::agent;

const PROGRAMS: [(&str, &str); 8] = [
    ("/usr/sbin/nginx", "nginx-light"),
    (
        "/usr/lib/nginx/modules/ngx_stream_module.so",
        "libnginx-mod-stream",
    ),
    ("/usr/sbin/haproxy", "haproxy"),
    ("/usr/sbin/apache2", "apache2-bin"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/bpftool", "bpftool"),
    ("/usr/bin/setpriv", "util-linux"),
];

/// One line for each thing that is missing, with what to do about it.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !Uid::effective().is_root() {
        missing.push("not root: namespaces and eBPF need it; run `sudo cargo xtask test`".into());
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("no /dev/net/tun: run `modprobe tun`".into());
    }
    for (file, package) in PROGRAMS {
        if !Path::new(file).exists() {
            missing.push(format!(
                "no {file}: `cargo xtask test` installs the package {package}"
            ));
        }
    }
    if !agent::binary().exists() {
        missing.push(format!(
            "no {}: run `cargo xtask test`, or `cargo build --release`, or set GW502_BIN",
            agent::binary().display()
        ));
    }
    missing
}
