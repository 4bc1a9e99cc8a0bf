//! Up to where a spool was acknowledged: a segment's number and bytes of it.
//!
//! Always the same few bytes, overwritten in place: that takes no room, so a full disk does not
//! stop acknowledging. Torn or lost, it reads as "nothing": then records come twice.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::SpoolError;

#[derive(Debug)]
pub(super) struct Ack {
    path: PathBuf,
    file: File,
}

impl Ack {
    /// Opens it, and reads what it says.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<(u64, u64)>), SpoolError> {
        let path = dir.join("acknowledged");
        let failed = |what: &'static str| {
            let path = path.clone();
            move |source| SpoolError::File { what, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)
            .map_err(failed("open"))?;
        let mut text = Vec::new();
        (&mut file)
            .take(100)
            .read_to_end(&mut text)
            .map_err(failed("read"))?;
        let said = parse(&text);
        let ack = Self { path, file };
        if said.is_none() {
            ack.write(0, 0)?;
        }
        Ok((ack, said))
    }

    pub(super) fn write(&self, segment: u64, bytes: u64) -> Result<(), SpoolError> {
        let written = self.file.write_all_at(text(segment, bytes).as_bytes(), 0);
        written.map_err(self.failed("write"))
    }

    pub(super) fn sync(&self) -> Result<(), SpoolError> {
        self.file.sync_data().map_err(self.failed("sync"))
    }

    fn failed(&self, what: &'static str) -> impl Fn(std::io::Error) -> SpoolError {
        let path = self.path.clone();
        move |source| SpoolError::File {
            what,
            path: path.clone(),
            source,
        }
    }
}

fn text(segment: u64, bytes: u64) -> String {
    let said = format!("{segment:020} {bytes:020}");
    format!("{said} {:08x}\n", crc32fast::hash(said.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let whole = str::from_utf8(bytes).ok()?;
    let mut words = whole.split_ascii_whitespace();
    let segment = words.next()?.parse().ok()?;
    let done = words.next()?.parse().ok()?;
    (text(segment, done) == whole).then_some((segment, done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_torn_is_not() {
        let whole = text(7, 123_456);
        assert_eq!(parse(whole.as_bytes()), Some((7, 123_456)));
        assert_eq!(whole.len(), text(u64::MAX, u64::MAX).len());
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..cut]), None);
        }
        let torn = [&whole.as_bytes()[..20], &text(8, 9).as_bytes()[20..]].concat();
        assert_eq!(parse(&torn), None);
    }
}
