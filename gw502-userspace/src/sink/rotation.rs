//! Moving a file out of the way: `PATH` becomes `PATH.1`, and `PATH.1` becomes `PATH.2`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Moves all files on by one; of those moved before, `keep` in all are left.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return there(fs::remove_file(path));
    }
    for number in (1..keep).rev() {
        let to = numbered(path, number.saturating_add(1));
        there(fs::rename(numbered(path, number), to))?;
    }
    there(fs::rename(path, numbered(path, 1)))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// A file that is not there need not be moved.
fn there(moved: io::Result<()>) -> io::Result<()> {
    match moved {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}
