//! Wiring: the only place where the stages meet, and where waiting happens.

pub mod agent;
pub mod diagnose;
pub mod doctor;
mod live;
pub mod record;
pub mod replay;
mod setup;
mod show;
mod stop;
pub mod trace;
