//! Debian packages that are unpacked and never installed: an apt of our own, beside the machine's.
//!
//! It has one source, lists of its own and an empty list of installed packages. apt checks the
//! signatures as always.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use xtask::pins::Suite;

/// Debian's own signatures.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt for one suite of Debian.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: PathBuf,
    suite: Suite,
}

impl Apt {
    /// Makes it in `folder`, with fresh lists.
    pub(crate) fn new(folder: &Path, suite: Suite) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part)
                .with_context(|| format!("cannot create `{}`", part.display()))?;
        }
        let Suite { archive, name } = suite;
        let source = format!(
            "deb [arch=amd64 signed-by={KEYRING}] http://deb.debian.org/{archive} {name} main\n"
        );
        for (file, text) in [("sources.list", source.as_str()), ("status", "")] {
            fs::write(folder.join(file), text)
                .with_context(|| format!("cannot write to `{}`", folder.display()))?;
        }
        let apt = Self {
            folder: folder.to_owned(),
            suite,
        };
        apt.says("apt-get", &["-q", "update"])?;
        Ok(apt)
    }

    /// The names of all packages that begin so.
    pub(crate) fn names(&self, stem: &str) -> Result<Vec<String>> {
        let names = self.says("apt-cache", &["pkgnames", stem])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The names of the packages that this one depends on.
    pub(crate) fn dependencies(&self, name: &str) -> Result<Vec<String>> {
        let text = self.says("apt-cache", &["show", "--no-all-versions", name])?;
        Ok(dependencies(&text))
    }

    /// Fetches these packages, and with `whole` all that they depend on, and unpacks them to
    /// `folder`.
    pub(crate) fn unpack(&self, names: &[&str], whole: bool, folder: &Path) -> Result<()> {
        let archives = self.folder.join("cache/archives");
        if whole {
            let install = ["-q", "-y", "--download-only", "--no-install-recommends"];
            self.says("apt-get", &[&install[..], &["install"], names].concat())?;
        } else {
            let mut download = self.command("apt-get", &["-q", "download"]);
            download.args(names).current_dir(&archives);
            output(&mut download)?;
        }
        for entry in fs::read_dir(&archives).context("apt left no packages")? {
            let package = entry.context("cannot list the packages")?.path();
            if package.extension().is_some_and(|ending| ending == "deb") {
                output(Command::new("dpkg-deb").arg("-x").args([&package, folder]))?;
            }
        }
        Ok(())
    }

    fn says(&self, program: &str, args: &[&str]) -> Result<String> {
        output(&mut self.command(program, args)).with_context(|| {
            let Suite { archive, name } = self.suite;
            format!("cannot fetch from {archive} {name}")
        })
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures::=amd64".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // The machine may be set up to throw away what was fetched.
            "APT::Keep-Downloaded-Packages=true".to_owned(),
            // The lock is the machine's, which we do not touch.
            "Debug::NoLocking=1".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.args(args);
        command
    }
}

/// Runs a command; its output matters to a person only when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{}", output.status, complaint.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The newest of the names that begin with `stem` and end with `flavour`.
pub(crate) fn newest<'a>(names: &'a [String], stem: &str, flavour: &str) -> Option<&'a str> {
    let fits = |name: &&str| {
        name.strip_prefix(stem)
            .and_then(|rest| rest.strip_suffix(flavour))
            .is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
    };
    names
        .iter()
        .map(String::as_str)
        .filter(fits)
        .max_by(|left, right| by_numbers(left, right))
}

/// Compares the numbers in two names, one after the other.
fn by_numbers(left: &str, right: &str) -> Ordering {
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    numbers(left).cmp(&numbers(right))
}

/// The names in the field `Depends:` of what `apt-cache show` says.
fn dependencies(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("Depends: "))
        .flat_map(|line| line.split([',', '|']))
        .filter_map(|one| one.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_so_by_its_numbers() {
        let names = [
            "linux-image-6.1-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-51-cloud-amd64-dbg",
            "linux-image-6.12.0-1-cloud-amd64",
        ]
        .map(str::to_owned);
        assert_eq!(
            newest(&names, "linux-image-6.1.", "-cloud-amd64"),
            Some("linux-image-6.1.0-50-cloud-amd64")
        );
        assert_eq!(newest(&names, "linux-image-7.", "-cloud-amd64"), None);
    }

    #[test]
    fn names_without_versions_are_the_dependencies() {
        let text = "Package: a\nDepends: b (>= 1) | c, linux-modules-7 (= 7)\nSize: 1\n";
        assert_eq!(dependencies(text), ["b", "c", "linux-modules-7"]);
    }
}
