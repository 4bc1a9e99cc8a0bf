//! JSON lines in a file, which is rotated by us, by logrotate, or not at all.
//!
//! Whole lines only: what a full disk cuts short is taken back, and what a crash cut short is taken
//! back at the next opening. A file that was moved or removed is noticed before the next delivery,
//! SIGHUP or not. (`copytruncate` works too, but loses what comes between copy and truncation.)

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::time::SystemTime;

use super::ship::{DeliverError, Delivery, Record, Sink};
use super::{lines, rotation};
use crate::config::FileConfig;

/// Who may read it: the group of the agent, for shippers of logs.
const MODE: u32 = 0o640;

/// A line that was cut short is looked for in so many bytes at the end.
const LONGEST_LINE: u64 = 1 << 20;

/// The file.
#[derive(Debug)]
pub struct LogFile {
    config: FileConfig,
    now: fn() -> SystemTime,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// When it was made; or opened, where the file system does not know.
    born: SystemTime,
}

/// What went wrong, and doing what.
#[derive(Debug)]
struct Failed(&'static str, io::Error);

impl LogFile {
    /// The file is opened at the first delivery. `now` is [`crate::clock::wall`].
    pub const fn new(config: FileConfig, now: fn() -> SystemTime) -> Self {
        Self {
            config,
            now,
            open: None,
        }
    }

    fn write(&mut self, records: &[Record]) -> Result<(), Failed> {
        let mut written = 0;
        while written < records.len() {
            let now = (self.now)();
            let opened = self.opened()?;
            let size = size(&opened.file)?;
            let age = now.duration_since(opened.born).unwrap_or_default();
            let old = self.config.max_age.is_some_and(|most| age > most);
            let room = self.config.max_bytes.map(|most| most.saturating_sub(size));
            let rest = records.get(written..).unwrap_or_default();
            let (chunk, taken) = chunk(rest, room);
            if size > 0 && (old || taken == 0) {
                self.rotate()?;
                continue;
            }
            // A line that is longer than a whole file shall be.
            let (chunk, taken) = if taken == 0 {
                (lines::of(rest.get(..1).unwrap_or_default()), 1)
            } else {
                (chunk, taken)
            };
            self.append(&chunk, size)?;
            written = written.saturating_add(taken);
        }
        Ok(())
    }

    /// Appends all of it, or nothing.
    fn append(&mut self, chunk: &[u8], size: u64) -> Result<(), Failed> {
        let opened = self.opened()?;
        if let Err(error) = opened.file.write_all(chunk) {
            let back = opened.file.set_len(size);
            // The next opening looks for a line that was cut short.
            self.open = None;
            back.map_err(|error| Failed("truncate", error))?;
            return Err(Failed("write to", error));
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Failed> {
        self.open = None;
        rotation::rotate(&self.config.path, self.config.keep)
            .map_err(|error| Failed("rotate", error))
    }

    /// The file at the path, opened again if it is another one by now.
    fn opened(&mut self) -> Result<&mut Open, Failed> {
        let open = match self.open.take().filter(|open| self.is_there(&open.file)) {
            Some(open) => open,
            None => self.open()?,
        };
        Ok(self.open.insert(open))
    }

    /// Whether it is the file at the path.
    fn is_there(&self, file: &File) -> bool {
        let (Ok(there), Ok(ours)) = (self.config.path.metadata(), file.metadata()) else {
            return false;
        };
        (there.dev(), there.ino()) == (ours.dev(), ours.ino())
    }

    fn open(&self) -> Result<Open, Failed> {
        let path = &self.config.path;
        let mut options = OpenOptions::new();
        // Without O_NONBLOCK the opening of a pipe would wait for its reader.
        options.read(true).append(true).mode(MODE);
        options.custom_flags(libc::O_NONBLOCK);
        let file = match options.create_new(true).open(path) {
            Ok(file) => {
                let mode = Permissions::from_mode(MODE);
                file.set_permissions(mode)
                    .map_err(|error| Failed("set the mode of", error))?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let open = options.create_new(false).open(path);
                open.map_err(|error| Failed("open", error))?
            }
            Err(error) => return Err(Failed("make", error)),
        };
        let about = file.metadata().map_err(|error| Failed("read", error))?;
        if !about.is_file() {
            let error = io::Error::other("it is no regular file");
            return Err(Failed("write to", error));
        }
        mend(&file).map_err(|error| Failed("mend the end of", error))?;
        let born = about.created().unwrap_or_else(|_unknown| (self.now)());
        Ok(Open { file, born })
    }
}

/// Lines of as many records as fit.
fn chunk(records: &[Record], room: Option<u64>) -> (Vec<u8>, usize) {
    let mut chunk = Vec::new();
    let mut taken: usize = 0;
    for record in records {
        let before = chunk.len();
        lines::append(record, &mut chunk);
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if room.is_some_and(|room| bytes > room) {
            chunk.truncate(before);
            break;
        }
        taken = taken.saturating_add(1);
    }
    (chunk, taken)
}

fn size(file: &File) -> Result<u64, Failed> {
    let about = file.metadata().map_err(|error| Failed("read", error))?;
    Ok(about.len())
}

/// Sees to it that the file ends with a line: what is there of a record that was cut short goes;
/// what somebody else left there stays, and gets its line feed.
fn mend(mut file: &File) -> io::Result<()> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(LONGEST_LINE);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(LONGEST_LINE).read_to_end(&mut end)?;
    let last = end.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if last.is_empty() {
        return Ok(());
    }
    let cut =
        last.starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(last).is_err();
    if cut {
        let length = u64::try_from(last.len()).unwrap_or(u64::MAX);
        file.set_len(size.saturating_sub(length))
    } else {
        file.write_all(b"\n")
    }
}

impl Sink for LogFile {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        Box::pin(async move {
            self.write(records).map_err(|Failed(what, error)| {
                let path = self.config.path.display();
                DeliverError::Later {
                    why: format!("cannot {what} `{path}`: {error}"),
                    after: None,
                }
            })
        })
    }

    fn reopen(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests;
