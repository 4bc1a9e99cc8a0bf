//! Commands of other programs: where we are, who we are, and how to start them.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use xtask::ebpf;

/// Top of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty());
    // Joining an absolute path gives that path.
    workspace().join(set.unwrap_or_else(|| "target".into()))
}

/// The release build of gw502, made or not.
pub(crate) fn gw502() -> PathBuf {
    target_dir().join("release").join("gw502")
}

/// cargo at the top of the workspace.
pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    let mut command = Command::new(ebpf::cargo());
    command.args(args).current_dir(workspace());
    command
}

/// Builds packages of the workspace as they are released.
///
/// # Errors
///
/// When one does not build; the compiler has said why.
pub(crate) fn release(packages: &[&str]) -> Result<()> {
    let mut build = cargo(["build", "--release"]);
    for package in packages {
        build.args(["--package", package]);
    }
    let status = build.status().context("cannot run cargo")?;
    if !status.success() {
        let names = packages.join(" or ");
        bail!("{names} does not build: what the compiler said is above");
    }
    Ok(())
}

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the tools: nothing here is replayed"
    )]
    Instant::now()
}

/// Whether we are root.
///
/// # Errors
///
/// When /proc is not there to ask.
pub(crate) fn is_root() -> Result<bool> {
    let own = std::fs::metadata("/proc/self").context("cannot ask `/proc/self` who we are")?;
    Ok(own.uid() == 0)
}

/// `program` as root: directly, or through sudo when it asks no password.
///
/// # Errors
///
/// When we are not root and sudo would ask; the message says to run `by_hand`.
pub(crate) fn as_root(program: &OsStr, by_hand: &str) -> Result<Command> {
    if is_root()? {
        return Ok(Command::new(program));
    }
    if !sudo_works() {
        bail!("this takes root, and sudo is not there or asks for a password: run `{by_hand}`");
    }
    let mut command = Command::new("sudo");
    command.arg("-n").arg("--").arg(program);
    Ok(command)
}

/// Whether sudo lets us without a password.
pub(crate) fn sudo_works() -> bool {
    let quiet = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}
