//! What `vm-test` runs on, fetched once: kernels with their modules, and the emulator.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xtask::pins::{self, Kernel};
use xtask::toolchain;

use super::debian::{Apt, newest};

/// A kernel on this machine's disk.
#[derive(Debug)]
pub(super) struct Image {
    /// The kernel itself.
    pub(super) vmlinuz: PathBuf,
    /// Every module of it.
    pub(super) modules: Vec<PathBuf>,
}

/// Fetches a kernel, unless it is there.
pub(super) fn kernel(kernel: &Kernel) -> Result<Image> {
    let folder = cache("kernels")?.join(kernel.series);
    once(&folder, |apt, unpacked| {
        let apt = Apt::new(apt, kernel.suite)?;
        let names = apt.names(kernel.stem)?;
        let image = newest(&names, kernel.stem, pins::KERNEL_FLAVOUR)
            .with_context(|| format!("Debian has no `{}…` any more", kernel.stem))?;
        println!("fetching {image} (Debian package: a kernel to test on)");
        // Newer packages hold the kernel and its modules apart.
        let parts = apt.dependencies(image)?;
        let is_part =
            |name: &&str| name.starts_with("linux-binary-") || name.starts_with("linux-modules-");
        let mut packages: Vec<&str> = parts.iter().map(String::as_str).filter(is_part).collect();
        packages.push(image);
        apt.unpack(&packages, false, unpacked)
    })?;
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    let is_kernel = |file: &&PathBuf| named(file).starts_with("vmlinuz");
    let vmlinuz = files.iter().find(is_kernel).cloned();
    let is_module = |file: &PathBuf| {
        let end = file.file_name().map(Path::new).and_then(Path::extension);
        let before = file.file_stem().map(Path::new).and_then(Path::extension);
        end.is_some_and(|end| end == "ko") || before.is_some_and(|before| before == "ko")
    };
    files.retain(is_module);
    match vmlinuz {
        Some(vmlinuz) if !files.is_empty() => Ok(Image {
            vmlinuz,
            modules: files,
        }),
        _ => bail!(
            "`{}` holds no kernel with modules: remove it, then run this again",
            folder.display()
        ),
    }
}

/// Fetches the emulator, unless it is there. Returns the folder it is unpacked in.
pub(super) fn emulator() -> Result<PathBuf> {
    let folder = cache("emulator")?;
    once(&folder, |apt, unpacked| {
        let (suite, packages) = pins::EMULATOR;
        println!(
            "fetching {} (not installed: the emulator)",
            packages.join(", ")
        );
        Apt::new(apt, suite)?.unpack(packages, true, unpacked)
    })?;
    Ok(folder)
}

/// Fetches receivers for the sinks, unless they are there. Returns the folder they are unpacked in.
pub(super) fn receivers() -> Result<PathBuf> {
    let folder = cache("receivers")?;
    once(&folder, |apt, unpacked| {
        let (suite, packages) = pins::RECEIVERS;
        println!(
            "fetching {} (not installed: receivers under test)",
            packages.join(", ")
        );
        Apt::new(apt, suite)?.unpack(packages, false, unpacked)
    })?;
    Ok(folder)
}

fn cache(name: &str) -> Result<PathBuf> {
    let cache = toolchain::cache().context("no place for a cache: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join(name))
}

/// Has `fill` fill `folder`, unless that was done before. It is there whole or not at all.
fn once(folder: &Path, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
    let lock = fs::File::create(parent.join("vm.lock")).context("cannot create a lock file")?;
    lock.lock().context("cannot lock the cache")?;
    if folder.is_dir() {
        return Ok(());
    }
    let scratch = folder.with_extension("new");
    remove(&scratch)?;
    let (apt, unpacked) = (scratch.join("apt"), scratch.join("unpacked"));
    for part in [&apt, &unpacked] {
        fs::create_dir_all(part).with_context(|| format!("cannot create `{}`", part.display()))?;
    }
    fill(&apt, &unpacked)?;
    fs::rename(&unpacked, folder)
        .with_context(|| format!("cannot move what was fetched to `{}`", folder.display()))?;
    remove(&scratch)
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove `{}`", folder.display()))
}

/// Every file below `folder`, in order; links are not followed.
pub(super) fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("cannot list `{}`", folder.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).with_context(context)?.collect();
    let mut entries = entries.with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().with_context(context)?;
        if kind.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

pub(super) fn named(file: &Path) -> &str {
    file.file_name().and_then(OsStr::to_str).unwrap_or_default()
}
