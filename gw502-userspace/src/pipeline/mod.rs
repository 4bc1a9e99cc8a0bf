//! Wiring: the only place where the stages meet, and where waiting happens.

mod setup;
mod stop;
pub mod trace;
