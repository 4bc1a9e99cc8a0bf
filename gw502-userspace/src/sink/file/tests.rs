//! Tests of the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::clock::wall;
use crate::deliver::scratch::{Scratch, records, sequences};
use crate::sink::conformance::{self, Receiver, record};

fn config(path: PathBuf) -> FileConfig {
    FileConfig {
        path,
        max_bytes: None,
        max_age: None,
        keep: 3,
    }
}

fn lines(path: &Path) -> Vec<u64> {
    let text = fs::read(path).unwrap();
    assert!(
        text.is_empty() || text.ends_with(b"\n"),
        "{}",
        path.display()
    );
    let records: Vec<_> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| Record {
            kind: super::super::ship::Kind::Failure,
            json: bytes::Bytes::copy_from_slice(line),
        })
        .collect();
    sequences(&records)
}

fn numbers(numbers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    numbers.collect()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

/// The file as a receiver: its directory goes away and comes back.
struct Directory {
    dir: PathBuf,
    file: PathBuf,
    moved: u32,
}

impl Receiver for Directory {
    fn arrived(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for number in 1..=self.moved {
            all.extend(lines(&numbered(&self.file, number)));
        }
        all.extend(lines(&self.file));
        all.iter().map(|id| format!("{id:08}")).collect()
    }

    fn fail(&mut self) {
        fs::rename(&self.dir, self.dir.with_extension("away")).unwrap();
    }

    fn recover(&mut self) {
        fs::rename(self.dir.with_extension("away"), &self.dir).unwrap();
    }

    fn before_reopen(&mut self) {
        self.moved += 1;
        fs::rename(&self.file, numbered(&self.file, self.moved)).unwrap();
    }
}

#[tokio::test]
async fn it_conforms() {
    let scratch = Scratch::new();
    let dir = scratch.dir.join("log");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("failures.json");
    let mut sink = LogFile::new(config(file.clone()), wall);
    let mut receiver = Directory {
        dir,
        file,
        moved: 0,
    };
    conformance::check(&mut sink, &mut receiver).await.unwrap();
}

#[tokio::test]
async fn its_mode_is_0640_whatever_the_umask() {
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    let mut sink = LogFile::new(config(path.clone()), wall);
    sink.deliver(&[record(1)]).await.unwrap();
    assert_eq!(
        path.metadata().unwrap().permissions().mode() & 0o7777,
        0o640
    );
}

#[tokio::test]
async fn it_rotates_by_size_and_keeps_as_many_as_told() {
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    let mut config = config(path.clone());
    config.max_bytes = Some(10_000);
    let mut sink = LogFile::new(config, wall);
    sink.deliver(&records(1..=500)).await.unwrap();
    let mut all = Vec::new();
    for number in [3, 2, 1] {
        let rotated = numbered(&path, number);
        let size = rotated.metadata().unwrap().len();
        assert!((9_000..=10_000).contains(&size), "{number}: {size}");
        all.extend(lines(&rotated));
    }
    all.extend(lines(&path));
    assert!(path.metadata().unwrap().len() <= 10_000);
    assert!(!numbered(&path, 4).exists());
    assert_eq!(all, (all[0]..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_rotates_by_age() {
    fn tomorrow() -> SystemTime {
        wall() + Duration::from_hours(25)
    }
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    let mut config = config(path.clone());
    config.max_age = Some(Duration::from_hours(24));
    let mut sink = LogFile::new(config.clone(), wall);
    sink.deliver(&records(1..=3)).await.unwrap();
    sink.deliver(&records(4..=5)).await.unwrap();
    assert_eq!(lines(&path), numbers(1..=5));
    // The next run, the next day; and then an hour later.
    let mut sink = LogFile::new(config, tomorrow);
    sink.deliver(&records(6..=7)).await.unwrap();
    assert_eq!(lines(&numbered(&path, 1)), numbers(1..=5));
    assert_eq!(lines(&path), numbers(6..=7));
}

#[tokio::test]
async fn none_may_be_kept_and_a_line_longer_than_a_file_is_written() {
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    let mut config = config(path.clone());
    config.max_bytes = Some(10);
    config.keep = 0;
    let mut sink = LogFile::new(config, wall);
    sink.deliver(&records(1..=3)).await.unwrap();
    assert_eq!(lines(&path), [3]);
    assert_eq!(fs::read_dir(&scratch.dir).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_that_was_moved_or_removed_is_noticed_without_a_signal() {
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    let mut sink = LogFile::new(config(path.clone()), wall);
    sink.deliver(&records(1..=3)).await.unwrap();
    fs::rename(&path, numbered(&path, 1)).unwrap();
    sink.deliver(&records(4..=6)).await.unwrap();
    assert_eq!(lines(&numbered(&path, 1)), numbers(1..=3));
    assert_eq!(lines(&path), numbers(4..=6));
    fs::remove_file(&path).unwrap();
    sink.deliver(&records(7..=8)).await.unwrap();
    assert_eq!(lines(&path), numbers(7..=8));
}

#[tokio::test]
async fn what_a_crash_cut_short_goes_and_what_is_not_ours_stays() {
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    let whole = record(1).json;
    let cases: [(&[u8], &str); 4] = [
        (br#"{"id":"000"#, ""),
        (&whole, "whole"),
        (b"somebody's note", "note"),
        (b"", ""),
    ];
    for (end, stays) in cases {
        let before = [&whole, &b"\n"[..], end].concat();
        fs::write(&path, &before).unwrap();
        let mut sink = LogFile::new(config(path.clone()), wall);
        sink.deliver(&[record(2)]).await.unwrap();
        let mut expected = vec![&whole[..]];
        if !stays.is_empty() {
            expected.push(end);
        }
        let last = record(2).json;
        expected.push(&last);
        let text = fs::read(&path).unwrap();
        let found: Vec<_> = text
            .strip_suffix(b"\n")
            .unwrap()
            .split(|byte| *byte == b'\n')
            .collect();
        assert_eq!(found, expected, "{stays}");
    }
}

#[tokio::test]
async fn a_pipe_in_its_place_does_not_hang_it() {
    let scratch = Scratch::new();
    let path = scratch.dir.join("a");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut sink = LogFile::new(config(path), wall);
    let error = sink.deliver(&[record(1)]).await.unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[tokio::test]
async fn a_full_disk_tears_no_line_and_recovers() {
    let Some(scratch) = Scratch::disk(256 << 10) else {
        return;
    };
    let path = scratch.dir.join("a");
    let mut sink = LogFile::new(config(path.clone()), wall);
    sink.deliver(&records(1..=10)).await.unwrap();
    let ballast = scratch.fill();
    let many = records(11..=200);
    for _ in 0..10 {
        let error = sink.deliver(&many).await.unwrap_err();
        assert!(matches!(error, DeliverError::Later { .. }), "{error}");
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(lines(&path), numbers(1..=10), "whole lines, none twice");
    }
    fs::remove_file(ballast).unwrap();
    sink.deliver(&many).await.unwrap();
    assert_eq!(lines(&path), numbers(1..=200));
}
