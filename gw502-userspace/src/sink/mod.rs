//! Writes what was rendered.

mod console;

pub use console::{Console, SinkError};
