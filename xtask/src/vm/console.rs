//! What the guest says on its console: one line for each thing that became of it.

use std::collections::BTreeMap;

/// Starts every line for us. Others are the kernel's and the firmware's.
const MARK: &str = "gw502-vm: ";

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Seen as expected.
    Agrees,
    /// Not seen, which gw502 declares.
    Blind,
    /// This kernel cannot make that fault.
    Absent,
    /// Something else was seen, or nothing.
    Differs,
    /// It did not end in its time, and was killed.
    Hung,
}

/// What became of a guest.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    /// The release of its kernel.
    pub(super) release: Option<String>,
    /// What `gw502 doctor` said, in JSON.
    pub(super) doctor: Option<String>,
    /// The links of a `gw502 trace` without options, as bpftool lists them in JSON.
    pub(super) links: Option<String>,
    /// The programs in the kernel then, likewise.
    pub(super) programs: Option<String>,
    /// Backends, and why they cannot be had.
    pub(super) backends: BTreeMap<String, Option<String>>,
    /// Trials by backend and name.
    pub(super) outcomes: BTreeMap<(String, String), Outcome>,
    /// What a failed trial said, by line.
    pub(super) complaints: Vec<String>,
    /// What runs now.
    pub(super) running: Option<(String, String)>,
    /// Whether it came to its end.
    pub(super) over: bool,
}

impl Report {
    /// Takes in a line of the console.
    pub(super) fn line(&mut self, line: &str) {
        let Some((_, line)) = line.split_once(MARK) else {
            return;
        };
        let line = line.trim_end();
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "kernel" => self.release = Some(rest.to_owned()),
            "doctor" => self.doctor = Some(rest.to_owned()),
            "links" => self.links = Some(rest.to_owned()),
            "programs" => self.programs = Some(rest.to_owned()),
            "backend" => self.backend(rest),
            "begin" => self.running = pair(rest),
            "end" => self.end(rest),
            "|" => self.complaints.push(rest.to_owned()),
            "no-module" => self.complaints.push(format!("not loaded: {rest}")),
            "over" => self.over = true,
            _ => {}
        }
    }

    fn backend(&mut self, rest: &str) {
        let mut words = rest.splitn(3, ' ');
        if let (Some(name), Some(has)) = (words.next(), words.next()) {
            let why = (has != "has").then(|| words.next().unwrap_or_default().trim().to_owned());
            self.backends.insert(name.to_owned(), why);
        }
    }

    fn end(&mut self, rest: &str) {
        let mut words = rest.split(' ');
        if let (Some(backend), Some(trial), Some(code)) = (words.next(), words.next(), words.next())
        {
            let outcome = match code {
                "0" => Outcome::Agrees,
                "blind" => Outcome::Blind,
                "absent" => Outcome::Absent,
                // 128 and SIGKILL: `timeout`.
                "137" => Outcome::Hung,
                _ => Outcome::Differs,
            };
            if outcome == Outcome::Differs {
                self.complaints
                    .push(format!("{trial} through {backend} differs"));
            }
            self.outcomes
                .insert((backend.to_owned(), trial.to_owned()), outcome);
            self.running = None;
        }
    }

    /// The guest was killed: what ran then has hung it.
    pub(super) fn killed(&mut self) {
        if let Some(trial) = self.running.take() {
            self.outcomes.insert(trial, Outcome::Hung);
        }
    }
}

fn pair(rest: &str) -> Option<(String, String)> {
    let (backend, trial) = rest.split_once(' ')?;
    Some((backend.to_owned(), trial.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_tells_what_became_of_the_guest() {
        let mut report = Report::default();
        for line in [
            "Booting from ROM..gw502-vm: kernel 6.1.0",
            "[    1.2] a line of the kernel's",
            "gw502-vm: backend fentry lacks it would hang ",
            "gw502-vm: backend kprobe has",
            "gw502-vm: begin kprobe faults::a",
            "gw502-vm: end kprobe faults::a 0 12.30\r",
            "gw502-vm: begin kprobe faults::b",
            "gw502-vm: | it differs",
            "gw502-vm: end kprobe faults::b 101 14.30",
            "gw502-vm: end kprobe blind::c blind 15.30",
            "gw502-vm: begin kprobe faults::d",
        ] {
            report.line(line);
        }
        report.killed();
        assert_eq!(report.release.as_deref(), Some("6.1.0"));
        assert_eq!(report.backends["fentry"].as_deref(), Some("it would hang"));
        assert_eq!(report.backends["kprobe"], None);
        let outcome = |trial: &str| &report.outcomes[&("kprobe".to_owned(), trial.to_owned())];
        assert_eq!(outcome("faults::a"), &Outcome::Agrees);
        assert_eq!(outcome("faults::b"), &Outcome::Differs);
        assert_eq!(outcome("blind::c"), &Outcome::Blind);
        assert_eq!(outcome("faults::d"), &Outcome::Hung);
        assert!(!report.over);
    }
}
