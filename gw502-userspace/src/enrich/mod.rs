//! Adds to a failure what only the live host knows. Runs for failures alone, so it may look around.

mod host;
mod names;
mod owners;
mod process;

pub use host::HostBook;
pub use process::ProcessBook;
