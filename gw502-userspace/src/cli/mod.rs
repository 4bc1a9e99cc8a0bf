//! What was typed, and how errors and exit codes look to the person who typed it.

pub mod args;
pub mod exit;
pub mod filter;
mod problem;

pub use problem::Problem;
