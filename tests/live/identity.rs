//! Whose failure it was: the proxy's, whatever else ran when the packet came.
//!
//! A connection ends in the context of whoever is interrupted: on the delayed path in the relay's,
//! with busy processors in some process that has nothing to do with it. Each event has to name the
//! proxy all the same.

use std::process::Command;

use libtest_mimic::Trial;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use gw502_tests::lab::Path;
use gw502_tests::process::Process;
use gw502_tests::proxy::Kind;

use crate::faults::{self, Case, Load};
use crate::steady;

const LOAD: Load = Load {
    requests: 60,
    parallel: 20,
};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for case in faults::BUSY {
        for &path in case.paths {
            for &kind in case.proxies {
                let name = format!("identity::{}::{path}::{kind}", case.name);
                trials.push(steady::trial(name, move || measure_busy(case, path, kind)));
            }
        }
    }
    trials
}

fn measure_busy(case: &Case, path: Path, kind: Kind) -> Result<(), libtest_mimic::Failed> {
    let busy: Vec<_> = processors().into_iter().map(occupy).collect();
    let measured = faults::measure(case, path, kind, LOAD);
    drop(busy);
    measured
}

/// A process that never rests, pinned on one processor.
fn occupy(processor: usize) -> Process {
    let mut command = Command::new("taskset");
    command.args([
        "--cpu-list",
        &processor.to_string(),
        "sh",
        "-c",
        "while :; do :; done",
    ]);
    Process::start(&mut command)
}

/// The processors we may run on.
fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("our own processors");
    (0..CpuSet::count())
        .filter(|&processor| allowed.is_set(processor) == Ok(true))
        .collect()
}
