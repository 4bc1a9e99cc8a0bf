use gw502_common::ending::Ending;
use gw502_common::wire::FailureRecord;

use super::reader::MAX_LINE;
use super::*;
use crate::aggregate::{Tally, Totals, UpstreamId};
use crate::classify::Classifier;
use crate::intake::decode::Ended;

/// A failure of each ending: every kind of evidence and optional field that they bring.
fn failures() -> Vec<Failure> {
    Ending::ALL
        .into_iter()
        .map(|ending| {
            let mut record = FailureRecord::default();
            record.socket.error = 104;
            record.socket.bytes_sent = 60;
            record.connection.rst_state = 1;
            Classifier::default().classify(&Ended { ending, record }.into(), 1)
        })
        .collect()
}

fn snapshot() -> Snapshot {
    let totals = Totals {
        attempts: 3,
        established: 1,
        ended: 2,
    };
    Snapshot {
        at_ns: 93_000_000_000,
        upstreams: vec![
            (failures().first().map(UpstreamId::of), totals),
            (None, totals),
        ],
        losses: Some([("ring_full".to_owned(), 3)].into()),
    }
}

fn lines() -> Vec<Line> {
    let mut tally = Tally::default();
    for failure in failures() {
        tally.add(&failure);
    }
    let mut lines: Vec<_> = failures().into_iter().map(Line::Failure).collect();
    lines.push(Line::Counters(snapshot()));
    lines.extend(tally.portions().map(Line::Unrecorded));
    // Of the upstreams that found no room.
    lines.extend(tally.portions().map(|portion| {
        Line::Unrecorded(Portion {
            id: None,
            ..portion
        })
    }));
    lines.push(Line::End(Counted::default()));
    lines
}

fn recording() -> Vec<u8> {
    let mut bytes = Line::Header(Header::of(&Origin::sample()))
        .to_bytes()
        .to_vec();
    for line in lines() {
        bytes.extend(line.to_bytes());
    }
    bytes
}

/// Where each line begins, and where the file ends.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0)
        .chain(newlines.map(|(at, _)| at + 1))
        .collect()
}

/// The lines after the header that can be read, and why no more.
fn read(bytes: &[u8]) -> (Vec<Line>, Result<(), ReadError>) {
    let mut read = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (read, Err(error)),
    };
    loop {
        match reader.next_line() {
            Ok(line) => read.push(line),
            Err(error) => return (read, Err(error)),
        }
        if matches!(read.last(), Some(Line::End(_))) {
            return (read, reader.finish());
        }
    }
}

fn error_of(bytes: &[u8]) -> ReadError {
    read(bytes).1.unwrap_err()
}

#[test]
fn every_line_comes_back_as_it_was() {
    let (read, result) = read(&recording());
    assert_eq!(read, lines());
    result.unwrap();
}

#[test]
fn every_line_is_json_that_other_programs_can_read() {
    for line in recording().split_inclusive(|byte| *byte == b'\n') {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert!(value["crc32"].is_string(), "{value}");
    }
}

