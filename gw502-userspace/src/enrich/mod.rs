//! Adds to a failure what only the live host knows. Runs for failures alone, so it may look around.

mod process;

pub use process::ProcessBook;
