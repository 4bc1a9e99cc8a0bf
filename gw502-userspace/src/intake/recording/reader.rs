//! Reads a recording, and says where it ends or is damaged.
//!
//! A recording comes from anywhere: no line of it may take more memory than [`MAX_LINE`], make us
//! panic, or send a terminal what it should not get.

use std::io::{self, BufRead, Read as _};

use serde::de::IgnoredAny;

use super::{Header, Line, READABLE, unseal};

/// No line that we write is as long: the longest is the last one, of up to 4,096 upstreams with
/// less than a KiB each.
pub(super) const MAX_LINE: u64 = 4 * 1024 * 1024;

/// How every header begins, whatever its version.
const HEADER_START: &[u8] = br#"{"header":{"schema":""#;

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read line {line}, which begins at byte {offset}")]
    Io {
        /// Number of the line, from 1.
        line: u64,
        /// Where it begins, from 0.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a recording at all.
    #[error("this is no recording of gw502")]
    NoHeader,
    /// A recording of another version.
    #[error("the recording is `{found}`, this gw502 reads {}", known())]
    Version {
        /// What it says it is.
        found: String,
    },
    /// A line is damaged.
    #[error("line {line} is damaged: it begins at byte {offset}{}", place(*offset, *column))]
    Damaged {
        /// Number of the line, from 1.
        line: u64,
        /// Where it begins, from 0.
        offset: u64,
        /// The byte of the line, from 1, at which it could not be understood any more.
        column: Option<u64>,
        /// What is wrong with it.
        #[source]
        source: Damage,
    },
    /// The file ends before its end.
    #[error(
        "the recording was cut off after line {lines}, at byte {offset}: its last line, with the \
         totals, is missing{}", piece(*rest)
    )]
    CutOff {
        /// Whole lines that are there.
        lines: u64,
        /// Where they end, from 0.
        offset: u64,
        /// Bytes of an unfinished line that follow.
        rest: u64,
    },
    /// The file goes on after its end.
    #[error(
        "the recording ends with line {lines}, at byte {offset}, but the file goes on: what \
         follows was not shown"
    )]
    Trailing {
        /// Lines of the recording.
        lines: u64,
        /// Where they end, from 0.
        offset: u64,
    },
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Bytes that are no text.
    #[error("it is no UTF-8 text")]
    Text,
    /// No JSON, or JSON of another shape.
    #[error("{0}")]
    Shape(String),
    /// Well-formed, but not what was written.
    #[error("its checksum is missing or does not match: it is not what was written")]
    Checksum,
    /// No newline anywhere near.
    #[error("it is longer than {MAX_LINE} bytes, which no line is")]
    TooLong,
    /// The start of another recording.
    #[error("it is a second header: two recordings in one file?")]
    SecondHeader,
}

fn known() -> String {
    let quoted = READABLE.iter().map(|schema| format!("`{schema}`"));
    quoted.collect::<Vec<_>>().join(" and ")
}

fn place(offset: u64, column: Option<u64>) -> String {
    column.map_or_else(String::new, |column| {
        let at = offset.saturating_add(column).saturating_sub(1);
        format!(", the damage is near byte {at} (column {column})")
    })
}

fn piece(rest: u64) -> String {
    if rest == 0 {
        String::new()
    } else {
        format!(" ({rest} bytes of an unfinished line follow)")
    }
}

