//! Debian packages: which are missing, and installing those.
//!
//! Nothing is ever removed (`--no-remove`), and no service that comes with a package is left
//! running or enabled: somebody who wants to test gw502 did not ask for a web server on port 80.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use xtask::pins::Package;

use crate::run;

/// Runs as root; arguments: the packages. In shell, because it must clean up also when a
/// Ctrl-C ends us in the middle, and because one `sudo` then does it all.
const INSTALL: &str = include_str!("install.sh");

/// This machine cannot get the packages at all: no apt, or an archive without them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Installs those of `packages` that are missing, saying so once for each.
pub(crate) fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|Package { name, .. }| !is_installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|Package { name, .. }| *name).collect();
    if !Path::new("/usr/bin/apt-get").is_file() {
        let why = format!("this machine has no apt to install {}", names.join(" "));
        bail!(Unavailable(why));
    }
    let by_hand = format!(
        "sudo apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    // Before anything is announced that we may not do.
    run::as_root(OsStr::new("true"), &by_hand)?;

    let mut updated = false;
    if names.iter().any(|name| !has_candidate(name)) {
        update(&by_hand)?;
        updated = true;
        let unknown: Vec<&str> = names
            .iter()
            .copied()
            .filter(|n| !has_candidate(n))
            .collect();
        if !unknown.is_empty() {
            let why = format!("this machine's package sources lack {}", unknown.join(" "));
            bail!(Unavailable(why));
        }
    }
    for Package { name, why } in missing {
        println!("installing {name} (Debian package: {why})");
    }
    let first = attempt(&names, &by_hand);
    if first.is_err() && !updated {
        // The lists may be older than the archive, which keeps only newest versions.
        update(&by_hand)?;
        return attempt(&names, &by_hand);
    }
    first
}

fn attempt(names: &[&str], by_hand: &str) -> Result<()> {
    let mut command = run::as_root(OsStr::new("/bin/sh"), by_hand)?;
    command.args(["-c", INSTALL, "gw502-install"]).args(names);
    quietly(&mut command).with_context(|| format!("cannot install {}", names.join(" ")))
}

fn update(by_hand: &str) -> Result<()> {
    println!("updating the package lists");
    let mut command = run::as_root(OsStr::new("apt-get"), by_hand)?;
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300", "update"]);
    quietly(&mut command).context("cannot update the package lists")
}

/// Runs a command whose output matters only when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot start it")?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default();
    bail!("{}, last lines:\n{}", output.status, tail.join("\n"))
}

fn is_installed(name: &str) -> bool {
    ask("dpkg-query", &["-W", "-f=${Status}", name]).is_some_and(|text| says_installed(&text))
}

/// `Status` is three words: what is wanted, whether it is broken, how far it is.
fn says_installed(status: &str) -> bool {
    status.ends_with(" ok installed")
}

fn has_candidate(name: &str) -> bool {
    ask("apt-cache", &["policy", name]).is_some_and(|text| says_candidate(&text))
}

fn says_candidate(policy: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"))
        .any(|version| version.trim() != "(none)")
}

fn ask(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_package_is_missing() {
        assert!(says_installed("install ok installed"));
        assert!(says_installed("hold ok installed"));
        assert!(!says_installed("deinstall ok config-files"));
        assert!(!says_installed("install ok half-configured"));
    }

    #[test]
    fn a_package_without_candidate_cannot_be_installed() {
        assert!(says_candidate(
            "nginx:\n  Installed: (none)\n  Candidate: 1.22.1-9\n"
        ));
        assert!(!says_candidate(
            "nginx:\n  Installed: (none)\n  Candidate: (none)\n"
        ));
        assert!(!says_candidate(""));
    }
}
