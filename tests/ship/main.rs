//! Sinks against real receivers: what they parsed, field by field.
//!
//! Needs root and the receivers that `cargo xtask test` unpacks, and runs it; but for `outage`, which is
//! about the whole agent, no eBPF and no gw502 binary. Each receiver has a network namespace of its own, so that it listens where
//! `docs/pipeline.md` says.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a live test panics where it fails: the message and the place are its report"
)]

mod journald;
mod loss;
mod otlp;
mod outage;
mod pipe;
mod receiver;
mod records;
mod rsyslog;
mod snippet;
mod syslog;
mod syslog_ng;
mod unit;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use gw502_tests::lab;
use {libc as _, nix as _};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let trials = [
        rsyslog::trials(),
        syslog_ng::trials(),
        journald::trials(),
        otlp::trials(),
        outage::trials(),
        unit::trials(),
    ];
    let trials: Vec<_> = trials.into_iter().flatten().collect();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let missing = receiver::missing();
    if !missing.is_empty() {
        let trial = Trial::test("the_machine_has_what_the_suite_needs", move || {
            Err(missing.join("\n").into())
        });
        (arguments.filter, arguments.skip) = (None, Vec::new());
        return libtest_mimic::run(&arguments, vec![trial]).exit_code();
    }
    lab::sweep();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial that passes unless its body panics.
fn trial(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        body();
        Ok(())
    })
}
