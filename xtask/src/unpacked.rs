//! Programs that are fetched once, unpacked in our cache and never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xtask::{pins, toolchain};

use crate::debian::Apt;

/// Fetches the receivers that are not there, each with its own libraries. Returns the folder that
/// holds a folder of each, named like its package.
pub(crate) fn receivers() -> Result<PathBuf> {
    let (suite, packages) = pins::RECEIVERS;
    let all = cache("receivers")?;
    for pins::Unpacked { package, whole } in packages {
        once(&all.join(package.name), |apt, unpacked| {
            println!("fetching {} (not installed: {})", package.name, package.why);
            Apt::new(apt, suite)?.unpack(&[package.name], *whole, unpacked)
        })?;
    }
    Ok(all)
}

/// A folder of our cache.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let cache = toolchain::cache().context("no place for a cache: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join(name))
}

/// Has `fill` fill `folder`, unless that was done before. It is there whole or not at all.
pub(crate) fn once(folder: &Path, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().context("the cache has no parent folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
    let lock =
        fs::File::create(parent.join("unpacked.lock")).context("cannot create a lock file")?;
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
