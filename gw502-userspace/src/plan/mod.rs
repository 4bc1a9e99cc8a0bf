//! Pure: which way to see each capability, from what the running kernel accepts and what was asked
//! for.
//!
//! Kernels of one version differ (configuration, lockdown, back-ports), so versions are never
//! compared: what counts is that a program was loaded, or why it was not.

mod examined;
mod preemption;
mod words;

use gw502_common::hooks::{Backend, Capability, HOOKS, Hook};
use serde::{Deserialize, Serialize};

pub use examined::{Accepted, Examined};
pub use preemption::{Facts, Preemption, lost};
pub use words::{Blind, blind_to, listed, sees};

/// What the kernel said to the programs of one backend of one capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "words::TrialText", into = "words::TrialText")]
pub struct Trial {
    /// The capability.
    pub capability: Capability,
    /// The backend.
    pub backend: Backend,
    /// Why it cannot be had; `None` when every program was accepted.
    pub refused: Option<String>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `--hooks`: this backend wherever there is a choice.
    pub backend: Option<Backend>,
    /// `--syscalls`.
    pub syscalls: Syscalls,
}

/// Whether programs on system calls may be used, which every call of the host then passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syscalls {
    /// Where nothing better is to be had.
    #[default]
    Auto,
    /// Before anything else, and nothing in their place.
    On,
    /// Never.
    Off,
}

/// How a capability is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The capability.
    pub capability: Capability,
    /// The backend; `None` is a blindness.
    pub backend: Option<Backend>,
    /// Backends that would have come before the chosen one, and why they did not; without a
    /// chosen one, all.
    pub rejected: Vec<(Backend, String)>,
}

/// How everything is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each capability, in their order.
    pub choices: Vec<Choice>,
    /// Where a task can be preempted inside a program.
    pub preemption: Preemption,
}

/// Why a wish cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} by {} cannot be had: {why}", .capability.name(), .backend.name())]
pub struct Impossible {
    /// What was to be seen.
    pub capability: Capability,
    /// How.
    pub backend: Backend,
    /// Why not.
    pub why: String,
}

/// The programs of a backend of a capability.
pub fn programs(capability: Capability, backend: Backend) -> impl Iterator<Item = &'static Hook> {
    HOOKS
        .iter()
        .filter(move |hook| hook.capability == capability && hook.backend == backend)
}

/// The backends that a capability has, the best first.
pub fn backends(capability: Capability) -> impl Iterator<Item = Backend> {
    let exists = move |backend: &Backend| programs(capability, *backend).next().is_some();
    Backend::ALL.into_iter().filter(exists)
}

impl Wish {
    /// Why this wish leaves a backend of a capability out; `None` when it may be used.
    pub fn excludes(self, capability: Capability, backend: Backend) -> Option<&'static str> {
        if backends(capability).count() == 1 {
            return None; // no choice
        }
        let is_syscalls = backend == Backend::SyscallTracepoint;
        let or_syscalls = backends(capability).any(|other| other == Backend::SyscallTracepoint);
        match (self.syscalls, is_syscalls) {
            (Syscalls::Off, true) => return Some("left out by --syscalls off"),
            (Syscalls::On, false) if or_syscalls => return Some("left out by --syscalls on"),
            (Syscalls::On, true) => return None,
            _ => {}
        }
        match self.backend {
            Some(Backend::Tracepoint) if is_syscalls => None,
            Some(wished) if wished != backend => Some("left out by --hooks"),
            _ => None,
        }
    }

    /// Whether somebody insists on the backends that this wish leaves over.
    const fn insists(self) -> bool {
        matches!(self.syscalls, Syscalls::On) || self.backend.is_some()
    }
}

impl Impossible {
    /// Whether a Linux capability would help: the reason then names it.
    pub fn lacks_privilege(&self) -> bool {
        self.why.contains("CAP_")
    }
}

/// Chooses. `trials` may end, for each capability, with the first backend that was accepted: what
/// was not tried is not considered.
pub fn plan(trials: &[Trial], wish: Wish) -> Result<Plan, Impossible> {
    let choices = Capability::ALL.map(|capability| choose(capability, trials, wish));
    for choice in &choices {
        let has_choice = backends(choice.capability).count() > 1;
        let insisted = wish.insists() && has_choice && !choice.capability.is_detail();
        let must = choice.capability.is_essential() || insisted;
        if let (None, true) = (choice.backend, must) {
            impossible(choice, wish)?;
        }
    }
    Ok(Plan {
        choices: choices.into(),
        preemption: Preemption::default(),
    })
}

fn choose(capability: Capability, trials: &[Trial], wish: Wish) -> Choice {
    let mut choice = Choice {
        capability,
        backend: None,
        rejected: Vec::new(),
    };
    for backend in backends(capability) {
        let tried = trials
            .iter()
            .find(|trial| trial.capability == capability && trial.backend == backend);
        let why = match (wish.excludes(capability, backend), tried) {
            (Some(why), _) => why.to_owned(),
            (None, Some(Trial { refused: None, .. })) => {
                choice.backend = Some(backend);
                break;
            }
            (None, Some(Trial { refused, .. })) => refused.clone().unwrap_or_default(),
            (None, None) => continue,
        };
        choice.rejected.push((backend, why));
    }
    choice
}

/// The first backend that was wished for and refused, as an error. None: `--syscalls off` where
/// there is nothing else, which is a blindness that was asked for.
fn impossible(choice: &Choice, wish: Wish) -> Result<(), Impossible> {
    let refused = choice
        .rejected
        .iter()
        .find(|(backend, _)| wish.excludes(choice.capability, *backend).is_none());
    match refused {
        None => Ok(()),
        Some((backend, why)) => Err(Impossible {
            capability: choice.capability,
            backend: *backend,
            why: why.clone(),
        }),
    }
}

impl Plan {
    /// The same where tasks can be preempted inside programs.
    #[must_use]
    pub fn with(self, preemption: Preemption) -> Self {
        Self { preemption, ..self }
    }

    /// How a capability is seen.
    pub fn backend(&self, capability: Capability) -> Option<Backend> {
        let choice = |choice: &&Choice| choice.capability == capability;
        self.choices.iter().find(choice)?.backend
    }

    /// The programs to attach, in order.
    pub fn programs(&self) -> impl Iterator<Item = &'static Hook> {
        HOOKS
            .iter()
            .filter(|hook| self.backend(hook.capability) == Some(hook.backend))
            .filter(|hook| self.preemption.needs(hook))
    }

    /// The names of the backends in use, the best first.
    pub fn backends(&self) -> Vec<&'static str> {
        let used = |backend: &Backend| self.choices.iter().any(|c| c.backend == Some(*backend));
        let used = Backend::ALL.into_iter().filter(used);
        used.map(Backend::name).collect()
    }
}

#[cfg(test)]
mod spots;
#[cfg(test)]
mod tests;
