//! Receivers: programs of Debian, unpacked and run by their own loader.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;

const PACKAGES: [&str; 5] = [
    "rsyslog",
    "syslog-ng-core",
    "systemd",
    "victoria-metrics",
    "python3-opentelemetry-proto",
];

/// Where they are: a folder of each package.
fn folder() -> PathBuf {
    if let Some(folder) = env::var_os("GW502_RECEIVERS") {
        return folder.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("gw502/receivers")
}

/// One line for each thing that is missing, with what to do about it.
pub(crate) fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !Uid::effective().is_root() {
        missing.push("not root: namespaces need it; run `sudo cargo xtask test`".to_owned());
    }
    for package in PACKAGES {
        let folder = folder().join(package);
        if !folder.is_dir() {
            missing.push(format!(
                "no {}: run `cargo xtask test`, or set GW502_RECEIVERS",
                folder.display()
            ));
        }
    }
    missing
}

/// A file of a package.
pub(crate) fn file(package: &str, path: &str) -> PathBuf {
    folder().join(package).join(path)
}

/// A program of a package, with the package's libraries and those in `more`.
pub(crate) fn command(package: &str, program: &str, more: &[&str]) -> Command {
    let words = words(package, program, more);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// The same as words.
pub(crate) fn words(package: &str, program: &str, more: &[&str]) -> Vec<String> {
    let shown = |path: &Path| path.display().to_string();
    let libraries = file(package, "usr/lib/x86_64-linux-gnu");
    let more = more.iter().map(|path| shown(&file(package, path)));
    let path: Vec<_> = [shown(&libraries)].into_iter().chain(more).collect();
    vec![
        shown(&libraries.join("ld-linux-x86-64.so.2")),
        "--library-path".to_owned(),
        path.join(":"),
        shown(&file(package, program)),
    ]
}

/// Whether somebody has the port, in the network namespace of this thread.
pub(crate) fn listens(protocol: &str, port: u16) -> bool {
    let text = |end| fs::read_to_string(format!("/proc/thread-self/net/{protocol}{end}"));
    let text = text("").unwrap_or_default() + &text("6").unwrap_or_default();
    let port = format!(":{port:04X}");
    // 0A is LISTEN; UDP knows no such state.
    text.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.len() > 3 && words[1].ends_with(&port) && (protocol == "udp" || words[3] == "0A")
    })
}
