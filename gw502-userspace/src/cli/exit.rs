//! Exit codes: a contract, also in `--help`.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well; a closed pipe on stdout counts as well.
    Ok = 0,
    /// Failed while running.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// This kernel cannot do what was asked.
    Unsupported = 3,
    /// Not permitted.
    NotPermitted = 4,
    /// Failures were seen, and `--fail-on-failures` was given.
    Findings = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
