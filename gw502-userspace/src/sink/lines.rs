//! Records as lines of JSON.

use crate::sink::ship::Record;

/// Appends the line of a record.
pub(super) fn append(record: &Record, lines: &mut Vec<u8>) {
    lines.extend_from_slice(&record.json);
    lines.push(b'\n');
}

/// The lines of all records.
pub(super) fn of(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        append(record, &mut lines);
    }
    lines
}
