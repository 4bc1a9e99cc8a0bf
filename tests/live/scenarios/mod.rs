//! Scenarios with ground truth: real proxies, real app servers, one thing wrong at a time, and what
//! the diagnosis makes of the recording.
//!
//! The proxy's own log proves that what was to happen did happen, and counts it. The last trial
//! prints the confusion matrix: expected cause × diagnosed cause.
#![expect(clippy::print_stdout, reason = "the matrix is the suite's output")]

mod healthy;
mod network;
mod processes;
mod restarts;
mod sockets;
mod stage;
mod timing;
mod verdict;

use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use gw502_tests::{machine, matrix};
use libtest_mimic::{Failed, Trial};

use self::stage::{Outcome, Stage};

use crate::steady;

/// Requests of a scenario, unless it needs more.
const SOME: usize = 5;

/// One thing that goes wrong, or nothing.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    name: &'static str,
    /// `class/cause` of the diagnosis, or [`matrix::NONE`].
    expected: &'static str,
    /// Why the plain cause of the class is all that can be said, where it is.
    plain: Option<&'static str>,
    kind: Kind,
    path: Path,
    run: fn(&Stage) -> Outcome,
}

/// Through nginx, all in one namespace.
const fn scenario(
    name: &'static str,
    expected: &'static str,
    run: fn(&Stage) -> Outcome,
) -> Scenario {
    Scenario {
        name,
        expected,
        plain: None,
        kind: Kind::Nginx,
        path: Path::Loopback,
        run,
    }
}

impl Scenario {
    const fn through(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    const fn over(mut self, path: Path) -> Self {
        self.path = path;
        self
    }

    fn play(&self) -> Result<(), Failed> {
        let missing = machine::missing_apps();
        if !missing.is_empty() {
            return Err(missing.join("\n").into());
        }
        let stage = Stage::set(self.kind, self.path);
        let outcome = (self.run)(&stage);
        stage.judge(self, &outcome)
    }
}

/// One trial for each scenario, and the matrix.
pub(crate) fn trials() -> Vec<Trial> {
    let all = [
        processes::ALL,
        restarts::ALL,
        sockets::ALL,
        network::ALL,
        timing::ALL,
        healthy::ALL,
    ];
    let scenarios = all.into_iter().flatten();
    scenarios
        .map(|scenario| {
            let name = format!("scenarios::{}", scenario.name);
            steady::trial(name, || scenario.play())
        })
        .chain([Trial::test("scenarios::matrix", print)])
        .collect()
}

/// Prints the matrix. It fails with the scenarios, so that those of a failed trial are not missed.
fn print() -> Result<(), Failed> {
    let rows = matrix::rows();
    println!("\n\n{}\n{} scenarios\n", matrix::text(&rows), rows.len());
    let complaints = matrix::complaints(&rows);
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n").into())
    }
}
