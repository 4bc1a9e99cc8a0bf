//! A record as a line of a segment: kind, checksum and JSON, for people as well.
//!
//! `F 1c291ca3 {…}`: a damaged line is recognised, and the next one is not harmed by it.

use bytes::Bytes;

use crate::sink::ship::{Kind, Record};

/// Kind, space, eight digits, space; and the line feed.
const AROUND: usize = 12;

/// Bytes of its line.
pub(super) fn length(record: &Record) -> u64 {
    super::length(&record.json).saturating_add(super::super::count(AROUND))
}

/// Appends its line.
pub(super) fn append(record: &Record, lines: &mut Vec<u8>) {
    let kind = letter(record.kind);
    let head = format!("{kind} {:08x} ", checksum(kind, &record.json));
    lines.extend_from_slice(head.as_bytes());
    lines.extend_from_slice(&record.json);
    lines.push(b'\n');
}

/// The record of a line, with or without line feed; `None` when the line is damaged.
pub(super) fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (head, json) = line.split_at_checked(AROUND.checked_sub(1)?)?;
    let kind = match head.first()? {
        b'F' => Kind::Failure,
        b'D' => Kind::Diagnosis,
        _ => return None,
    };
    let expected = format!("{} {:08x} ", letter(kind), checksum(letter(kind), json));
    (head == expected.as_bytes()).then(|| Record {
        kind,
        json: Bytes::copy_from_slice(json),
    })
}

const fn letter(kind: Kind) -> char {
    match kind {
        Kind::Failure => 'F',
        Kind::Diagnosis => 'D',
    }
}

/// Of the kind as well: it decides where the record goes.
fn checksum(kind: char, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(kind.to_string().as_bytes());
    hasher.update(json);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_record_again() {
        for kind in [Kind::Failure, Kind::Diagnosis] {
            let record = Record {
                kind,
                json: Bytes::from_static(br#"{"id":"a","n":1}"#),
            };
            let mut line = Vec::new();
            append(&record, &mut line);
            assert_eq!(super::super::length(&line), length(&record));
            assert_eq!(parse(&line), Some(record));
        }
    }

    #[test]
    fn a_digit_that_flipped_is_noticed_wherever_it_is() {
        let mut line = Vec::new();
        let json = Bytes::from_static(b"{}");
        let kind = Kind::Failure;
        append(&Record { kind, json }, &mut line);
        for at in 0..line.len() - 1 {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(parse(&damaged), None, "{at} {bit}");
            }
            assert_eq!(parse(&line[..at]), None, "{at}");
        }
    }
}
