//! What the running kernel said to every program that there is.

use gw502_common::hooks::Hook;

use super::Trial;

/// All that was found out by offering.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// By backends.
    pub trials: Vec<Trial>,
    /// By programs, those that were accepted.
    pub accepted: Vec<Accepted>,
    /// Size of the object that holds them all.
    pub object_bytes: usize,
}

/// A program that the kernel accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The program.
    pub hook: &'static Hook,
    /// How many instructions the verifier looked at; `None` where the kernel does not say (before
    /// Linux 5.16).
    pub verified_instructions: Option<u32>,
}
