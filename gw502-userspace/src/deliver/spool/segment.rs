//! One file of a spool.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::super::{BatchLimits, Filling, length};
use super::{SpoolError, line};
use crate::sink::ship::Record;

/// What the name ends in.
const EXTENSION: &str = "segment";

/// Bytes of a segment in a spool of so many: what is shed at once is about a sixteenth. Only a
/// single record can be longer.
pub(super) fn size(limit: u64) -> u64 {
    limit.checked_div(16).unwrap_or(0).clamp(4 << 10, 8 << 20)
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Bytes of whole lines; what is beyond, of a write that failed, does not count.
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// What is acknowledged.
    pub(super) done_bytes: u64,
    pub(super) done_lines: u64,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) records: Vec<Record>,
    /// Lines that are no records any more.
    pub(super) damaged: Vec<Vec<u8>>,
    /// All lines passed over: some may be missing altogether.
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) const fn new(number: u64) -> Self {
        Self {
            number,
            bytes: 0,
            lines: 0,
            done_bytes: 0,
            done_lines: 0,
        }
    }

    /// The number in a file's name.
    pub(super) fn number(path: &Path) -> Option<u64> {
        let stem = path.file_stem()?.to_str()?;
        let ours = path.extension()? == EXTENSION && stem.len() == 20;
        let number = stem.parse().ok()?;
        // Ours count from 1: beyond half the range no run ever comes.
        (ours && number <= u64::MAX / 2).then_some(number)
    }

    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.{EXTENSION}", self.number))
    }

    /// Lines that are not acknowledged.
    pub(super) const fn waiting(&self) -> u64 {
        self.lines.saturating_sub(self.done_lines)
    }

    pub(super) fn failed(&self, dir: &Path, what: &'static str, source: io::Error) -> SpoolError {
        let path = self.path(dir);
        SpoolError::File { what, path, source }
    }

    pub(super) fn open_for_append(&self, dir: &Path) -> Result<File, SpoolError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o640);
        let file = options
            .open(self.path(dir))
            .map_err(|source| self.failed(dir, "open", source))?;
        // The rest of a write that failed.
        file.set_len(self.bytes)
            .map_err(|source| self.failed(dir, "truncate", source))?;
        Ok(file)
    }

    /// Appends all of it, or nothing.
    pub(super) fn append(
        &mut self,
        dir: &Path,
        file: &File,
        lines: &[u8],
        count: u64,
    ) -> Result<(), SpoolError> {
        if let Err(source) = file.write_all_at(lines, self.bytes) {
            // Should this fail too, the next opening for appending does it.
            if let Err(error) = file.set_len(self.bytes) {
                log::debug!("cannot truncate `{}`: {error}", self.path(dir).display());
            }
            return Err(self.failed(dir, "write", source));
        }
        self.bytes = self.bytes.saturating_add(length(lines));
        self.lines = self.lines.saturating_add(count);
        Ok(())
    }

    /// The oldest lines that are not acknowledged. A file that is gone, or that the disk does not
    /// give back, has lost all that are left.
    pub(super) fn read(&self, dir: &Path, limits: BatchLimits) -> Result<Read, SpoolError> {
        match self.try_read(dir, limits) {
            Ok(read) => Ok(read),
            Err(error) if is_lost(&error) => Ok(Read {
                lines: self.waiting(),
                bytes: self.bytes.saturating_sub(self.done_bytes),
                ..Read::default()
            }),
            Err(error) => Err(self.failed(dir, "read", error)),
        }
    }

    fn try_read(&self, dir: &Path, limits: BatchLimits) -> io::Result<Read> {
        let mut file = File::open(self.path(dir))?;
        file.seek(SeekFrom::Start(self.done_bytes))?;
        let left = self.bytes.saturating_sub(self.done_bytes);
        let mut reader = BufReader::new(file.take(left));
        let mut read = Read::default();
        let mut filling = Filling::new(limits);
        let mut text = Vec::new();
        loop {
            text.clear();
            reader.read_until(b'\n', &mut text)?;
            if text.is_empty() {
                // Shorter than it was: what is missing is lost.
                read.lines = self.waiting();
                read.bytes = left;
                break;
            }
            match line::parse(&text) {
                Some(record) if !filling.take(&record) => break,
                Some(_) => {}
                None => read.damaged.push(text.clone()),
            }
            read.lines = read.lines.saturating_add(1);
            read.bytes = read.bytes.saturating_add(length(&text));
        }
        read.records = filling.records;
        Ok(read)
    }

    /// Removes the file. It no longer counts in any case.
    pub(super) fn remove(&self, dir: &Path) {
        let path = self.path(dir);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("cannot remove `{}`: {error}", path.display()),
        }
    }
}

/// Whether what was there is gone for good.
fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::EIO)
}
