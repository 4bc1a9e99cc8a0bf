//! The sinks against real receivers: what they parsed, field by field.
//!
//! No eBPF and no proxy: records and measures are made by hand, and the library's sinks deliver them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a live test panics where it fails: the message and the place are its report"
)]

use {libc as _, nix as _}; // the bench's

mod otlp;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, otlp::trials()).exit_code()
}

/// A trial that passes unless its body panics.
fn trial(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        body();
        Ok(())
    })
}
