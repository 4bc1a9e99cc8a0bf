//! `demo`: the main job of gw502 on a machine that has nothing yet.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{run, setup};

/// Sets up, builds, and becomes `gw502 demo`.
///
/// We replace ourselves with gw502 and do not wait for it: signals, terminal and exit code are
/// then its own, with nothing in between to lose them.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    setup::ebpf()?;
    run::release(&["gw502-userspace"])?;
    let gw502 = run::gw502();
    let by_hand = format!("sudo {} demo", gw502.display());
    let mut command = run::as_root(gw502.as_os_str(), &by_hand)?;
    let error = command.arg("demo").args(args).exec();
    Err(error).with_context(|| format!("cannot run `{}`", gw502.display()))
}
