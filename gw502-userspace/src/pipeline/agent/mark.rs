//! A mark on disk for as long as a run lasts: one that is there at the start is of a run that was
//! killed, with what it had in memory and not yet in its spool.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Beside the folders of the sinks, whose names do not begin so.
const FILE: &str = ".run";

/// The mark of this run.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
}

impl Mark {
    /// Sets it in the spool's folder. Returns with it the run before, if that was killed.
    pub(super) fn set(folder: &Path, run: &str) -> io::Result<(Self, Option<String>)> {
        let path = folder.join(FILE);
        let before = match fs::read_to_string(&path) {
            Ok(before) => Some(before.trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        fs::write(&path, format!("{run}\n"))?;
        Ok((Self { path }, before))
    }

    /// The run has ended as it should.
    pub(super) fn clear(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            log::warn!(
                "cannot remove {path}, and the next run will take this one for killed: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::scratch::Scratch;

    #[test]
    fn a_run_that_left_its_mark_was_killed() {
        let folder = Scratch::new();
        let (first, before) = Mark::set(&folder.dir, "one").unwrap();
        assert_eq!(before, None);
        drop(first);
        let (second, before) = Mark::set(&folder.dir, "two").unwrap();
        assert_eq!(before.as_deref(), Some("one"));
        second.clear();
        let (_, before) = Mark::set(&folder.dir, "three").unwrap();
        assert_eq!(before, None);
        assert!(Mark::set(&folder.dir.join("nowhere"), "four").is_err());
    }
}
