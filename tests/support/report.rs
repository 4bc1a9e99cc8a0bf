//! The table at the end of the live suite: every row that ran, in order.

use std::sync::{Mutex, PoisonError};

use crate::lab::Path;
use crate::proxy::Kind;

/// One fault through one proxy over one path.
#[derive(Debug, Clone)]
pub struct Row {
    /// The fault's name.
    pub fault: &'static str,
    /// The proxy it went through.
    pub proxy: Kind,
    /// The way to the upstream.
    pub path: Path,
    /// Attempts that really failed, by the proxy's own log or the upstream's count.
    pub failed: usize,
    /// Events gw502 reported.
    pub events: usize,
    /// The `class/cause` they should have.
    pub expected: &'static str,
    /// The ones they have.
    pub seen: String,
    /// Lines of the proxy's log that speak of a failure.
    pub log_lines: usize,
    /// Whether everything agreed.
    pub agrees: bool,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Adds a row to the table.
pub fn add(row: Row) {
    ROWS.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(row);
}

/// Forgets all but the first `count` rows.
pub fn keep(count: usize) {
    ROWS.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .truncate(count);
}

/// The rows so far.
#[must_use]
pub fn rows() -> Vec<Row> {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The table as text; empty when no row ran.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = [
        "FAULT",
        "PROXY",
        "PATH",
        "FAILED",
        "EVENTS",
        "EXPECTED",
        "SEEN",
        "LOG LINES",
        "",
    ]
    .map(str::to_owned);
    let cells: Vec<_> = std::iter::once(head)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        cells
            .iter()
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    cells.iter().fold(String::new(), |text, row| {
        let line: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text + line.join("  ").trim_end() + "\n"
    })
}

impl Row {
    fn cells(&self) -> [String; 9] {
        [
            self.fault.to_owned(),
            self.proxy.to_string(),
            self.path.to_string(),
            self.failed.to_string(),
            self.events.to_string(),
            self.expected.to_owned(),
            self.seen.clone(),
            self.log_lines.to_string(),
            if self.agrees { "" } else { "DIFFERS" }.to_owned(),
        ]
    }
}
