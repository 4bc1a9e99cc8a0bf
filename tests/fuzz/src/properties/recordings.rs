//! Arbitrary recordings, and arbitrary damage to them.

use gw502_userspace::aggregate::Tally;
use gw502_userspace::classify::Classifier;
use gw502_userspace::event::Failure;
use gw502_userspace::intake::decode::decode as decode_record;
use gw502_userspace::intake::recording::{Choice, Line, ReadError, Reader};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::{option, prop_assert, prop_assert_eq, proptest};
use zerocopy::IntoBytes as _;

use super::records::record;
use crate::seeds;

/// A failure with anything that the live host may add to it.
fn failure() -> impl Strategy<Value = Failure> {
    let text = || option::of(any::<String>());
    let added = (any::<u64>(), text(), text(), text());
    (record(), added).prop_map(|(record, (lost_before, exe, cgroup, container))| {
        let decoded = decode_record(record.as_bytes()).unwrap();
        let mut failure = Classifier::default().classify(&decoded, lost_before);
        failure.proxy.exe = exe;
        failure.proxy.cgroup = cgroup;
        failure.proxy.container = container;
        failure
    })
}

fn recording() -> impl Strategy<Value = Vec<u8>> {
    (vec(failure(), 1..6), vec(failure(), 0..4)).prop_map(|(failures, others)| {
        let mut left_out = Tally::default();
        for failure in &others {
            left_out.add(failure);
        }
        seeds::recording(Choice::default(), &failures, &left_out)
    })
}

/// What may happen to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(Index),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
}

impl Damage {
    /// The damaged bytes, and where the damage begins; `None` when it changed nothing.
    fn apply(&self, whole: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut bytes = whole.to_vec();
        let at = match self {
            Self::Cut(at) => {
                bytes.truncate(at.index(whole.len()));
                bytes.len()
            }
            Self::Flip(at, mask) => {
                bytes[at.index(whole.len())] ^= mask;
                at.index(whole.len())
            }
            Self::Insert(at, more) => {
                let at = at.index(whole.len() + 1);
                bytes.splice(at..at, more.iter().copied());
                at
            }
            Self::Remove(at, length) => {
                let at = at.index(whole.len());
                bytes.drain(at..whole.len().min(at + length));
                at
            }
        };
        (bytes != whole).then_some((bytes, at))
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        at().prop_map(Damage::Cut),
        (at(), 1..=u8::MAX).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        (at(), vec(any::<u8>(), 1..50)).prop_map(|(at, more)| Damage::Insert(at, more)),
        (at(), 1..2000_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
    ]
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

/// The lines after the header, and how reading ended.
fn read(bytes: &[u8]) -> (Vec<Line>, Result<(), ReadError>) {
    let mut lines = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (lines, Err(error)),
    };
    loop {
        match reader.next_line() {
            Ok(line) => lines.push(line),
            Err(error) => return (lines, Err(error)),
        }
        if matches!(lines.last(), Some(Line::End(_))) {
            return (lines, reader.finish());
        }
    }
}

proptest! {
    #![proptest_config(super::few())]

    #[test]
    fn any_recording_is_read_to_its_end(recording in recording()) {
        let (lines, result) = read(&recording);
        prop_assert!(result.is_ok(), "{:?}", result);
        prop_assert_eq!(lines.len(), newlines(&recording) - 1);
        crate::recording(&recording);
    }

    /// Every line before the damage, none after it, and an error; only what is missed at the very
    /// end, a newline, is missed by nobody.
    #[test]
    fn any_damage_is_noticed_where_it_begins(recording in recording(), damage in damage()) {
        if let Some((bytes, at)) = damage.apply(&recording) {
            let (whole, _) = read(&recording);
            let (lines, result) = read(&bytes);
            let intact = newlines(&recording[..at]).saturating_sub(1);
            prop_assert_eq!(&lines[..intact], &whole[..intact], "before the damage");
            // A line that lost its newline alone may still be whole.
            prop_assert!(lines.len() <= intact + 1, "{} lines, {intact} intact", lines.len());
            prop_assert_eq!(&lines[..], &whole[..lines.len()], "nothing made up");
            let all_but_newline = recording.strip_suffix(b"\n") == Some(&bytes);
            prop_assert_eq!(result.is_ok(), all_but_newline, "{:?}", result);
            crate::recording(&bytes);
        }
    }

    #[test]
    fn any_bytes_are_a_recording_or_an_error(bytes in vec(any::<u8>(), 0..2000)) {
        crate::recording(&bytes);
    }
}
