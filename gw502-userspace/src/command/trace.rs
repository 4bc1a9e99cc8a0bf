//! `gw502 trace`: each failure as it happens, and a table at the end.

use crate::cli::Problem;
use crate::cli::args::TraceArgs;
use crate::cli::exit::Exit;
use crate::pipeline;

/// Runs until told to stop.
pub(super) fn run(args: TraceArgs) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        Problem::new(
            Exit::Failed,
            "cannot start",
            &error,
            "check the limits of this process (ulimit -n)",
        )
    })?;
    runtime.block_on(pipeline::trace::run(args))
}
