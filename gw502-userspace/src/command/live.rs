//! Verbs that watch the kernel: they run in an event loop until told to stop.

use crate::cli::Problem;
use crate::cli::exit::Exit;

/// Runs `verb` to its end.
pub(super) fn run(verb: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        let help = "check the limits of this process (ulimit -n)";
        Problem::new(Exit::Failed, "cannot start", &error, help)
    })?;
    runtime.block_on(verb)
}
