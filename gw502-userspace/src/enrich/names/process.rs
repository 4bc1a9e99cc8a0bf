//! How a proxy's process was started.

use std::fs;

use crate::kernel::root::KernelRoot;

/// Its name.
pub(super) fn comm(root: &KernelRoot, pid: u32) -> String {
    let name = fs::read_to_string(root.proc(format!("{pid}/comm"))).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Its parent.
pub(super) fn parent(root: &KernelRoot, pid: u32) -> Option<u32> {
    let status = fs::read_to_string(root.proc(format!("{pid}/status"))).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok().filter(|parent| *parent != 0)
}

/// Its arguments, the first one its own name. A program may have written over them.
pub(super) fn arguments(root: &KernelRoot, pid: u32) -> Vec<String> {
    let bytes = fs::read(root.proc(format!("{pid}/cmdline"))).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0')
        .split('\0')
        .map(str::to_owned)
        .collect()
}

/// Its working directory, as it names it.
pub(super) fn directory(root: &KernelRoot, pid: u32) -> String {
    let link = fs::read_link(root.proc(format!("{pid}/cwd")));
    link.map_or_else(
        |_| "/".to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}
