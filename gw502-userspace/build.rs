//! Builds the eBPF programs and leaves the object at `$OUT_DIR/gw502.bpf.o`.
//!
//! With `GW502_NO_BPF=1` the object is empty: enough for `cargo check`, clippy and docs on a
//! machine without the tool chain, and of course not for watching anything.
#![expect(
    clippy::print_stderr,
    reason = "cargo shows stderr of a build script that failed"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result};
use xtask::ebpf::{self, Build, CompileError, Programs};
use xtask::toolchain::{self, Compiler, Missing};

fn main() -> ExitCode {
    let Err(error) = build() else {
        return ExitCode::SUCCESS;
    };
    // cargo fails after `cargo::error` whatever we return, and with success it prints that line
    // alone, without a dump of everything this script said to it.
    if error.is::<Missing>() {
        println!("cargo::error={error}");
        return ExitCode::SUCCESS;
    }
    if let Some(CompileError { output }) = error.downcast_ref() {
        println!("cargo::error=the eBPF programs do not compile: see below");
        eprintln!("{output}");
    } else {
        println!("cargo::error={error:#}");
    }
    ExitCode::FAILURE
}

fn build() -> Result<()> {
    println!("cargo::rerun-if-env-changed=GW502_NO_BPF");
    println!("cargo::rerun-if-env-changed=XDG_CACHE_HOME");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let object = out.join("gw502.bpf.o");
    if env::var_os("GW502_NO_BPF").is_some_and(|value| value == "1") {
        return fs::write(&object, []).context("cannot write the empty eBPF object");
    }

    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .parent()
        .context("`gw502-userspace` has no parent folder")?;
    for source in ["gw502-ebpf", "gw502-common", "Cargo.toml", "Cargo.lock"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(source).display()
        );
    }
    let tools = toolchain::find()?;
    println!("cargo::rerun-if-changed={}", tools.linker.display());
    if let Compiler::Debian { rustc } = &tools.compiler {
        println!("cargo::rerun-if-changed={}", rustc.display());
    }

    let built = Build {
        programs: Programs::Gw502,
        workspace,
        target_dir: &out.join("ebpf"),
        arch: &variable("CARGO_CFG_TARGET_ARCH")?,
        log: env::var_os("CARGO_FEATURE_EBPF_LOG").is_some(),
        deny_warnings: false,
    }
    .run(&tools)?;
    for line in built.warnings.lines().filter(|line| !line.is_empty()) {
        println!("cargo::warning={line}");
    }
    ebpf::copy(&built, Path::new(&object))
}

fn variable(name: &str) -> Result<String> {
    env::var_os(name)
        .and_then(|value| value.into_string().ok())
        .with_context(|| format!("cargo did not set `{name}`: run this through cargo"))
}