/// Reads a recording line by line.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    /// Lines read.
    lines: u64,
    /// Where they end.
    offset: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut first = Vec::new();
        read_line(&mut input, &mut first).map_err(|source| ReadError::Io {
            line: 1,
            offset: 0,
            source,
        })?;
        if !first.starts_with(HEADER_START) {
            return Err(ReadError::NoHeader);
        }
        match parse(&first) {
            Ok(Line::Header(header)) if READABLE.contains(&header.schema.as_str()) => Ok(Self {
                input,
                header,
                lines: 1,
                offset: length(&first),
                buffer: first,
            }),
            Ok(_) => Err(another_version(&first).unwrap_or(ReadError::NoHeader)),
            Err(fault) => Err(another_version(&first).unwrap_or_else(|| fault.at(0, 0, &first))),
        }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next line. After [`Line::End`] there is none to ask for, only [`Self::finish`].
    pub fn next_line(&mut self) -> Result<Line, ReadError> {
        let Self {
            input,
            lines,
            offset,
            buffer,
            ..
        } = self;
        buffer.clear();
        read_line(input, buffer).map_err(|source| ReadError::Io {
            line: lines.saturating_add(1),
            offset: *offset,
            source,
        })?;
        let line = match parse(buffer) {
            Ok(Line::Header(_)) => Err(Fault {
                column: None,
                damage: Damage::SecondHeader,
            }),
            parsed => parsed,
        };
        let line = line.map_err(|fault| fault.at(*lines, *offset, buffer))?;
        *lines = lines.saturating_add(1);
        *offset = offset.saturating_add(length(buffer));
        Ok(line)
    }

    /// After [`Line::End`]: whether that is the end of the file as well.
    pub fn finish(mut self) -> Result<(), ReadError> {
        let Self { lines, offset, .. } = self;
        let rest = self.input.fill_buf().map_err(|source| ReadError::Io {
            line: lines.saturating_add(1),
            offset,
            source,
        })?;
        if rest.is_empty() {
            Ok(())
        } else {
            Err(ReadError::Trailing { lines, offset })
        }
    }
}

/// What is wrong with a line, wherever it stands.
struct Fault {
    column: Option<u64>,
    damage: Damage,
}

impl Fault {
    /// The same of `line`, after so many lines and bytes. A line without its newline is the last
    /// of the file, and was cut off.
    fn at(self, lines: u64, offset: u64, line: &[u8]) -> ReadError {
        let whole = line.ends_with(b"\n") || self.damage == Damage::TooLong;
        if whole {
            ReadError::Damaged {
                line: lines.saturating_add(1),
                offset,
                column: self.column,
                source: self.damage,
            }
        } else {
            ReadError::CutOff {
                lines,
                offset,
                rest: length(line),
            }
        }
    }
}

/// Appends a line with its newline, or as much of it as [`MAX_LINE`] allows and one byte more.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    input.take(MAX_LINE + 1).read_until(b'\n', line)
}

fn parse(line: &[u8]) -> Result<Line, Fault> {
    if length(line) > MAX_LINE {
        let (column, damage) = (None, Damage::TooLong);
        return Err(Fault { column, damage });
    }
    let Some(object) = unseal(line) else {
        return Err(unsound(line));
    };
    serde_json::from_slice(&object).map_err(|error| shape(&error))
}

/// Why a line without the right checksum is wrong: the place in it, if there is one to name.
fn unsound(line: &[u8]) -> Fault {
    if let Err(error) = std::str::from_utf8(line) {
        let column = u64::try_from(error.valid_up_to()).map_or(None, |at| at.checked_add(1));
        let damage = Damage::Text;
        return Fault { column, damage };
    }
    match serde_json::from_slice::<IgnoredAny>(line) {
        Err(error) => shape(&error),
        Ok(IgnoredAny) => Fault {
            column: None,
            damage: Damage::Checksum,
        },
    }
}

fn shape(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&at).unwrap_or(&text);
    let column = (error.line() > 0).then(|| u64::try_from(error.column()).unwrap_or(u64::MAX));
    Fault {
        column: column.filter(|column| *column > 0),
        damage: Damage::Shape(plain(what)),
    }
}

/// A header of a version whose other fields we do not know.
fn another_version(first: &[u8]) -> Option<ReadError> {
    let value: serde_json::Value = serde_json::from_slice(first).ok()?;
    let found = value.get("header")?.get("schema")?.as_str()?;
    (!READABLE.contains(&found)).then(|| ReadError::Version {
        found: plain(found),
    })
}

/// Words of a file, fit for a terminal: it must not obey them, nor be flooded.
fn plain(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
