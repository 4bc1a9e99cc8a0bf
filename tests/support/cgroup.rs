//! A cgroup of a test's own.

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
    /// Makes one below the root of the hierarchy of version 2.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let mount = unified();
        Self::below(
            &mount.expect("a cgroup2 hierarchy: mount -t cgroup2 none /sys/fs/cgroup/unified"),
        )
    }

    /// Makes one whose processes may use so much memory together, of version 2 or 1, whichever has
    /// the controller.
    #[must_use]
    #[track_caller]
    pub fn limited(bytes: u64) -> Self {
        let unified = unified().filter(|mount| {
            let controllers = fs::read_to_string(mount.join("cgroup.controllers"));
            controllers.is_ok_and(|all| all.split_whitespace().any(|one| one == "memory"))
        });
        let (cgroup, file) = if let Some(mount) = unified {
            fs::write(mount.join("cgroup.subtree_control"), "+memory")
                .expect("root may give the controller to what is below");
            (Self::below(&mount), "memory.max")
        } else {
            let mount = mounted("cgroup", "memory");
            let mount = mount.expect("a memory controller: mount -t cgroup -o memory none /mnt");
            (Self::below(&mount), "memory.limit_in_bytes")
        };
        fs::write(cgroup.path.join(file), bytes.to_string()).expect("our own cgroup");
        cgroup
    }

    /// Moves a process into it. What it has already stays charged where it was.
    #[track_caller]
    pub fn take(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).expect("a process that runs");
    }

    #[track_caller]
    fn below(mount: &Path) -> Self {
        sweep(mount);
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
fn unified() -> Option<PathBuf> {
    mounted("cgroup2", "")
}

/// Where a file system of this kind with this option is mounted.
#[track_caller]
fn mounted(kind: &str, option: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").expect("the kernel lists its mounts");
    let mut lines = mounts.lines().map(|line| line.split(' '));
    lines.find_map(|mut fields| {
        let at = fields.nth(1)?;
        let is_kind = fields.next()? == kind;
        let has_option = fields.next()?.split(',').any(|one| one == option);
        (is_kind && (option.is_empty() || has_option)).then(|| PathBuf::from(at))
    })
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
