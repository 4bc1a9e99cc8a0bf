//! Recordings: a header, the failures of a run, and what the kernel side counted meanwhile.
//!
//! A line of JSON each, so that a recording can be read without us and a damaged one up to the
//! damage. Each line ends with a checksum of itself: a digit that flipped on a disk would otherwise
//! be a wrong answer. Failures are recorded as they were classified and enriched: a replay needs
//! neither the host nor its kernel, and says the same for ever.
//!
//! `gw502.recording/2` added [`Line::Counters`], for rates over time, and an
//! [`Line::Unrecorded`] without an upstream, for the sum of those beyond counting. A reader of 1
//! would call both damage, hence the number; one of 2 reads 1, which simply has none of them.

mod reader;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use gw502_common::hooks::Hook;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

pub use self::reader::{Damage, ReadError, Reader};
use crate::aggregate::{Counted, Portion, Snapshot};
use crate::clock::TimeAnchor;
use crate::event::{Cause, Class, Failure};
use crate::render::Origin;

/// Version of the format that is written.
const SCHEMA: &str = "gw502.recording/2";

/// Versions that are read. A reader refuses what it does not know.
const READABLE: &[&str] = &["gw502.recording/1", SCHEMA];

/// What stands between a line and its checksum.
const CHECKSUM_KEY: &[u8] = br#","crc32":""#;

/// A line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// A failure, in the order in which they came.
    Failure(Failure),
    /// What the kernel side had counted at a moment, where that changed since the last such line.
    Counters(Snapshot),
    /// Events of an upstream that were counted and not written, because nobody asked for them.
    Unrecorded(Portion),
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
    /// Inode number of the network namespace that gw502 ran in: commands for it need no prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_netns: Option<u32>,
    /// What was to be written.
    #[serde(default, skip_serializing_if = "Choice::is_everything")]
    choice: Choice,
}

/// Which events a recording holds: those of the classes and causes named, or of all, up to so many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// `--class`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class: Vec<Class>,
    /// `--cause`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cause: Vec<Cause>,
    /// `--count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Choice {
    fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Choice {
    /// As it was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.iter().map(|class| format!("--class {class}"));
        let cause = self.cause.iter().map(|cause| format!("--cause {cause}"));
        let count = self.count.iter().map(|count| format!("--count {count}"));
        let words: Vec<_> = class.chain(cause).chain(count).collect();
        f.write_str(&words.join(" "))
    }
}

impl Header {
    /// The header of a run on `origin` that writes everything.
    pub fn of(origin: &Origin) -> Self {
        let now = origin.anchor.wall(0);
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: origin.host.clone(),
            kernel: origin.kernel.clone(),
            hooks: BTreeMap::new(),
            origin: origin.id,
            anchor: origin.anchor,
            utc_offset_s: origin.zone.to_offset(now).seconds(),
            host_netns: None,
            choice: Choice::default(),
        }
    }

    /// The same of a run that saw by these programs.
    #[must_use]
    pub fn with_hooks(self, hooks: impl Iterator<Item = &'static Hook>) -> Self {
        let named = |hook: &Hook| (hook.program.to_owned(), hook.backend.name().to_owned());
        Self {
            hooks: hooks.map(named).collect(),
            ..self
        }
    }

    /// The same of a run that writes only some events.
    #[must_use]
    pub fn with_choice(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// The same of a run in this network namespace.
    #[must_use]
    pub fn with_host_netns(self, host_netns: Option<u32>) -> Self {
        Self { host_netns, ..self }
    }

    /// The network namespace that gw502 ran in.
    pub const fn host_netns(&self) -> Option<u32> {
        self.host_netns
    }

    /// Which events the recording holds.
    pub const fn choice(&self) -> &Choice {
        &self.choice
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
    /// The line, checksum and newline included.
    pub fn to_bytes(&self) -> Bytes {
        // Our own structs of strings and numbers always serialise; were it ever otherwise, the
        // line would be damaged where a reader says so, not missing.
        seal(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Adds the checksum to a JSON object, and the newline.
pub fn seal(mut object: Vec<u8>) -> Bytes {
    if object.last() == Some(&b'}') {
        object.pop();
    }
    let checksum = format!("{:08x}\"}}\n", crc32fast::hash(&object));
    object.extend(CHECKSUM_KEY);
    object.extend(checksum.as_bytes());
    Bytes::from(object)
}

/// Takes the checksum off a line again; `None` when it has none, or not the right one.
fn unseal(line: &[u8]) -> Option<Vec<u8>> {
    /// Eight digits, a quote and a brace.
    const CHECKSUM: usize = 10;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (start, checksum) = line.split_at_checked(line.len().checked_sub(CHECKSUM)?)?;
    let object = start.strip_suffix(CHECKSUM_KEY)?;
    let expected = format!("{:08x}\"}}", crc32fast::hash(object));
    (checksum == expected.as_bytes()).then(|| [object, b"}"].concat())
}

#[cfg(test)]
mod tests;
