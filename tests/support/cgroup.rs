//! A cgroup (v2) of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::deadline;
use crate::scratch;

/// Removed when dropped, after whatever is in it has ended.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
    path: PathBuf,
}

impl Cgroup {
    /// Makes one below the root of the hierarchy.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let mount = mount_point();
        sweep(&mount);
        let name = scratch::unique_name();
        let path = mount.join(&name);
        fs::create_dir(&path).expect("root may make a cgroup");
        Self { name, path }
    }

    /// Its name below the root of the hierarchy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes one two levels below it.
    #[must_use]
    #[track_caller]
    pub fn descendant(&self) -> PathBuf {
        let path = self.path.join("child").join("grandchild");
        fs::create_dir_all(&path).expect("root may make a cgroup");
        path
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It stays busy until the last process in it is gone.
        let removed = deadline::holds_within(Duration::from_secs(3), || remove(&self.path));
        assert!(
            removed || thread::panicking(),
            "cannot remove the cgroup {}",
            self.path.display()
        );
    }
}

/// Where the hierarchy of version 2 is mounted.
#[track_caller]
fn mount_point() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").expect("the kernel lists its mounts");
    let mut lines = mounts.lines().map(|line| line.split(' '));
    lines
        .find_map(|mut fields| {
            let at = fields.nth(1)?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(at))
        })
        .expect("a cgroup2 hierarchy: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

/// Removes the cgroups of runs that have ended.
fn sweep(mount: &Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_str()
            .is_some_and(scratch::is_left_over)
        {
            remove(&entry.path());
        }
    }
}

/// Removes a cgroup with those below it, and says whether it is gone. The files in it are not
/// removed but go with it.
fn remove(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok()
}
