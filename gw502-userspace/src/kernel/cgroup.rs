//! A cgroup by its path: the id by which the kernel side knows it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::root::KernelRoot;

/// A cgroup (v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its id: the inode number of its directory.
    pub id: u64,
    /// Levels below the root of the hierarchy.
    pub level: u32,
}

/// Why a path is no cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup v2 hierarchy is mounted.
    #[error("no cgroup v2 hierarchy is mounted")]
    NotMounted,
    /// No such directory.
    #[error("`{}` is no directory below `{}`", path.display(), mount.display())]
    NoSuch {
        /// As given.
        path: PathBuf,
        /// Where the hierarchy is mounted.
        mount: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Looks up `path`: absolute in the file system, or from the root of the hierarchy, as systemd and
/// `/proc/PID/cgroup` write it.
pub fn find(root: &KernelRoot, path: &Path) -> Result<Cgroup, CgroupError> {
    let mounts = fs::read_to_string(root.proc("self/mounts")).unwrap_or_default();
    let mount = mount_point(&mounts).ok_or(CgroupError::NotMounted)?;
    let below = path
        .strip_prefix(&mount)
        .or_else(|_| path.strip_prefix("/"))
        .unwrap_or(path);
    let directory = mount.join(below);
    let metadata = fs::metadata(directory.join("cgroup.procs"))
        .and_then(|_is_a_cgroup| fs::metadata(&directory))
        .map_err(|source| CgroupError::NoSuch {
            path: path.to_owned(),
            mount,
            source,
        })?;
    let level = u32::try_from(below.components().count()).unwrap_or(u32::MAX);
    Ok(Cgroup {
        id: metadata.ino(),
        level,
    })
}

/// The path of the cgroup called `id`, from the root of the hierarchy.
pub fn path_of(root: &KernelRoot, id: u64) -> Option<String> {
    let mounts = fs::read_to_string(root.proc("self/mounts")).ok()?;
    let mount = mount_point(&mounts)?;
    let mut ahead = vec![mount.clone()];
    while let Some(here) = ahead.pop() {
        if fs::symlink_metadata(&here).is_ok_and(|found| found.ino() == id) {
            let below = here.strip_prefix(&mount).ok()?;
            return Some(format!("/{}", below.to_string_lossy()));
        }
        let inside = fs::read_dir(&here).into_iter().flatten().flatten();
        let folders = inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        ahead.extend(folders.map(|entry| entry.path()));
    }
    None
}

/// Where cgroup v2 is mounted, from `/proc/mounts`.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_among_the_mounts() {
        let mounts = "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            mount_point(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
    }
}
