//! Pure: a record as a message of RFC 5424.
//!
//! - TIMESTAMP is the event's, in microseconds: more digits are not allowed (section 6.2.3).
//! - All fields stand in one element, `gw502@32473`. 32473 is the number that RFC 5612 sets aside for
//!   examples: gw502 has none of its own, and this one belongs to nobody else.
//! - Control characters in values become `#` and three octal digits, as section 6.3.3 allows and
//!   rsyslog does by itself: a line feed in a process name must not look like a second message.
//! - A line for people has the byte order mark of section 6.4 where it is more than ASCII, and only
//!   there: rsyslog hands the mark on as text. JSON has none: RFC 8259, section 8.1.

use std::borrow::Cow;
use std::io;

use syslog_fmt::v5424::{Config, Formatter, Msg, write_data, write_msg};
use syslog_fmt::{Facility, Severity};

use crate::config::SyslogMessage;
use crate::sink::fields::{self, Fields};
use crate::sink::ship::{Kind, Record};

/// Who sends.
const APP_NAME: &str = "gw502";

/// Names the element that holds the fields.
pub(super) const SD_ID: &str = "gw502@32473";

/// Says in the structured data how many bytes of the message were cut off.
pub(super) const CUT: &str = "cut";

/// How long a HOSTNAME may be.
const HOSTNAME: usize = 255;

/// How messages look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) facility: Facility,
    /// Our own process id.
    pub(super) pid: u32,
    pub(super) message: SyslogMessage,
}

/// A message that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// Whether it had to be cut for that.
    pub(super) cut: bool,
}

impl Form {
    /// Writes a record in at most `limit` bytes, 480 or more. The text gives way first; where that is
    /// not enough, the fields that matter least.
    pub(super) fn message(self, record: &Record, limit: usize) -> io::Result<Message> {
        let fields = Fields::of(record);
        let text = match self.message {
            SyslogMessage::Text => Cow::Borrowed(fields.line.as_str()),
            SyslogMessage::Json => String::from_utf8_lossy(&record.json),
        };
        let text = text.trim_end_matches('\n');
        let mut pairs: Vec<_> = fields
            .pairs
            .iter()
            .map(|(name, value)| (*name, escaped(value)))
            .collect();
        let write = |pairs: &[_], text: &str| self.write(record.kind, &fields, pairs, text);
        let bytes = write(&pairs, text)?;
        if bytes.len() <= limit {
            return Ok(Message { bytes, cut: false });
        }
        // With the longest number that may come to stand there, and a text of no bytes.
        pairs.push((CUT, Cow::Owned(text.len().to_string())));
        let mut without = write(&pairs, "")?.len() + MARK;
        while without > limit && pairs.len() > 2 {
            pairs.remove(pairs.len() - 2);
            without = write(&pairs, "")?.len() + MARK;
        }
        let kept = text.floor_char_boundary(limit.saturating_sub(without));
        let (kept, lost) = text.split_at(kept);
        if let Some((_, count)) = pairs.last_mut() {
            *count = Cow::Owned(lost.len().to_string());
        }
        let bytes = write(&pairs, kept)?;
        Ok(Message { bytes, cut: true })
    }

    fn write(
        self,
        kind: Kind,
        fields: &Fields,
        pairs: &[(&str, Cow<'_, str>)],
        text: &str,
    ) -> io::Result<Vec<u8>> {
        let host = fields
            .host
            .as_deref()
            .map(name)
            .filter(|host| !host.is_empty());
        let formatter: Formatter = Config {
            facility: self.facility,
            hostname: host.as_deref(),
            app_name: Some(APP_NAME),
            proc_id: Some(&self.pid.to_string()),
        }
        .into();
        let time = fields.time.map(|time| format!("{time:.6}"));
        let mut bytes = Vec::with_capacity(512 + text.len());
        formatter.write_header(
            &mut bytes,
            severity(fields.severity),
            time.unwrap_or_else(|| "-".to_owned()),
            Some(msg_id(kind)),
        )?;
        let values = || pairs.iter().map(|(name, value)| (*name, value.as_ref()));
        // Without any there is no element, and the crate writes the `-` for that.
        let element = (!pairs.is_empty()).then(|| (SD_ID, values()));
        write_data(&mut bytes, element)?;
        match self.message {
            _ if text.is_empty() => {}
            SyslogMessage::Text if !text.is_ascii() => write_msg(&mut bytes, text)?,
            _ => write_msg(&mut bytes, Msg::NonUnicodeBytes(text.as_bytes()))?,
        }
        Ok(bytes)
    }
}

/// A space and the byte order mark before a text.
const MARK: usize = 4;

const fn msg_id(kind: Kind) -> &'static str {
    match kind {
        Kind::Failure => "failure",
        Kind::Diagnosis => "diagnosis",
    }
}

const fn severity(severity: fields::Severity) -> Severity {
    match severity {
        fields::Severity::Critical => Severity::Crit,
        fields::Severity::Error => Severity::Err,
        fields::Severity::Warning => Severity::Warning,
        fields::Severity::Notice => Severity::Notice,
        fields::Severity::Info => Severity::Info,
    }
}

/// Of a name what section 6 allows there: visible ASCII.
fn name(text: &str) -> String {
    let visible = |one: char| if one.is_ascii_graphic() { one } else { '?' };
    text.chars().map(visible).take(HOSTNAME).collect()
}

/// Control characters as `#` and three octal digits.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(|one: char| one.is_ascii_control()) {
        return Cow::Borrowed(value);
    }
    let octal = |one: char| match one {
        _ if one.is_ascii_control() => format!("#{:03o}", u32::from(one)),
        _ => one.to_string(),
    };
    Cow::Owned(value.chars().map(octal).collect())
}

#[cfg(test)]
mod tests;
