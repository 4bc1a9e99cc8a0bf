//! Where to look: the roots of /proc and of the kernel's BTF. Tests point them elsewhere.

use std::path::{Path, PathBuf};

/// Paths of the running system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoot {
    /// procfs of the initial pid namespace.
    pub proc: PathBuf,
    /// The kernel's type information.
    pub btf: PathBuf,
    /// There when the kernel has kprobes.
    pub kprobes: PathBuf,
    /// Says which model of preemption is in force, where debugfs is mounted.
    pub preemption: PathBuf,
}

impl KernelRoot {
    /// The usual places, with another BTF file if one is named.
    pub fn new(btf: Option<PathBuf>) -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            kprobes: PathBuf::from("/sys/bus/event_source/devices/kprobe/type"),
            preemption: PathBuf::from("/sys/kernel/debug/sched/preempt"),
            btf: btf.unwrap_or_else(|| PathBuf::from("/sys/kernel/btf/vmlinux")),
        }
    }

    /// A file below procfs.
    pub fn proc(&self, path: impl AsRef<Path>) -> PathBuf {
        self.proc.join(path)
    }

    /// `uname -s -r`: the kernel's name and release.
    pub fn kernel(&self) -> String {
        let read = |file: &str| std::fs::read_to_string(self.proc(file)).unwrap_or_default();
        let (name, release) = (read("sys/kernel/ostype"), read("sys/kernel/osrelease"));
        format!("{} {}", name.trim(), release.trim())
    }
}
