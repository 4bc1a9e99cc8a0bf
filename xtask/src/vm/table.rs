//! The table: kernel × backend × fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::console::{Outcome, Report};

/// What a guest was to do, and what became of it.
#[derive(Debug)]
pub(super) struct Guest {
    /// What its kernel is called.
    pub(super) series: &'static str,
    /// Backends that its kernel must not have, with a word of the reason.
    pub(super) lacks: &'static [(&'static str, &'static str)],
    /// What it said.
    pub(super) report: Report,
    /// How long it ran.
    pub(super) took: Duration,
}

/// How a cell is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Ok,
    Blind,
    /// The kernel has no such backend, or no such fault, as expected.
    Absent,
    Fail,
    Hung,
    NotRun,
}

impl Cell {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Blind => "blind",
            Self::Absent => "-",
            Self::Fail => "FAIL",
            Self::Hung => "HUNG",
            Self::NotRun => "NOT RUN",
        }
    }

    const fn is_good(self) -> bool {
        matches!(self, Self::Ok | Self::Blind | Self::Absent)
    }
}

/// The table as text, and how many cells are good and bad.
pub(super) fn table(
    guests: &[Guest],
    backends: &[String],
    trials: &[String],
) -> (String, u64, u64) {
    let columns: Vec<(&Guest, &String)> = guests
        .iter()
        .flat_map(|guest| backends.iter().map(move |backend| (guest, backend)))
        .collect();
    let wide = trials
        .iter()
        .map(|trial| short(trial).len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let mut line = |first: &str, cells: &mut dyn Iterator<Item = String>| {
        push(&mut text, format_args!("{first:wide$}"));
        for cell in cells {
            push(&mut text, format_args!("  {cell:10}"));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(
        "kernel",
        &mut columns.iter().map(|(guest, _)| guest.series.to_owned()),
    );
    line(
        "fault \\ backend",
        &mut columns.iter().map(|(_, backend)| (*backend).clone()),
    );
    let (mut good, mut bad) = (0, 0);
    for trial in trials {
        let cells: Vec<Cell> = columns
            .iter()
            .map(|(guest, backend)| cell(guest, backend, trial))
            .collect();
        for cell in &cells {
            if cell.is_good() {
                good += 1;
            } else {
                bad += 1;
            }
        }
        line(
            short(trial),
            &mut cells.iter().map(|cell| cell.word().to_owned()),
        );
    }
    for note in notes(guests) {
        push(&mut text, format_args!("{note}\n"));
    }
    (text, good, bad)
}

/// The words in all cells, by kernel, backend and trial.
pub(super) fn words(
    guests: &[Guest],
    backends: &[String],
    trials: &[String],
) -> BTreeMap<(&'static str, String, String), &'static str> {
    let mut words = BTreeMap::new();
    for guest in guests {
        for (backend, trial) in backends
            .iter()
            .flat_map(|backend| trials.iter().map(move |trial| (backend, trial)))
        {
            let key = (guest.series, backend.clone(), trial.clone());
            words.insert(key, cell(guest, backend, trial).word());
        }
    }
    words
}

fn cell(guest: &Guest, backend: &str, trial: &str) -> Cell {
    if let Some(Some(why)) = guest.report.backends.get(backend) {
        let expected = |(name, word): &(&str, &str)| *name == backend && why.contains(word);
        return if guest.lacks.iter().any(expected) {
            Cell::Absent
        } else {
            Cell::Fail
        };
    }
    let key = (backend.to_owned(), trial.to_owned());
    match guest.report.outcomes.get(&key) {
        Some(Outcome::Agrees) => Cell::Ok,
        Some(Outcome::Blind) => Cell::Blind,
        Some(Outcome::Absent) => Cell::Absent,
        Some(Outcome::Differs) => Cell::Fail,
        Some(Outcome::Hung) => Cell::Hung,
        None => Cell::NotRun,
    }
}

/// What the words in the cells cannot say.
fn notes(guests: &[Guest]) -> BTreeSet<String> {
    let mut notes = BTreeSet::new();
    for guest in guests {
        let Guest { series, report, .. } = guest;
        notes.insert(format!("{series} took {} s", guest.took.as_secs()));
        for (backend, why) in &report.backends {
            if let Some(why) = why {
                notes.insert(format!("{series} has no {backend}: {why}"));
            }
        }
        if !report.over {
            notes.insert(format!("{series} did not come to its end"));
        }
    }
    notes
}

/// A trial's name without the words that all rows of its kind share.
fn short(trial: &str) -> &str {
    trial.strip_prefix("faults::").unwrap_or(trial)
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or(());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(lines: &[&str]) -> Guest {
        let mut report = Report::default();
        for line in lines {
            report.line(&format!("gw502-vm: {line}"));
        }
        Guest {
            series: "6.1",
            lacks: &[("fentry", "hang")],
            report,
            took: Duration::from_secs(7),
        }
    }

    #[test]
    fn what_was_not_run_is_no_pass() {
        let backends = ["fentry", "kprobe"].map(str::to_owned);
        let trials = ["faults::a", "faults::b"].map(str::to_owned);
        let guests = [guest(&[
            "backend fentry lacks it can hang",
            "backend kprobe has",
            "end kprobe faults::a 0 1.0",
        ])];
        let (text, good, bad) = table(&guests, &backends, &trials);
        assert_eq!((good, bad), (3, 1), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[2].split_whitespace().collect::<Vec<_>>(),
            ["a", "-", "ok"]
        );
        assert_eq!(
            lines[3].split_whitespace().collect::<Vec<_>>(),
            ["b", "-", "NOT", "RUN"]
        );
        assert_eq!(lines[4], "6.1 did not come to its end");
        assert_eq!(lines[5], "6.1 has no fentry: it can hang");
        assert_eq!(lines[6], "6.1 took 7 s");
    }

    #[test]
    fn a_backend_that_ought_to_be_there_and_is_not_fails() {
        let backends = ["kprobe".to_owned()];
        let trials = ["faults::a".to_owned()];
        let guests = [guest(&[
            "backend kprobe lacks the verifier refused it",
            "over",
        ])];
        let (_, good, bad) = table(&guests, &backends, &trials);
        assert_eq!((good, bad), (0, 1));
    }
}
