//! The spool: records of one sink on disk, until the receiver has them.
//!
//! A directory of its own with segments, files to which lines are appended, and a small file that
//! tells up to where they were acknowledged. A segment goes when its last record is acknowledged,
//! or when there is no room: the oldest segment first.
//!
//! What was pushed is in the kernel's hands: killing the process loses nothing. Once a second it is
//! synced to the disk: a power failure may lose the last second, and may deliver twice what had
//! been acknowledged in it. A line that was cut off or damaged is counted, put into `damaged`
//! there and passed over; those around it are delivered.

mod ack;
mod line;
mod open;
mod segment;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use nix::fcntl::Flock;

use self::ack::Ack;
use self::segment::Segment;
use super::status::Level;
use super::{BatchLimits, length};
use crate::sink::ship::Record;

/// Why a spool does not work.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Two at once would deliver twice and lose the rest.
    #[error("spool `{}` is in use by another gw502: give each agent a spool directory of its own", .0.display())]
    Busy(PathBuf),
    /// The file system does not do it.
    #[error("cannot {what} `{}`: {source}", .path.display())]
    File {
        /// What.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What came of a push.
#[derive(Debug, Default)]
pub struct Pushed {
    /// So many of the first records are in the spool; `failed` tells why not the others.
    pub written: usize,
    /// So many records were lost to make room.
    pub shed: u64,
    /// Why it stopped.
    pub failed: Option<SpoolError>,
}

/// A batch from the spool.
#[derive(Debug, Default)]
pub struct Batch {
    /// The oldest records, in order.
    pub records: Vec<Record>,
    /// How many between them were damaged.
    pub damaged: u64,
}

/// What was there at the opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records of an earlier run.
    pub records: u64,
    /// Records whose line was cut off: the earlier run, or the host, ended while it was written.
    pub torn: u64,
    /// Records lost because the limit is lower now.
    pub shed: u64,
}

/// What is out for delivery.
#[derive(Clone, Copy, Debug)]
struct Out {
    lines: u64,
    bytes: u64,
    /// What of it is to be delivered.
    records: u64,
    /// The segment was shed meanwhile.
    orphaned: bool,
}

/// The spool of a sink. At most one in the world has its directory open.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limit: u64,
    /// Oldest first. The last may grow.
    segments: VecDeque<Segment>,
    next_number: u64,
    /// The last segment, when it was opened.
    active: Option<File>,
    ack: Ack,
    out: Option<Out>,
    unsynced: bool,
    found: Found,
    /// Held, never read.
    _lock: Flock<File>,
}

impl Spool {
    /// What was there at the opening.
    pub const fn found(&self) -> Found {
        self.found
    }

    /// What waits, and the bytes of all files.
    pub fn level(&self) -> Level {
        let sum = |of: fn(&Segment) -> u64| {
            let all = self.segments.iter().map(of);
            all.fold(0, u64::saturating_add)
        };
        Level {
            records: sum(Segment::waiting),
            bytes: sum(|segment| segment.bytes),
            limit: self.limit,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| segment.waiting() == 0)
    }

    /// Appends records; the oldest go to make room.
    pub fn push(&mut self, records: &[Record]) -> Pushed {
        let mut pushed = Pushed::default();
        let mut rest = records;
        while !rest.is_empty() {
            let (lines, taken) = self.fill(rest);
            rest = rest.get(taken..).unwrap_or_default();
            if length(&lines) > self.limit {
                // It would never fit: `fill` takes such a record alone.
                pushed.shed = pushed.shed.saturating_add(super::count(taken));
                pushed.written = pushed.written.saturating_add(taken);
                continue;
            }
            let room = self.limit.saturating_sub(length(&lines));
            pushed.shed = pushed.shed.saturating_add(self.shed_to(room));
            if let Err(error) = self.append(&lines, super::count(taken)) {
                pushed.failed = Some(error);
                break;
            }
            pushed.written = pushed.written.saturating_add(taken);
        }
        pushed
    }

    /// The oldest records, all of one segment. They are out until [`Self::acknowledge`] or
    /// [`Self::release`]. With neither records nor damaged ones the spool is empty.
    pub fn peek(&mut self, limits: BatchLimits) -> Result<Batch, SpoolError> {
        self.out = None;
        self.drop_finished();
        let Some(front) = self.segments.front() else {
            return Ok(Batch::default());
        };
        let read = front.read(&self.dir, limits)?;
        for line in &read.damaged {
            self.set_aside(line);
        }
        let batch = Batch {
            damaged: read.lines.saturating_sub(super::count(read.records.len())),
            records: read.records,
        };
        self.out = (read.lines > 0).then_some(Out {
            lines: read.lines,
            bytes: read.bytes,
            records: super::count(batch.records.len()),
            orphaned: false,
        });
        Ok(batch)
    }

