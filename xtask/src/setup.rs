//! `setup`: installs what is missing to build the eBPF programs and to test.
//!
//! What is there is left alone and not mentioned: a second run prints nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xtask::pins::{self, Package};
use xtask::toolchain;

use crate::{apt, run};

const FAILED: &str = "cannot install the eBPF tool chain";

/// Installs the eBPF tool chain, unless one is complete.
pub(crate) fn ebpf() -> Result<()> {
    if toolchain::find().is_ok() {
        return Ok(());
    }
    if let Err(error) = apt::install(pins::EBPF_PACKAGES) {
        let nowhere = error.is::<apt::Unavailable>();
        return Err(error.context(if nowhere {
            by_hand()
        } else {
            FAILED.to_owned()
        }));
    }
    let root = toolchain::linker_root()
        .context("no place for a cache: set HOME or XDG_CACHE_HOME to a folder")?;
    linker(&root)?;
    toolchain::find()
        .map(drop)
        .context("all is installed, and still it will not do")
}

/// Installs what the live tests take.
pub(crate) fn tests() -> Result<()> {
    apt::install(pins::TEST_PACKAGES).context("cannot install what the live tests take")
}

/// Installs what the benchmark takes. The tools it compares with may be nowhere to be had: their rows
/// then say so.
pub(crate) fn bench() -> Result<()> {
    apt::install(pins::BENCH_PACKAGES).context("cannot install what the benchmark takes")?;
    match apt::install(pins::PEER_PACKAGES) {
        Err(error) if error.is::<apt::Unavailable>() => {
            println!("going on without: {error}");
            Ok(())
        }
        other => other.context("cannot install what the benchmark compares with"),
    }
}

/// Builds bpf-linker into our cache.
fn linker(root: &Path) -> Result<()> {
    let cache = root.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(cache).with_context(|| format!("cannot create `{}`", cache.display()))?;
    // Two terminals may set up at once; the second then finds the work done.
    let lock = File::create(cache.join("setup.lock")).context("cannot create a lock file")?;
    lock.lock().context("cannot lock the cache")?;
    if root.join("bin/bpf-linker").is_file() {
        return Ok(());
    }
    let version = pins::BPF_LINKER_VERSION;
    println!("building bpf-linker {version} (links the eBPF programs; a minute or two, once)");

    let llvm = PathBuf::from(format!("/usr/lib/llvm-{}", pins::LLVM_MAJOR));
    let scratch = cache.join("bpf-linker-build");
    let staged = cache.join("bpf-linker-staged");
    let features = format!("llvm-{}", pins::LLVM_MAJOR);
    let mut install = run::cargo(["install", "bpf-linker", "--version", version, "--locked"]);
    install.args([
        "--quiet",
        "--no-default-features",
        "--features",
        &features,
        "--root",
    ]);
    install.arg(&staged);
    for name in [
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        install.env_remove(name);
    }
    install
        .env("LLVM_PREFIX", &llvm)
        .env("RUSTFLAGS", format!("-L {}", llvm.join("lib").display()))
        .env("CARGO_TARGET_DIR", &scratch)
        // Not the workspace: its settings are not meant for a foreign package.
        .current_dir(cache);
    // Progress is noise here; what went wrong is not.
    let output = install.output().context("cannot run cargo")?;
    remove(&scratch)?;
    if !output.status.success() {
        remove(&staged)?;
        bail!(
            "bpf-linker does not build:\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    // In one step: a linker that is there is a whole one.
    remove(root)?;
    fs::rename(&staged, root)
        .with_context(|| format!("cannot move bpf-linker to `{}`", root.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))
}

/// Both routes, for a person whose machine we cannot serve.
fn by_hand() -> String {
    let names: Vec<_> = pins::EBPF_PACKAGES
        .iter()
        .map(|Package { name, .. }| *name)
        .collect();
    let nightly = pins::NIGHTLY;
    format!(
        "{FAILED}; take one of these ways by hand, then run this again\n\
         - with rustup: `rustup toolchain install {nightly} --component rust-src` and \
         `cargo install bpf-linker`\n\
         - on Debian 12, as root: `apt-get install {}`\n\
         because",
        names.join(" ")
    )
}
