//! `house`: rules of ours that no compiler checks.

mod layers;
mod members;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::run;

/// A rule broken somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Breach {
    /// File, relative to the workspace.
    file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    line: usize,
    /// What is wrong and what to do.
    what: String,
}

/// The verb.
pub(crate) fn run() -> Result<ExitCode> {
    check().map(|()| ExitCode::SUCCESS)
}

/// Checks all rules and prints each breach.
///
/// # Errors
///
/// When there is any, or a file cannot be read.
pub(crate) fn check() -> Result<()> {
    let top = run::workspace();
    let manifest = read(&top.join("Cargo.toml"))?;
    let mut breaches = Vec::new();
    let members = members::list(&manifest);
    if members.is_empty() {
        bail!("the house rules found no members in `Cargo.toml`: has its form changed?");
    }
    for member in members {
        let folder = top.join(&member);
        let file = format!("{member}/Cargo.toml");
        breaches.extend(members::check(&file, &read(&folder.join("Cargo.toml"))?));
        let mut sources = Vec::new();
        collect(&folder, &mut sources)?;
        for source in sources {
            let name = source
                .strip_prefix(top)
                .unwrap_or(&source)
                .display()
                .to_string();
            let text = read(&source)?;
            breaches.extend(text::check(&name, &text));
            breaches.extend(layers::check(&name, &text));
        }
    }
    for Breach { file, line, what } in &breaches {
        println!("{file}:{line}: {what}");
    }
    match breaches.len() {
        0 => Ok(()),
        1 => bail!("1 house rule is broken"),
        count => bail!("{count} house rules are broken"),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// All .rs files below `folder`, in order; fixtures are data, not ours to judge.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("cannot list `{}`", folder.display());
    let mut entries = fs::read_dir(folder)
        .with_context(context)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(context)?;
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "fixtures" | "target") {
                collect(&path, into)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_crate_keeps_the_rules_of_text() {
        let mut sources = Vec::new();
        collect(&run::workspace().join("xtask"), &mut sources).unwrap();
        assert!(sources.len() > 5, "{sources:?}");
        for source in sources {
            let name = source.display().to_string();
            assert_eq!(text::check(&name, &read(&source).unwrap()), []);
        }
    }
}