    /// What is out has arrived. On an error it has as well, but would be sent again by the next
    /// run.
    pub fn acknowledge(&mut self) -> Result<(), SpoolError> {
        let Some(out) = self.out.take() else {
            return Ok(());
        };
        if out.orphaned {
            return Ok(());
        }
        let Some(front) = self.segments.front_mut() else {
            return Ok(());
        };
        front.done_lines = front.done_lines.saturating_add(out.lines);
        front.done_bytes = front.done_bytes.saturating_add(out.bytes);
        let (number, done) = (front.number, front.done_bytes);
        self.drop_finished();
        self.unsynced = true;
        self.ack.write(number, done)
    }

    /// What is out has not arrived, and is held nowhere else: how many of it are lost.
    pub const fn release(&mut self) -> u64 {
        match self.out.take() {
            Some(out) if out.orphaned => out.records,
            _ => 0,
        }
    }

    /// Another limit, in bytes; how many records are lost by that.
    pub fn set_limit(&mut self, limit: u64) -> u64 {
        self.limit = limit;
        self.shed_to(limit)
    }

    /// Sees to it that a power failure loses nothing of what was pushed.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        if let (Some(active), Some(last)) = (&self.active, self.segments.back()) {
            let source = active.sync_data();
            source.map_err(|source| SpoolError::File {
                what: "sync",
                path: last.path(&self.dir),
                source,
            })?;
        }
        self.ack.sync()
    }

    /// Lines of as many records as go into the last segment, or else into a new one: at least one.
    fn fill(&mut self, records: &[Record]) -> (Vec<u8>, usize) {
        let size = segment::size(self.limit);
        let first = records.first().map_or(0, line::length);
        let fits = |segment: &Segment| segment.bytes.saturating_add(first) <= size;
        if !self.segments.back().is_some_and(fits) {
            self.active = None;
            self.segments.push_back(Segment::new(self.next_number));
            self.next_number = self.next_number.saturating_add(1);
        }
        let used = self.segments.back().map_or(0, |segment| segment.bytes);
        let mut lines = Vec::new();
        let mut taken: usize = 0;
        for record in records {
            let bytes = used
                .saturating_add(length(&lines))
                .saturating_add(line::length(record));
            if taken > 0 && bytes > size {
                break;
            }
            line::append(record, &mut lines);
            taken = taken.saturating_add(1);
        }
        (lines, taken)
    }

    /// All of it, or nothing.
    fn append(&mut self, lines: &[u8], records: u64) -> Result<(), SpoolError> {
        // Room may have been made of the last segment itself.
        if self.segments.is_empty() {
            self.active = None;
            self.segments.push_back(Segment::new(self.next_number));
            self.next_number = self.next_number.saturating_add(1);
        }
        let Some(last) = self.segments.back_mut() else {
            return Ok(());
        };
        let file = match self.active.take() {
            Some(file) => file,
            None => last.open_for_append(&self.dir)?,
        };
        last.append(&self.dir, &file, lines, records)?;
        self.active = Some(file);
        self.unsynced = true;
        Ok(())
    }

    /// Removes segments, the oldest first, until there are at most so many bytes; how many records
    /// are lost.
    fn shed_to(&mut self, bytes: u64) -> u64 {
        let mut lost: u64 = 0;
        while self.level().bytes > bytes {
            let Some(segment) = self.segments.pop_front() else {
                break;
            };
            let mut of_it = segment.waiting();
            if let Some(out) = self.out.as_mut().filter(|out| !out.orphaned) {
                // Those are still with the courier.
                of_it = of_it.saturating_sub(out.lines);
                out.orphaned = true;
            }
            lost = lost.saturating_add(of_it);
            self.remove(&segment);
        }
        lost
    }

    /// Removes segments of which everything is acknowledged; the last only when it is worth it.
    fn drop_finished(&mut self) {
        const WORTH_IT: u64 = 64 << 10;
        while let Some(front) = self.segments.front() {
            let last = self.segments.len() == 1;
            if front.waiting() > 0 || (last && front.bytes < WORTH_IT) {
                break;
            }
            if let Some(segment) = self.segments.pop_front() {
                self.remove(&segment);
            }
        }
    }

    fn remove(&mut self, segment: &Segment) {
        if self.segments.is_empty() {
            self.active = None;
        }
        segment.remove(&self.dir);
    }
}

#[cfg(test)]
mod tests;
