//! The `gw502` command.
#![expect(
    unused_crate_dependencies,
    reason = "the library of this package uses them"
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gw502_userspace::command::main()
}
