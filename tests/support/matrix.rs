//! Which cause was made to happen, and which one was diagnosed: the confusion matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// The diagnosis of what is well.
pub const NONE: &str = "none";

/// The cause of each class that only says what TCP shows.
const PLAIN: [&str; 5] = [
    "refused/refused",
    "timeout/syn-unanswered",
    "timeout/response-timeout",
    "reset/reset-before-response",
    "closed/closed-before-response",
];

/// How many scenarios at most may end with the plain cause instead of their own.
const PLAIN_AT_MOST: usize = 2;

/// One scenario and its diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The scenario's name.
    pub scenario: &'static str,
    /// `class/cause` of what was made to happen, or [`NONE`].
    pub expected: &'static str,
    /// `class/cause` that was diagnosed, or [`NONE`].
    pub diagnosed: String,
    /// Why the plain cause is all that can be said here, where it is.
    pub plain: Option<&'static str>,
}

impl Row {
    /// Whether the diagnosis is the expected one, or the plain one where that is allowed.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.is_on_the_diagonal() || (self.plain.is_some() && self.is_plain())
    }

    fn is_on_the_diagonal(&self) -> bool {
        self.expected == self.diagnosed
    }

    /// Whether the diagnosis is the plain cause of the expected class.
    fn is_plain(&self) -> bool {
        let class = |verdict: &str| verdict.split('/').next().map(str::to_owned);
        PLAIN.contains(&self.diagnosed.as_str()) && class(self.expected) == class(&self.diagnosed)
    }
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Adds a row.
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

/// What is wrong with the matrix as a whole; nothing when it is as it should be.
#[must_use]
pub fn complaints(rows: &[Row]) -> Vec<String> {
    let wrong = rows.iter().filter(|row| !row.agrees());
    let mut complaints: Vec<_> = wrong
        .map(|row| {
            format!(
                "{}: {}, and not {}",
                row.scenario, row.diagnosed, row.expected
            )
        })
        .collect();
    let plain = rows.iter().filter(|row| !row.is_on_the_diagonal()).count();
    if plain > PLAIN_AT_MOST {
        complaints.push(format!("{plain} scenarios beside the diagonal"));
    }
    complaints
}

/// The matrix as text: a line for each cause that was expected, a column for each diagnosis.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in rows {
        *counts.entry((row.expected, &row.diagnosed)).or_default() += 1;
    }
    let all = counts.keys().flat_map(|&(expected, seen)| [expected, seen]);
    let verdicts: BTreeSet<&str> = all.collect();
    let width = verdicts.iter().map(|verdict| verdict.len()).max();
    let width = width.unwrap_or_default();
    let mut text = format!("{:>width$}     ", "expected × diagnosed");
    for (column, _) in verdicts.iter().enumerate() {
        append(&mut text, &format!("{:>3}", column + 1));
    }
    text.push('\n');
    for (line, expected) in verdicts.iter().enumerate() {
        append(&mut text, &format!("{expected:>width$}  {:>3}", line + 1));
        for seen in &verdicts {
            match counts.get(&(*expected, *seen)) {
                Some(count) => append(&mut text, &format!("{count:>3}")),
                None => text.push_str("  ·"),
            }
        }
        text.push('\n');
    }
    for row in rows.iter().filter(|row| !row.is_on_the_diagonal()) {
        let why = row.plain.unwrap_or("wrong");
        append(
            &mut text,
            &format!(
                "{}: {} instead of {}: {why}\n",
                row.scenario, row.diagnosed, row.expected
            ),
        );
    }
    text
}

fn append(text: &mut String, more: &str) {
    // A String takes everything.
    crate::tolerate(text.write_str(more));
}

#[cfg(test)]
mod tests {
    use super::{NONE, Row, complaints, text};

    fn row(expected: &'static str, diagnosed: &str, plain: Option<&'static str>) -> Row {
        Row {
            scenario: "one",
            expected,
            diagnosed: diagnosed.to_owned(),
            plain,
        }
    }

    #[test]
    fn only_the_diagonal_agrees_and_what_is_explained() {
        let finer = "refused/no-listener";
        assert!(row(finer, finer, None).agrees());
        assert!(!row(finer, "refused/refused", None).agrees());
        assert!(row(finer, "refused/refused", Some("because")).agrees());
        assert!(!row(finer, "timeout/syn-unanswered", Some("because")).agrees());
        assert!(!row(finer, "refused/firewall-reset", Some("because")).agrees());
        assert!(!row(NONE, "refused/refused", Some("because")).agrees());
    }

    #[test]
    fn no_more_than_two_are_plain() {
        let plain = row("refused/no-listener", "refused/refused", Some("because"));
        assert!(complaints(&[plain.clone(), plain.clone()]).is_empty());
        assert_eq!(complaints(&[plain.clone(), plain.clone(), plain]).len(), 1);
    }

    #[test]
    fn the_diagonal_is_a_diagonal() {
        let rows = [row(NONE, NONE, None), row("a/b", "a/b", None)];
        let text = text(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].trim(), "a/b    1  1  ·");
        assert_eq!(lines[2].trim(), "none    2  ·  1");
    }
}