#[test]
fn a_cut_is_named_by_the_end_of_the_last_whole_line() {
    let whole = recording();
    let starts = line_starts(&whole);
    // Without its very last byte, a newline, nothing is missing.
    for length in 0..whole.len() - 1 {
        let (read, result) = read(&whole[..length]);
        let before = starts.iter().filter(|start| **start <= length).count() - 1;
        let expected = u64::try_from(starts[before]).unwrap();
        match result.unwrap_err() {
            ReadError::NoHeader => assert!(before == 0 && length < 30, "cut at {length}"),
            ReadError::CutOff {
                lines: named,
                offset,
                rest,
            } => {
                // A line that misses but its newline is whole.
                let all_but_newline = starts[before + 1] == length + 1 && length != 0;
                if all_but_newline {
                    assert_eq!((named, rest), (before as u64 + 1, 0), "cut at {length}");
                } else {
                    assert_eq!(
                        (named, offset),
                        (before as u64, expected),
                        "cut at {length}"
                    );
                    assert_eq!(offset + rest, length as u64, "cut at {length}");
                }
                let whole_lines = usize::try_from(named).unwrap().saturating_sub(1);
                assert_eq!(read, &lines()[..whole_lines], "cut at {length}");
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn no_byte_can_change_unnoticed() {
    // The shortest that has each kind of line.
    let mut lines = lines();
    lines.drain(1..Ending::ALL.len());
    let header = Line::Header(Header::of(&Origin::sample())).to_bytes();
    let whole = lines.iter().fold(header.to_vec(), |mut whole, line| {
        whole.extend(line.to_bytes());
        whole
    });
    let starts = line_starts(&whole);
    for at in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let (read, result) = read(&bytes);
        let error = result.expect_err("a changed byte is noticed");
        let line = starts.iter().filter(|start| **start <= at).count();
        if let ReadError::Damaged {
            line: named,
            offset,
            ..
        } = error
        {
            assert_eq!(
                (named, offset),
                (line as u64, starts[line - 1] as u64),
                "byte {at}"
            );
            assert_eq!(read, &lines[..line.saturating_sub(2)], "byte {at}");
        } else {
            let header = matches!(error, ReadError::NoHeader | ReadError::Version { .. });
            assert!(header && line == 1, "byte {at}: {error:?}");
        }
    }
}

#[test]
fn damage_is_named_by_line_byte_and_column() {
    let mut bytes = recording();
    let second = line_starts(&bytes)[1];
    bytes[second] = b'#';
    assert_eq!(
        error_of(&bytes).to_string(),
        format!(
            "line 2 is damaged: it begins at byte {second}, the damage is near byte {second} \
             (column 1)"
        )
    );
}

#[test]
fn bytes_that_are_no_text_are_damage_at_their_place() {
    let mut bytes = recording();
    let third = line_starts(&bytes)[2];
    bytes[third + 20] = 0xff;
    assert!(matches!(
        error_of(&bytes),
        ReadError::Damaged { line: 3, offset, column: Some(21), source: Damage::Text }
            if offset == third as u64
    ));
}

#[test]
fn a_changed_value_is_damage_although_it_reads_well() {
    let text = String::from_utf8(recording()).unwrap();
    let changed = text.replacen("\"bytes_sent\":60", "\"bytes_sent\":61", 1);
    assert_ne!(changed, text);
    let error = error_of(changed.as_bytes());
    assert!(
        matches!(
            error,
            ReadError::Damaged {
                line: 2,
                column: None,
                source: Damage::Checksum,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_line_without_end_is_damage_and_is_not_read_whole() {
    /// Counts what is taken from it.
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(b' ');
            self.0 += into.len() as u64;
            Ok(into.len())
        }
    }
    let mut endless = Endless(0);
    let header = Line::Header(Header::of(&Origin::sample())).to_bytes();
    let start = header.len() as u64;
    let input = std::io::Read::chain(&header[..], &mut endless);
    let error = Reader::new(std::io::BufReader::new(input))
        .unwrap()
        .next_line()
        .unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Damaged { line: 2, offset, source: Damage::TooLong, .. } if offset == start
        ),
        "{error:?}"
    );
    assert!(endless.0 < MAX_LINE + 100_000, "{} bytes read", endless.0);
}

#[test]
fn what_follows_the_end_is_an_error_after_the_end() {
    let mut bytes = recording();
    let whole = bytes.len() as u64;
    bytes.extend(recording());
    let (read, result) = read(&bytes);
    assert_eq!(read, lines());
    let all = lines().len() as u64 + 1;
    assert!(matches!(
        result,
        Err(ReadError::Trailing { lines, offset }) if (lines, offset) == (all, whole)
    ));
}

#[test]
fn a_second_header_is_damage() {
    let header = Line::Header(Header::of(&Origin::sample())).to_bytes();
    let error = error_of(&[&header[..], &header[..]].concat());
    assert!(matches!(
        error,
        ReadError::Damaged {
            line: 2,
            source: Damage::SecondHeader,
            ..
        }
    ));
}

#[test]
fn another_version_and_another_file_are_told_apart() {
    let other = br#"{"header":{"schema":"gw502.recording/9","new":1}}"#;
    for bytes in [other.to_vec(), seal(other.to_vec()).to_vec()] {
        let error = error_of(&bytes);
        assert!(matches!(error, ReadError::Version { found } if found == "gw502.recording/9"));
    }
    for bytes in [&b""[..], b"hello\n", &[0xff, 0xfe]] {
        assert!(matches!(error_of(bytes), ReadError::NoHeader), "{bytes:?}");
    }
}

#[test]
fn an_error_does_not_carry_what_a_terminal_would_obey() {
    let hostile = br#"{"failure":{"class":"\u001b[2J"}}"#;
    let header = Line::Header(Header::of(&Origin::sample())).to_bytes();
    let sealed = seal(hostile.to_vec());
    let other = br#"{"header":{"schema":"\u001b[2J"}}"#;
    for bytes in [[&header[..], &sealed[..]].concat(), other.to_vec()] {
        let error = error_of(&bytes);
        let mut text = error.to_string();
        if let ReadError::Damaged { source, .. } = error {
            text += &source.to_string();
        }
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

/// What version 1 had, and nothing of version 2.
#[test]
fn a_recording_of_version_1_is_read() {
    let header = Line::Header(Header::of(&Origin::sample())).to_bytes();
    let old = String::from_utf8(header.to_vec()).unwrap();
    let old = old.replace("gw502.recording/2", "gw502.recording/1");
    let (object, _) = old.rsplit_once(",\"crc32\"").unwrap();
    let header = seal(format!("{object}}}").into_bytes());
    let end = Line::End(Counted::default());
    let failures = failures().into_iter().map(Line::Failure);
    let lines: Vec<_> = failures.chain([end]).collect();
    let mut bytes = header.to_vec();
    for line in &lines {
        bytes.extend(line.to_bytes());
    }
    let (read, result) = read(&bytes);
    assert_eq!(read, lines);
    result.unwrap();
}

#[test]
fn a_header_keeps_what_was_chosen() {
    let choice = Choice {
        class: vec![Class::Timeout, Class::Reset],
        cause: vec![Cause::SendStalled],
        count: Some(3),
    };
    let header = Header::of(&Origin::sample())
        .with_choice(choice.clone())
        .with_host_netns(Some(7));
    let bytes = Line::Header(header).to_bytes();
    let reader = Reader::new(&bytes[..]).unwrap();
    assert_eq!(reader.header().host_netns(), Some(7));
    assert_eq!(reader.header().choice(), &choice);
    assert_eq!(
        choice.to_string(),
        "--class timeout --class reset --cause send-stalled --count 3"
    );
}
