//! What the live suite needs of the machine, and what to do when it is not there.

use std::env;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;

use crate::{agent, app};

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

/// App servers, which the scenarios alone need.
const APPS: [(&str, &str); 2] = [
    ("/usr/bin/node", "nodejs"),
    ("/usr/bin/gunicorn", "gunicorn"),
];

/// Prometheus, which the trials of the agent's metrics alone need.
const SCRAPERS: [(&str, &str); 2] = [
    ("/usr/bin/promtool", "prometheus"),
    ("/usr/bin/prometheus", "prometheus"),
];

/// One line for each app server that is missing, with what to do about it.
#[must_use]
pub fn missing_apps() -> Vec<String> {
    let php = app::php_fpm().is_none();
    let php = php.then(|| absent("/usr/sbin/php-fpm*", "php-fpm"));
    missing_of(&APPS).chain(php).collect()
}

/// The same for Prometheus.
#[must_use]
pub fn missing_scrapers() -> Vec<String> {
    missing_of(&SCRAPERS).collect()
}

/// How long the soak is to take, where somebody asked for it: `$GW502_SOAK_MINUTES`.
#[must_use]
pub fn soak() -> Option<Duration> {
    let minutes = env::var_os("GW502_SOAK_MINUTES")?;
    let minutes: u64 = minutes.to_str()?.parse().ok()?;
    Some(Duration::from_secs(60 * minutes))
}

fn missing_of(programs: &[(&str, &str)]) -> impl Iterator<Item = String> {
    let gone = programs
        .iter()
        .filter(|(file, _)| !Path::new(file).exists());
    gone.map(|(file, package)| absent(file, package))
}

fn absent(file: &str, package: &str) -> String {
    format!("no {file}: `cargo xtask test` installs the package {package}")
}

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
    missing.extend(missing_of(&PROGRAMS));
    if !agent::binary().exists() {
        missing.push(format!(
            "no {}: run `cargo xtask test`, or `cargo build --release`, or set GW502_BIN",
            agent::binary().display()
        ));
    }
    missing
}
