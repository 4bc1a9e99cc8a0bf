//! Directories for a test's files, named after the run that owns them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::tolerate;

/// Starts the name of every namespace and directory of the bench.
pub const PREFIX: &str = "gw502t";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name no other test and no other run has: `gw502t-<pid>-<n>`.
#[must_use]
pub fn unique_name() -> String {
    format!(
        "{PREFIX}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Whether `name` was given by [`unique_name`] in a run that has ended.
#[must_use]
pub fn is_left_over(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse().ok())
        .is_some_and(|pid: u32| !runs(pid))
}

/// Whether the process is there and not a zombie that nobody waits for.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (name) state …`; the name may hold anything, parentheses too.
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// A directory that everyone may read, removed with its contents when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new one in the system's temporary directory.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique_name());
        fs::create_dir(&path).expect("a new directory in the temporary directory");
        // Proxy workers and the unprivileged gw502 run as nobody.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("permissions of our own directory");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of `name` inside it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it and returns its path.
    #[track_caller]
    pub fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, contents).expect("a file in our own directory");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: the next run sweeps what is left.
        tolerate(fs::remove_dir_all(&self.0));
    }
}

/// Removes the directories of runs that have ended.
pub fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_str().is_some_and(is_left_over) {
            tolerate(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_left_over, unique_name};

    #[test]
    fn names_of_this_run_are_not_left_over() {
        assert!(!is_left_over(&unique_name()));
    }

    #[test]
    fn names_of_an_ended_run_are_left_over() {
        // Above the kernel's largest process id.
        assert!(is_left_over("gw502t-99999999-3"));
    }

    #[test]
    fn names_of_others_are_never_ours() {
        assert!(!is_left_over("gw502t-demo"));
        assert!(!is_left_over("cni-1234"));
    }
}
