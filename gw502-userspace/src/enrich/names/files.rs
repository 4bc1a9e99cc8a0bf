//! Files as a proxy sees them: below its own root directory, also when that is a container's.
//!
//! The configuration of a container is its owner's, not ours: a link must not lead out of it
//! (`RESOLVE_IN_ROOT`), a pipe must not hold us up, and nothing is read without bounds.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use crate::kernel::root::KernelRoot;

/// Bytes of all files together.
const BYTES: u64 = 4 * 1024 * 1024;
/// Files, and entries of directories that are looked at for a pattern.
const FILES: usize = 512;
const ENTRIES: usize = 4096;

/// The files of one proxy, and how much of them may still be read.
#[derive(Debug)]
pub(super) struct Files {
    root: OwnedFd,
    bytes: u64,
    /// Files that may still be read.
    left: usize,
}

impl Files {
    /// The files that the process `pid` sees.
    pub(super) fn of(root: &KernelRoot, pid: u32) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(&root.proc(format!("{pid}/root")), flags, Mode::empty()).ok()?;
        Some(Self {
            root,
            bytes: BYTES,
            left: FILES,
        })
    }

    /// The text of a file.
    pub(super) fn read(&mut self, path: &str) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        let file =
            File::from(self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        let read = file.take(self.bytes).read_to_end(&mut bytes).ok()?;
        self.bytes = self
            .bytes
            .saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The paths that a pattern with `*`, `?` and `[…]` matches, sorted: glob(3).
    pub(super) fn matching(&self, pattern: &str) -> Vec<String> {
        let mut paths = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?', '[']) {
                for path in &mut paths {
                    path.push('/');
                    path.push_str(part);
                }
                continue;
            }
            let below = |path: String| {
                let names = self.names(&path).into_iter();
                names
                    .filter(|name| matches(part, name))
                    .map(move |name| format!("{path}/{name}"))
            };
            paths = paths.into_iter().flat_map(below).take(FILES).collect();
        }
        paths
    }

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let path = if path.is_empty() { "/" } else { path };
        let Some(directory) = self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
            return Vec::new();
        };
        let entries = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let mut names: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .take(ENTRIES)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    fn open(&self, path: &str, flags: OFlag) -> Option<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.root, path, how).ok()
    }
}

/// Whether a name is one that a pattern means. A leading dot has to be written.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pieces = pieces(pattern);
    let name: Vec<char> = name.chars().collect();
    // Which prefixes of the name the pieces so far match.
    let mut reached = vec![false; name.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for piece in pieces {
        let mut next = vec![false; name.len() + 1];
        let mut before = false;
        for (at, slot) in next.iter_mut().enumerate() {
            let here = reached.get(at).copied().unwrap_or(false);
            let taken = at
                .checked_sub(1)
                .and_then(|last| Some((*reached.get(last)?, *name.get(last)?)));
            *slot = match &piece {
                Piece::Any => here || before,
                Piece::One => taken.is_some_and(|(reached, _)| reached),
                Piece::Of(set, inside) => taken.is_some_and(|(reached, c)| {
                    reached && set.iter().any(|(low, high)| (*low..=*high).contains(&c)) == *inside
                }),
            };
            before = *slot;
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

enum Piece {
    /// `*`
    Any,
    /// `?`
    One,
    /// One of a set, or none of it: a letter is a set of one.
    Of(Vec<(char, char)>, bool),
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One,
            '[' => match rest.as_str().split_once(']') {
                Some((set, after)) if !set.is_empty() => {
                    rest = after.chars();
                    let (set, inside) = match set.strip_prefix(['!', '^']) {
                        Some(set) => (set, false),
                        None => (set, true),
                    };
                    Piece::Of(ranges(set), inside)
                }
                _ => Piece::Of(vec![('[', '[')], true),
            },
            c => Piece::Of(vec![(c, c)], true),
        });
    }
    pieces
}

fn ranges(set: &str) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut rest = set.chars().peekable();
    while let Some(low) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) => {
                rest = ahead;
                ranges.push((low, high));
            }
            _ => ranges.push((low, low)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    #[test]
    fn patterns_mean_what_glob_says() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            (".*", ".a", true),
            ("*.conf", "a.conf.bak", false),
            ("*", "anything", true),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[0-9]*", "10-site", true),
            ("[!0-9]*", "10-site", false),
            ("[abc", "[abc", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[*?\\[\\]!a-c-]{0,12}", name in "\\PC{0,12}") {
            matches(&pattern, &name);
        }
    }
}
