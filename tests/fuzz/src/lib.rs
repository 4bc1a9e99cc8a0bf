//! What must hold of any input, whoever made it: property tests, fuzz targets and their corpus.
//!
//! [`decode`] and [`recording`] take bytes and panic when something does not hold. libFuzzer calls
//! them (`cargo xtask fuzz`), and so do the tests of this crate, with everything in `corpus/`: the
//! targets cannot rot unnoticed, and an input that once was trouble stays tested.
//!
//! # Layout
//!
//! - `claims`: what must hold of a failure, a summary, an error.
//! - [`seeds`]: inputs to start from; `corpus/` is made of them.
//! - `properties`: the same and more, of inputs that proptest makes up.
#![expect(
    clippy::expect_used,
    reason = "a claim that does not hold ends the run with its words"
)]

mod claims;
#[cfg(test)]
mod properties;
pub mod seeds;

use gw502_common::wire::RecordHeader;
use gw502_userspace::aggregate::Tally;
use gw502_userspace::classify::Classifier;
use gw502_userspace::diagnose::Engine;
use gw502_userspace::intake::decode::decode as decode_record;
use gw502_userspace::intake::recording::{self as format, Line, ReadError, Reader};
use gw502_userspace::render::{Summary, Unrecorded};
#[cfg(feature = "fuzzer")]
use libfuzzer_sys as _; // the targets'
use zerocopy::FromBytes as _;

/// Bytes as the kernel side might write them: one record after another.
pub fn decode(bytes: &[u8]) {
    let origin = seeds::origin();
    let mut classifier = Classifier::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (record, others) = rest.split_at(record_length(rest));
        rest = others;
        match decode_record(record) {
            Ok(decoded) => {
                let failure = classifier.classify(&decoded, 0);
                claims::failure(&failure, &origin);
                claims::comes_back(&failure, &origin);
            }
            Err(error) => claims::error(&error),
        }
    }
}

/// How long the first record says it is, as far as that can be.
fn record_length(bytes: &[u8]) -> usize {
    let header = RecordHeader::read_from_prefix(bytes).map(|(header, _)| header);
    let claimed = header.map_or(0, |header| usize::from(header.len));
    if (1..=bytes.len()).contains(&claimed) {
        claimed
    } else {
        bytes.len()
    }
}

/// Bytes as somebody might pass for a recording: as they are, and with every checksum made right,
/// so that what is behind the checksums gets its share.
pub fn recording(bytes: &[u8]) {
    read(bytes);
    read(&sealed(bytes));
}

/// Reads to the end, or to the damage, and renders all of it.
fn read(bytes: &[u8]) {
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return claims::error(&error),
    };
    let origin = reader.header().origin();
    let mut tally = Tally::default();
    let mut engine = Engine::default();
    let mut left_out = 0_u64;
    let ended: Result<(), ReadError> = loop {
        match reader.next_line() {
            Ok(Line::Failure(failure)) => {
                claims::failure(&failure, &origin);
                tally.add(&failure);
                engine.event(&failure, true);
            }
            Ok(Line::Unrecorded(portion)) => {
                tally.add_portion(&portion);
                engine.portion(&portion);
                left_out = left_out.saturating_add(portion.events());
            }
            Ok(Line::End(counted)) => {
                engine.end(&counted);
                claims::diagnosis(&mut engine, &origin);
                let unrecorded = Unrecorded {
                    events: left_out,
                    options: reader.header().choice().to_string(),
                };
                let summary = Summary {
                    upstreams: tally.summarise(&counted.upstreams),
                    losses: counted.losses,
                    skips: counted.skips,
                    aborted_shown: false,
                    unrecorded: Some(unrecorded),
                };
                claims::summary(&summary, &origin);
                break reader.finish();
            }
            Ok(Line::Counters(snapshot)) => engine.snapshot(&snapshot),
            Ok(Line::Header(_)) => unreachable!("a second header is damage"),
            Err(error) => break Err(error),
        }
    };
    if let Err(error) = ended {
        claims::error(&error);
    }
}

/// Each line with the checksum that it ought to have.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = br#","crc32":""#;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.fold(Vec::new(), |mut whole, line| {
        match line.windows(KEY.len()).rposition(|window| window == KEY) {
            Some(at) => {
                let object = line.get(..at).unwrap_or_default();
                whole.extend(format::seal([object, b"}"].concat()));
            }
            None => whole.extend(line),
        }
        whole
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn corpus(target: &str) -> PathBuf {
        let top = env!("CARGO_MANIFEST_DIR");
        [top, "corpus", target].iter().collect()
    }

    fn replay(target: &str, run: fn(&[u8])) {
        let entries = fs::read_dir(corpus(target)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "the corpus of {target} is empty");
        for path in paths {
            println!("{}", path.display());
            run(&fs::read(&path).unwrap());
        }
    }

    #[test]
    fn the_corpus_of_decode_holds() {
        replay("decode", decode);
    }

    #[test]
    fn the_corpus_of_recording_holds() {
        replay("recording", recording);
    }

    /// A seed of another wire version would be refused at its first byte, and teach nothing.
    #[test]
    fn the_seeds_in_the_corpus_are_those_of_the_code() {
        for (target, name, bytes) in seeds::all() {
            let path = corpus(target).join(name);
            if std::env::var_os("GW502_BLESS").is_some() {
                fs::write(&path, &bytes).unwrap();
            }
            let kept = fs::read(&path).unwrap_or_default();
            assert!(
                kept == bytes,
                "{} is out of date: run the tests with GW502_BLESS=1",
                path.display()
            );
        }
    }

    #[test]
    fn the_seeds_are_read_to_their_end() {
        for (target, name, bytes) in seeds::all() {
            if target == "decode" {
                decode_record(&bytes).unwrap();
                continue;
            }
            let mut reader = Reader::new(&bytes[..]).unwrap();
            while !matches!(reader.next_line().unwrap(), Line::End(_)) {}
            reader.finish().unwrap();
            assert_eq!(sealed(&bytes), bytes, "{name}");
        }
    }
}
