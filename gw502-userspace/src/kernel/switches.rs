//! Whether somebody has switched off what hooks hang on.

use std::fs;
use std::path::{Path, PathBuf};

use gw502_common::hooks::Backend;

use super::root::KernelRoot;

/// Switches of the kernel: a file, the backends that see nothing when it says `0`, and what it is.
#[derive(Debug)]
pub struct Switches {
    switches: Vec<(PathBuf, &'static str)>,
}

impl Switches {
    /// Those that `backends` depend on.
    pub fn new(root: &KernelRoot, backends: &[Backend]) -> Self {
        Self::with(root, Path::new("/sys/kernel/debug"), backends)
    }

    fn with(root: &KernelRoot, debugfs: &Path, backends: &[Backend]) -> Self {
        let mut switches = Vec::new();
        let has = |backend| backends.contains(&backend);
        if has(Backend::Fentry) || has(Backend::Kprobe) {
            let file = root.proc("sys/kernel/ftrace_enabled");
            switches.push((file, "sysctl kernel.ftrace_enabled=1"));
        }
        if has(Backend::Kprobe) {
            let file = debugfs.join("kprobes/enabled");
            switches.push((file, "echo 1 > /sys/kernel/debug/kprobes/enabled"));
        }
        Self { switches }
    }

    /// What is off, a sentence each. A file that cannot be read says nothing.
    pub fn off(&self) -> Vec<String> {
        let off = |(file, _): &&(PathBuf, _)| {
            fs::read_to_string(file).is_ok_and(|text| text.trim() == "0")
        };
        let off = self.switches.iter().filter(off);
        off.map(|(file, on)| {
            let file = file.display();
            format!("hooks see nothing: {file} is 0; switch it on: {on}")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_said_if_anything_hangs_on_it() {
        let place = std::env::temp_dir().join(format!("gw502-switches-{}", std::process::id()));
        fs::create_dir_all(place.join("kprobes")).unwrap();
        fs::create_dir_all(place.join("sys/kernel")).unwrap();
        let mut root = KernelRoot::new(None);
        root.proc.clone_from(&place);
        let off = |backends: &[Backend]| Switches::with(&root, &place, backends).off().len();
        let all = [Backend::Fentry, Backend::Kprobe, Backend::Tracepoint];
        assert_eq!(off(&all), 0, "no files");
        fs::write(place.join("kprobes/enabled"), "0\n").unwrap();
        fs::write(place.join("sys/kernel/ftrace_enabled"), "1\n").unwrap();
        assert_eq!(off(&all), 1);
        assert_eq!(off(&[Backend::Fentry]), 0);
        fs::write(place.join("sys/kernel/ftrace_enabled"), "0\n").unwrap();
        assert_eq!(off(&all), 2);
        assert_eq!(off(&[Backend::Tracepoint]), 0);
        fs::remove_dir_all(&place).unwrap();
    }
}
