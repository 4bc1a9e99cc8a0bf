//! `bench`: sets the machine up, builds what is measured, and becomes the benchmark.
//!
//! The measuring itself is the package `gw502-bench`: it needs root, which cargo must not have, and
//! aya, which must not become a part of every build of gw502, whose build script uses this crate.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use xtask::ebpf::{self, Build, Programs};
use xtask::toolchain;

use crate::{run, setup};

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = args.iter().find(|arg| *arg != "--quick") {
        bail!("`bench` takes `--quick` or nothing, and not `{unknown}`");
    }
    setup::ebpf()?;
    setup::bench()?;
    run::release(&["gw502-userspace", "gw502-bench"])?;
    let target = run::target_dir();
    let empty = target.join("bench-empty.bpf.o");
    let object = Build {
        programs: Programs::Empty,
        workspace: run::workspace(),
        target_dir: &target.join("ebpf-bench"),
        arch: std::env::consts::ARCH,
        log: false,
        deny_warnings: false,
    }
    .run(&toolchain::find()?)?;
    ebpf::copy(&object, &empty)?;

    let bench = target.join("release/gw502-bench");
    let mut command = run::as_root(bench.as_os_str(), "sudo -v && cargo xtask bench")?;
    command.arg("run").arg("--gw502").arg(run::gw502());
    command.arg("--empty").arg(&empty);
    command.arg("--json").arg(target.join("bench.json"));
    command.args(args);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run `{}`", bench.display()))
}
