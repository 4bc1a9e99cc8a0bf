//! Adds to a failure what only the live host knows. Runs for failures alone, so it may look around.

pub mod names;
mod process;

pub use process::ProcessBook;
