//! Writes what was rendered, or ships it.

#[doc(hidden)]
pub mod conformance;
mod console;
#[cfg(test)]
mod far_end;
pub mod fields;
mod file;
pub mod journald;
mod lines;
pub mod otlp;
mod rotation;
pub mod ship;
mod stdout;
pub mod syslog;

pub use console::{Console, SinkError};
pub use file::LogFile;
pub use stdout::StdoutLines;
