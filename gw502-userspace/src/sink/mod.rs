//! Writes what was rendered, or ships it.

#[doc(hidden)]
pub mod conformance;
mod console;
mod file;
mod lines;
mod rotation;
pub mod ship;
mod stdout;

pub use console::{Console, SinkError};
pub use file::LogFile;
pub use stdout::StdoutLines;
