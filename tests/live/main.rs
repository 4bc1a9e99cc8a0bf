//! The live suite: faults made on purpose, compared with what gw502 reports.
//!
//! Needs root, nginx, `HAProxy`, Apache and nftables; `cargo xtask test` installs them and runs it.
#![expect(
    clippy::expect_used,
    reason = "a live test panics where it fails: the message and the place are its report"
)]

mod agent;
mod attach;
mod blind;
mod command_line;
mod demo;
mod diagnose;
mod fastopen;
mod faults;
mod filters;
mod identity;
mod neighbour;
mod patience;
mod privilege;
mod queues;
mod recording;
mod repair;
mod resets;
mod reuse;
mod scenarios;
mod scene;
mod silence;
mod sockets;
mod steady;
mod storm;
mod table;
mod uploads;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use gw502_tests::{lab, machine};
use {bytes as _, gw502_userspace as _, tokio as _}; // of the suite `ship`

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: the machine's programs, namespaces and processors are shared.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, every_trial()).exit_code();
    }
    let missing = machine::missing();
    if !missing.is_empty() {
        let trial = Trial::test("the_machine_has_what_the_suite_needs", move || {
            Err(missing.join("\n").into())
        });
        (arguments.filter, arguments.skip) = (None, Vec::new());
        return libtest_mimic::run(&arguments, vec![trial]).exit_code();
    }
    lab::sweep();
    let trials = table::with_table(&mut arguments, every_trial());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn every_trial() -> Vec<Trial> {
    [
        faults::trials(),
        identity::trials(),
        silence::trials(),
        sockets::trials(),
        repair::trials(),
        resets::trials(),
        reuse::trials(),
        uploads::trials(),
        neighbour::trials(),
        queues::trials(),
        fastopen::trials(),
        patience::trials(),
        blind::trials(),
        privilege::trials(),
        attach::trials(),
        filters::trials(),
        storm::trials(),
        command_line::trials(),
        recording::trials(),
        demo::trials(),
        scenarios::trials(),
        diagnose::trials(),
        agent::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A trial that passes unless its body panics.
fn trial(name: impl Into<String>, body: impl Fn() + Send + 'static) -> Trial {
    steady::trial(name, move || {
        body();
        Ok(())
    })
}
