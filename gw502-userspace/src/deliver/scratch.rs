//! What tests of this module need: records, and directories of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::sink::ship::Record;

pub(crate) use crate::sink::conformance::record;

/// The `sequence` of records made by [`record`].
pub(crate) fn sequences(records: &[Record]) -> Vec<u64> {
    let sequence = |record: &Record| {
        let json: serde_json::Value = serde_json::from_slice(&record.json).unwrap();
        json["sequence"].as_u64().unwrap()
    };
    records.iter().map(sequence).collect()
}

pub(crate) fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    numbers.map(record).collect()
}

/// A directory that goes with the test.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) dir: PathBuf,
    mounted: bool,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gw502-deliver-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        let mounted = false;
        Self { dir, mounted }
    }

    /// A file system of so many bytes, seen by this thread alone. Ordinary users may not mount one:
    /// their test runs again in a user namespace, where it may, and gets `None` once that has passed.
    pub(crate) fn disk(bytes: u64) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            run_again_as_root();
            return None;
        }
        let mut scratch = Self::new();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).unwrap();
        let size = format!("size={bytes}");
        let flags = MsFlags::empty();
        let kind = Some("tmpfs");
        mount(kind, &scratch.dir, kind, flags, Some(size.as_str())).unwrap();
        scratch.mounted = true;
        Some(scratch)
    }

    /// Takes all room of the disk, until the file is removed.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write as _;
        let path = self.dir.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.dir
    }
}

/// Runs the calling thread's test as root of a user namespace of its own.
fn run_again_as_root() {
    let thread = std::thread::current();
    let test = thread.name().unwrap();
    let again = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && said.contains("1 passed"),
        "a small disk takes root, or a user namespace (unshare(1)): {said}{}",
        String::from_utf8_lossy(&again.stderr)
    );
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.mounted {
            umount2(&self.dir, MntFlags::MNT_DETACH).unwrap();
        }
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}
