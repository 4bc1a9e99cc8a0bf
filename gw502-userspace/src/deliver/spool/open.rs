//! Opening a spool, whatever an earlier run left there.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::super::length;
use super::ack::Ack;
use super::segment::Segment;
use super::{Found, Spool, SpoolError};

/// Damaged lines are kept up to so many bytes; beyond they are counted alone.
const DAMAGED: u64 = 1 << 20;

impl Spool {
    /// Opens the spool in `dir`, which is made if it is not there; at most `limit` bytes.
    pub fn open(dir: &Path, limit: u64) -> Result<Self, SpoolError> {
        let failed = |what: &'static str| {
            let path = dir.to_path_buf();
            move |source| SpoolError::File { what, path, source }
        };
        let made = DirBuilder::new().recursive(true).mode(0o750).create(dir);
        made.map_err(failed("make"))?;
        let lock = lock(dir)?;
        let (ack, said) = Ack::open(dir)?;
        let (done_segment, done_bytes) = said.unwrap_or_default();
        let mut spool = Self {
            dir: dir.to_path_buf(),
            limit,
            segments: VecDeque::new(),
            next_number: done_segment.saturating_add(1),
            active: None,
            ack,
            out: None,
            unsynced: false,
            found: Found::default(),
            _lock: lock,
        };
        let mut numbers = Vec::new();
        for entry in dir.read_dir().map_err(failed("list"))? {
            let path = entry.map_err(failed("list"))?.path();
            numbers.extend(Segment::number(&path));
        }
        numbers.sort_unstable();
        for number in numbers {
            spool.next_number = spool.next_number.max(number.saturating_add(1));
            let mut segment = Segment::new(number);
            if number < done_segment {
                segment.remove(dir);
                continue;
            }
            if number == done_segment {
                segment.done_bytes = done_bytes;
            }
            spool.take_over(segment)?;
        }
        spool.found.shed = spool.shed_to(limit);
        if let Some(front) = spool.segments.front()
            && said != Some((front.number, front.done_bytes))
        {
            // It may have been further than the file is long: what comes there now is new.
            spool.ack.write(front.number, front.done_bytes)?;
        }
        spool.found.records = spool.level().records;
        Ok(spool)
    }

    /// Counts the lines of a segment, and cuts off one that has no end.
    fn take_over(&mut self, mut segment: Segment) -> Result<(), SpoolError> {
        let error = |what: &'static str, source| segment.failed(&self.dir, what, source);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(segment.path(&self.dir));
        let mut file = file.map_err(|source| error("open", source))?;
        let size = file.metadata().map_err(|source| error("read", source))?;
        let size = size.len();
        // Further than the file: its end was lost, not acknowledged.
        segment.done_bytes = segment.done_bytes.min(size);
        let from = segment.done_bytes;
        let counted = count_lines(&mut file, from);
        let (lines, bytes) = counted.map_err(|source| segment.failed(&self.dir, "read", source))?;
        segment.lines = lines;
        segment.bytes = from.saturating_add(bytes);
        if segment.bytes < size {
            let mut torn = Vec::new();
            let read = file
                .seek(SeekFrom::Start(segment.bytes))
                .and_then(|_| (&mut file).take(DAMAGED).read_to_end(&mut torn));
            read.map_err(|source| segment.failed(&self.dir, "read", source))?;
            self.set_aside(&torn);
            file.set_len(segment.bytes)
                .map_err(|source| segment.failed(&self.dir, "truncate", source))?;
            self.found.torn = self.found.torn.saturating_add(1);
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// Keeps a damaged line for whoever wants to look, as far as there is room.
    pub(super) fn set_aside(&self, line: &[u8]) {
        let path = self.dir.join("damaged");
        let mut options = OpenOptions::new();
        let kept = options
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&path)
            .and_then(|mut file| {
                let room = DAMAGED.saturating_sub(file.metadata()?.len());
                if length(line) < room {
                    file.write_all(line)?;
                    if line.last() != Some(&b'\n') {
                        file.write_all(b"\n")?;
                    }
                }
                Ok(())
            });
        if let Err(error) = kept {
            log::debug!("cannot write to `{}`: {error}", path.display());
        }
    }
}

/// Whole lines from there on, and their bytes.
fn count_lines(file: &mut File, from: u64) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let (mut lines, mut whole, mut seen): (u64, u64, u64) = (0, 0, 0);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok((lines, whole));
        }
        let mut at = seen;
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            at = at.saturating_add(length(part));
            if part.ends_with(b"\n") {
                lines = lines.saturating_add(1);
                whole = at;
            }
        }
        seen = at;
        let used = chunk.len();
        reader.consume(used);
    }
}

fn lock(dir: &Path) -> Result<Flock<File>, SpoolError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o640);
    let failed = |what: &'static str, source| {
        let path = path.clone();
        SpoolError::File { what, path, source }
    };
    let file = file.open(&path).map_err(|source| failed("open", source))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => SpoolError::Busy(dir.to_path_buf()),
        errno => failed("lock", errno.into()),
    })
}
