//! Recordings: a header, the failures of a run, and what the kernel side counted.
//!
//! A line of JSON each, so that a recording can be read without us and a damaged one up to the
//! damage. Failures are recorded as they were classified and enriched: a replay needs neither the
//! host nor its kernel, and says the same for ever.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use bytes::Bytes;
use gw502_common::hooks::HOOKS;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::aggregate::Counted;
use crate::clock::TimeAnchor;
use crate::event::Failure;
use crate::render::Origin;

/// Version of the format. A reader refuses what it does not know.
const SCHEMA: &str = "gw502.recording/1";

/// A line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// A failure, in the order in which they came.
    Failure(Failure),
    /// The last line. Without it the recording was cut off.
    End(Counted),
}

/// What a replay needs to know of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    schema: String,
    /// Version of gw502 that wrote it.
    version: String,
    host: String,
    kernel: String,
    /// Backends by program.
    hooks: BTreeMap<String, String>,
    origin: u64,
    anchor: TimeAnchor,
    /// Seconds east of UTC, so that times of day read the same everywhere.
    utc_offset_s: i32,
}

impl Header {
    /// The header of a run on `origin`.
    pub fn of(origin: &Origin) -> Self {
        let now = origin.anchor.wall(0);
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: origin.host.clone(),
            kernel: origin.kernel.clone(),
            hooks: HOOKS
                .iter()
                .map(|hook| (hook.program.to_owned(), hook.backend.name().to_owned()))
                .collect(),
            origin: origin.id,
            anchor: origin.anchor,
            utc_offset_s: origin.zone.to_offset(now).seconds(),
        }
    }

    /// The host, as far as rendering needs it.
    pub fn origin(&self) -> Origin {
        let offset = Offset::from_seconds(self.utc_offset_s).unwrap_or(Offset::UTC);
        Origin {
            host: self.host.clone(),
            kernel: self.kernel.clone(),
            id: self.origin,
            anchor: self.anchor,
            zone: TimeZone::fixed(offset),
        }
    }
}

impl Line {
    /// The line, newline included.
    pub fn to_bytes(&self) -> Bytes {
        // Our own structs of strings and numbers always serialise; were it ever otherwise, the
        // line would be damaged where a reader says so, not missing.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        Bytes::from(bytes)
    }
}

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read line {line}")]
    Io {
        /// Number of the line, from 1.
        line: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a recording at all.
    #[error("this is no recording of gw502")]
    NoHeader,
    /// A recording of another version.
    #[error("the recording is `{found}`, this gw502 reads `{SCHEMA}`")]
    Version {
        /// What it says it is.
        found: String,
    },
    /// A line is damaged.
    #[error("line {line} is damaged")]
    Damaged {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The file ends before its end.
    #[error(
        "the recording was cut off after line {lines}: its last line, with the totals, is missing"
    )]
    CutOff {
        /// Lines that are there.
        lines: u64,
    },
}

/// Reads a recording line by line.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    lines: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let first = read_line(&mut input, 1)?.ok_or(ReadError::NoHeader)?;
        match serde_json::from_str(&first) {
            Ok(Line::Header(header)) if header.schema == SCHEMA => Ok(Self {
                input,
                header,
                lines: 1,
            }),
            Ok(Line::Header(Header { schema, .. })) => Err(ReadError::Version { found: schema }),
            _ => Err(another_version(&first).unwrap_or(ReadError::NoHeader)),
        }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next line. After [`Line::End`] there is none to ask for.
    pub fn next_line(&mut self) -> Result<Line, ReadError> {
        let number = self.lines + 1;
        let cut_off = ReadError::CutOff { lines: self.lines };
        let line = read_line(&mut self.input, number)?.ok_or(cut_off)?;
        let parsed = serde_json::from_str(&line);
        if parsed.is_err() && !line.ends_with('\n') {
            return Err(ReadError::CutOff { lines: self.lines });
        }
        self.lines = number;
        parsed.map_err(|source| ReadError::Damaged {
            line: number,
            source,
        })
    }
}

/// A header of a version whose other fields we do not know.
fn another_version(first: &str) -> Option<ReadError> {
    let value: serde_json::Value = serde_json::from_str(first).ok()?;
    let found = value.get("header")?.get("schema")?.as_str()?.to_owned();
    Some(ReadError::Version { found })
}

fn read_line(input: &mut impl BufRead, line: u64) -> Result<Option<String>, ReadError> {
    let mut text = String::new();
    let length = input
        .read_line(&mut text)
        .map_err(|source| ReadError::Io { line, source })?;
    Ok((length > 0).then_some(text))
}

#[cfg(test)]
mod tests {
    use gw502_common::ending::Ending;
    use gw502_common::wire::FailureRecord;

    use super::*;
    use crate::classify::Classifier;
    use crate::intake::decode::Ended;

    fn origin() -> Origin {
        Origin {
            host: "edge-1".to_owned(),
            kernel: "Linux 6.1.0".to_owned(),
            id: 7,
            anchor: TimeAnchor {
                offset_ns: 1_700_000_000_000_000_000,
            },
            zone: TimeZone::UTC,
        }
    }

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

    fn recording() -> Vec<u8> {
        let mut bytes = Line::Header(Header::of(&origin())).to_bytes().to_vec();
        for failure in failures() {
            bytes.extend(Line::Failure(failure).to_bytes());
        }
        bytes.extend(Line::End(Counted::default()).to_bytes());
        bytes
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Line>, ReadError> {
        let mut reader = Reader::new(bytes)?;
        let mut lines = Vec::new();
        loop {
            let line = reader.next_line()?;
            let last = matches!(line, Line::End(_));
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
    }

    #[test]
    fn every_failure_comes_back_as_it_was() {
        let lines = read_all(&recording()).unwrap();
        let mut expected: Vec<_> = failures().into_iter().map(Line::Failure).collect();
        expected.push(Line::End(Counted::default()));
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_recording_cut_anywhere_is_an_error_and_never_a_panic() {
        let whole = recording();
        for length in 0..whole.len() - 1 {
            let cut = whole.get(..length).unwrap();
            let error = read_all(cut).unwrap_err();
            assert!(
                matches!(error, ReadError::NoHeader | ReadError::CutOff { .. }),
                "cut at {length}: {error:?}"
            );
        }
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let mut bytes = recording();
        let second_line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes[second_line] = b'#';
        assert!(matches!(
            read_all(&bytes),
            Err(ReadError::Damaged { line: 2, .. })
        ));
    }

    #[test]
    fn another_version_and_another_file_are_told_apart() {
        let other = br#"{"header":{"schema":"gw502.recording/9","new":1}}"#;
        let error = read_all(other).unwrap_err();
        assert!(matches!(error, ReadError::Version { found } if found == "gw502.recording/9"));
        assert!(matches!(read_all(b"hello\n"), Err(ReadError::NoHeader)));
        assert!(matches!(
            read_all(&[0xff, 0xfe]),
            Err(ReadError::Io { line: 1, .. })
        ));
    }
}
