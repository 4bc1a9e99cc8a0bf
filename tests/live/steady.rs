//! Trials on a machine that keeps time.
//!
//! What they make to happen is made of time-outs, and of requests that meet, or do not meet, the end of
//! a connection. Where the machine itself stands still meanwhile, as guests of a busy host do, something
//! else happens. So a trial that failed while it did is played again, and that is said; one that fails
//! on a machine that kept time has failed.
#![expect(clippy::print_stdout, reason = "what was played again has to be seen")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use gw502_tests::{deadline, matrix, report, stall};
use libtest_mimic::{Failed, Trial};

/// Less than the time-outs and moments of the trials leave room for.
const STEADY: Duration = Duration::from_millis(20);

/// How often one is played at most.
const TIMES: usize = 3;

/// A trial, by its name.
pub(crate) fn trial(
    name: impl Into<String>,
    body: impl Fn() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::test(name, move || play(&body))
}

fn play(body: &impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
    for _ in 1..TIMES {
        let rows = (report::rows().len(), matrix::rows().len());
        stall::begin();
        let result = catch_unwind(AssertUnwindSafe(body));
        let stood = stall::longest();
        // An emulator stands still all the time; there nothing is played again.
        if matches!(result, Ok(Ok(()))) || stood < STEADY || deadline::is_slow() {
            return result.unwrap_or_else(|panic| resume_unwind(panic));
        }
        report::keep(rows.0);
        matrix::keep(rows.1);
        let why = result
            .as_ref()
            .ok()
            .and_then(|result| result.as_ref().err());
        let why = why
            .and_then(Failed::message)
            .unwrap_or("it panicked, see above");
        println!(
            "\n\nplayed again: the machine stood still for {stood:.1?}, and it failed: {why}\n"
        );
    }
    body()
}
