//! `gw502 demo`: the main job with no set-up.

use crate::cli::Problem;
use crate::cli::exit::Exit;
use crate::demo::{self, DemoError};

/// Shows the six failures.
pub(super) fn run() -> Result<Exit, Problem> {
    match demo::run() {
        Ok(()) => Ok(Exit::Ok),
        // The trace has said on stderr what it could not do; its word stands.
        Err(DemoError::TraceEnded { code: 4 }) => Ok(Exit::NotPermitted),
        Err(DemoError::TraceEnded { code: 3 }) => Ok(Exit::Unsupported),
        Err(error) => Err(problem(&error)),
    }
}

/// The demo's own proxy process.
pub(super) fn proxy(args: &[String]) -> Result<Exit, Problem> {
    match demo::proxy_main(args) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(problem(&DemoError::Failed(error))),
    }
}

fn problem(error: &DemoError) -> Problem {
    Problem {
        what: error.to_string(),
        why: error.why().into_iter().collect(),
        help: error.help().to_owned(),
        exit: match error {
            DemoError::NotPermitted { .. } => Exit::NotPermitted,
            DemoError::Unsupported { .. } => Exit::Unsupported,
            DemoError::TraceEnded { .. } | DemoError::Failed(_) => Exit::Failed,
        },
    }
}
