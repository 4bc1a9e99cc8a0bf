//! Writes what was rendered, or ships it.

mod console;
pub mod fields;
pub mod journald;
pub mod otlp;
pub mod ship;
pub mod syslog;

pub use console::{Console, SinkError};
