//! What the guest holds: gw502, the live suite, the proxies with their libraries, kernel modules.
//!
//! The programs are this machine's; a guest's file stands where this machine has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use xtask::pins;

use super::cpio::Archive;
use super::fetch::collect;
use super::modules::Module;
use crate::debian::output;

const INIT: &str = include_str!("init.sh");

/// Who the proxies' workers run as.
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n\
                     www-data:x:33:33:www-data:/:/bin/false\n\
                     haproxy:x:101:101:haproxy:/:/bin/false\n";
const GROUPS: &str =
    "root:x:0:\nnogroup:x:65534:\nnobody:x:65533:\nwww-data:x:33:\nhaproxy:x:101:\n";

/// Folders that programs expect.
const FOLDERS: &[&str] = &[
    "/dev",
    "/proc",
    "/sys",
    "/tmp",
    "/run",
    "/root",
    "/var/log/nginx",
    "/var/lib/nginx",
    "/vm/modules",
];

/// What to run in the guest.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    /// gw502's release build.
    pub(super) gw502: &'a Path,
    /// The live suite.
    pub(super) live: &'a Path,
    /// The folder that the emulator's packages are unpacked in: the guest's shell is one of them.
    pub(super) emulator: &'a Path,
    /// Each with all of `trials`.
    pub(super) backends: &'a [String],
    /// By their whole names.
    pub(super) trials: &'a [String],
}

impl Guest<'_> {
    /// The first file system of the guest, but for its modules.
    pub(super) fn files(&self) -> Result<Files> {
        let mut files = Files::default();
        for folder in ["bin", "lib", "sbin", "lib64"] {
            files.link(&format!("/{folder}"), &format!("usr/{folder}"));
        }
        for folder in FOLDERS {
            files.folder(folder);
        }
        for path in pins::GUEST_FILES {
            files.program(Path::new(path))?;
        }
        files.stripped("/vm/gw502", self.gw502)?;
        files.stripped("/vm/live", self.live)?;
        let shell = self.emulator.join("usr/bin/busybox");
        files.file("/usr/bin/busybox", read(&shell)?);
        files.text("/init", INIT);
        files.text("/etc/passwd", USERS);
        files.text("/etc/group", GROUPS);
        files.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\n");
        files.text("/vm/backends", &lines(self.backends));
        files.text("/vm/trials", &lines(self.trials));
        Ok(files)
    }
}

fn lines(of: &[String]) -> String {
    of.iter().flat_map(|line| [line, "\n"]).collect()
}

/// A tree of files, by their paths.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(BTreeMap<String, Entry>);

#[derive(Debug, Clone)]
enum Entry {
    Folder,
    File(Vec<u8>),
    Link(String),
}

impl Files {
    /// Adds kernel modules, numbered in the order in which to load them.
    pub(super) fn modules(&mut self, modules: Vec<Module>) {
        for (index, Module { name, object }) in modules.into_iter().enumerate() {
            self.file(&format!("/vm/modules/{index:03}-{name}.ko"), object);
        }
    }

    /// The tree as an archive: what is above comes first.
    pub(super) fn archive(self) -> Vec<u8> {
        let mut archive = Archive::default();
        for (path, entry) in self.0 {
            let path = path.trim_start_matches('/');
            match entry {
                Entry::Folder => archive.folder(path),
                Entry::File(contents) => archive.file(path, &contents),
                Entry::Link(target) => archive.link(path, &target),
            }
        }
        archive.finish()
    }

    fn folder(&mut self, path: &str) {
        if path.is_empty() || self.0.contains_key(path) {
            return;
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.0.insert(path.to_owned(), Entry::Folder);
    }

    fn put(&mut self, path: &str, entry: Entry) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.0.insert(path.to_owned(), entry);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.put(path, Entry::Link(target.to_owned()));
    }

    fn text(&mut self, path: &str, text: &str) {
        self.file(path, text.into());
    }

    fn file(&mut self, path: &str, contents: Vec<u8>) {
        self.put(path, Entry::File(contents));
    }

    /// Adds a program or a library of this machine, or a folder of them, with the libraries it is
    /// linked to.
    fn program(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            let mut inside = Vec::new();
            collect(path, &mut inside)?;
            return inside.iter().try_for_each(|file| self.program(file));
        }
        let Some(place) = place(path) else {
            bail!(
                "no {}: `cargo xtask test --only live` installs what the live tests take",
                path.display()
            );
        };
        if self.0.contains_key(&place) {
            return Ok(());
        }
        self.file(&place, read(path)?);
        self.libraries(path)
    }

    fn stripped(&mut self, place: &str, program: &Path) -> Result<()> {
        // Debugging information is most of it, and the guest's disk is its memory.
        let bare = program.with_extension("stripped");
        output(Command::new("strip").arg("-o").args([&bare, program]))?;
        self.file(place, read(&bare)?);
        fs::remove_file(&bare).with_context(|| format!("cannot remove `{}`", bare.display()))?;
        self.libraries(program)
    }

    fn libraries(&mut self, program: &Path) -> Result<()> {
        let Ok(text) = output(Command::new("ldd").arg(program)) else {
            return Ok(()); // linked to nothing
        };
        libraries(&text).try_for_each(|library| {
            let place = place(library).context("ldd names a file that is not there")?;
            if !self.0.contains_key(&place) {
                self.file(&place, read(library)?);
            }
            Ok(())
        })
    }
}

/// Where a file goes: where it is, with no links among the folders above it.
fn place(path: &Path) -> Option<String> {
    let above = fs::canonicalize(path.parent()?).ok()?;
    let place: PathBuf = above.join(path.file_name()?);
    place.exists().then(|| place.to_str().map(str::to_owned))?
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// The files that `ldd` names: `name => /path (0x…)`, or `/path (0x…)`.
fn libraries(text: &str) -> impl Iterator<Item = &Path> {
    text.lines()
        .filter_map(|line| line.rsplit_once(" (0x"))
        .map(|(line, _)| {
            line.rsplit_once("=> ")
                .map_or(line, |(_, path)| path)
                .trim()
        })
        .filter(|path| path.starts_with('/'))
        .map(Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_names_libraries_in_two_ways() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found: Vec<_> = libraries(text).collect();
        assert_eq!(
            found,
            [
                Path::new("/lib/x/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut files = Files::default();
        files.text("/a-b/c/d", "x");
        files.text("/a/b", "x");
        let paths: Vec<_> = files.0.keys().map(String::as_str).collect();
        assert_eq!(paths, ["/a", "/a-b", "/a-b/c", "/a-b/c/d", "/a/b"]);
    }
}
