//! Kernel modules: which ones, in which order. The packages come without the `modules.dep` that an
//! installation makes; the modules themselves say what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::fetch::named;

/// A module as the guest gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// The object that the kernel loads.
    pub(super) object: Vec<u8>,
}

/// The modules `wanted` and what they depend on, each after what it depends on. Those that are no
/// modules of this kernel are left out.
pub(super) fn in_order(files: &[PathBuf], wanted: &[&str]) -> Result<Vec<Module>> {
    let by_name: BTreeMap<String, &Path> = files
        .iter()
        .map(|file| (name(file), file.as_path()))
        .collect();
    let mut order = Order {
        by_name,
        seen: BTreeSet::new(),
        modules: Vec::new(),
    };
    for name in wanted {
        order.add(name)?;
    }
    Ok(order.modules)
}

struct Order<'a> {
    by_name: BTreeMap<String, &'a Path>,
    seen: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Order<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        let Some(file) = self.by_name.get(name).copied() else {
            return Ok(());
        };
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let object = object(file)?;
        for dependency in depends(&object) {
            self.add(&dependency)?;
        }
        self.modules.push(Module {
            name: name.to_owned(),
            object,
        });
        Ok(())
    }
}

/// Names of modules have dashes in file names alone.
fn name(file: &Path) -> String {
    let name = named(file);
    let stem = name.split_once(".ko").map_or(name, |(stem, _)| stem);
    stem.replace('-', "_")
}

fn object(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|ending| ending != "xz") {
        return std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()));
    }
    let output = Command::new("xz")
        .arg("-dc")
        .arg(file)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run xz")?;
    if !output.status.success() {
        bail!("xz cannot unpack `{}`", file.display());
    }
    Ok(output.stdout)
}

/// The line `depends=a,b` in the module's own description, a list of C strings.
fn depends(object: &[u8]) -> Vec<String> {
    let line = object
        .split(|byte| *byte == 0)
        .find_map(|line| line.strip_prefix(b"depends="));
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    line.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_depends_on() {
        assert_eq!(
            depends(b"\x7fELF\0license=GPL\0depends=nf-tables,x\0"),
            ["nf_tables", "x"]
        );
        assert!(depends(b"license=GPL\0depends=\0").is_empty());
    }

    #[test]
    fn what_is_depended_on_comes_first_and_once() {
        let folder = std::env::temp_dir().join(format!("gw502-modules-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let files = [
            file("a.ko", "\0depends=b,c-d\0"),
            file("b.ko", "\0depends=c-d\0"),
            file("c-d.ko", "\0depends=\0"),
            file("e.ko", "\0depends=\0"),
        ];
        let modules = in_order(&files, &["a", "built_in"]).unwrap();
        let names: Vec<_> = modules.into_iter().map(|module| module.name).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names, ["c_d", "b", "a"]);
    }
}
