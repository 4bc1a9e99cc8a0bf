//! Writes what was rendered, or ships it.

mod console;
pub mod otlp;
pub mod ship;

pub use console::{Console, SinkError};
