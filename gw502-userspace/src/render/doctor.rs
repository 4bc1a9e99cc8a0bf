//! `gw502 doctor`: capabilities, the hooks chosen for them, and why not better ones.

use std::fmt::Write as _;

use bytes::Bytes;
use gw502_common::hooks::{Backend, Capability};
use serde::Serialize;

use super::json::line;
use crate::kernel::privilege::Missing;
use crate::plan::{Blind, Choice, Examined, Plan, Trial, blind_to, listed, programs, sees};

/// The table for people.
pub fn text(plan: &Plan, missing: &[Missing], kernel: &str) -> String {
    let mut text = format!("{:18}  {:42}  SEES / BLIND TO\n", "CAPABILITY", "HOOK");
    for choice in &plan.choices {
        row(&mut text, choice);
    }
    for Missing { name, wanted_for } in missing {
        push(
            &mut text,
            format_args!("without {name} it cannot see {wanted_for}\n"),
        );
    }
    let reduced = plan.choices.iter().filter(|choice| is_reduced(choice));
    let (reduced, all) = (reduced.count(), plan.choices.len());
    let verdict = match reduced {
        0 => format!("all {all} capabilities at their best"),
        _ => format!("{reduced} of {all} capabilities reduced"),
    };
    push(&mut text, format_args!("{verdict} · {kernel}\n"));
    text
}

fn row(text: &mut String, choice: &Choice) {
    let name = choice.capability.name();
    let hook = choice.backend.map_or_else(
        || "none".to_owned(),
        |backend| format!("{} {}", backend.name(), targets(choice, backend).join(", ")),
    );
    let sees = choice.backend.map(|_| sees(choice.capability));
    push(
        text,
        format_args!("{name:18}  {:42}  {}\n", hook, sees.unwrap_or("nothing")),
    );
    let blind = listed(blind_to(choice.capability, choice.backend));
    if !blind.is_empty() {
        push(
            text,
            format_args!("{:18}  {:42}  blind to: {blind}\n", "", ""),
        );
    }
    for (backend, why) in &choice.rejected {
        push(
            text,
            format_args!("{:18}  {} rejected: {why}\n", "", backend.name()),
        );
    }
}

/// What the programs of a backend attach to, each once.
fn targets(choice: &Choice, backend: Backend) -> Vec<&'static str> {
    let mut targets: Vec<_> = programs(choice.capability, backend)
        .map(|hook| hook.target)
        .collect();
    targets.dedup();
    targets
}

/// Whether a better backend was rejected.
const fn is_reduced(choice: &Choice) -> bool {
    !choice.rejected.is_empty()
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Rejected<'a> {
    backend: &'static str,
    why: &'a str,
}

/// Something that is not seen.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BlindSpot {
    /// Never reused.
    id: &'static str,
    /// For people.
    what: &'static str,
}

impl From<&Blind> for BlindSpot {
    fn from(blind: &Blind) -> Self {
        let Blind { id, what } = *blind;
        Self { id, what }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CapabilityLine<'a> {
    capability: &'static str,
    /// How it is seen; absent when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'static str>,
    targets: Vec<&'static str>,
    sees: &'static str,
    blind_to: Vec<BlindSpot>,
    rejected: Vec<Rejected<'a>>,
}

/// What the kernel said to a backend of a capability.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TrialLine<'a> {
    capability: &'static str,
    backend: &'static str,
    /// Why it cannot be had; absent when every program was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

impl<'a> From<&'a Trial> for TrialLine<'a> {
    fn from(trial: &'a Trial) -> Self {
        Self {
            capability: trial.capability.name(),
            backend: trial.backend.name(),
            refused: trial.refused.as_deref(),
        }
    }
}

/// A Linux capability that this process lacks, and without which less is seen.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct MissingLine {
    name: &'static str,
    wanted_for: &'static str,
}

impl From<&Missing> for MissingLine {
    fn from(missing: &Missing) -> Self {
        let Missing { name, wanted_for } = *missing;
        Self { name, wanted_for }
    }
}

/// A program that the kernel accepted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ProgramLine {
    program: &'static str,
    capability: &'static str,
    backend: &'static str,
    /// Whether `trace` attaches it.
    used: bool,
    /// How many instructions the verifier looked at until it accepted the program; absent where
    /// the kernel does not say (before Linux 5.16).
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_instructions: Option<u32>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DoctorLine<'a> {
    /// Always `gw502.doctor/1`.
    schema: &'static str,
    kernel: &'a str,
    /// Size of the one object that holds the programs for every kernel.
    object_bytes: usize,
    capabilities: Vec<CapabilityLine<'a>>,
    /// What the kernel said to each backend, chosen or not.
    trials: Vec<TrialLine<'a>>,
    /// The programs that it accepted, chosen or not.
    programs: Vec<ProgramLine>,
    missing_privileges: Vec<MissingLine>,
}

/// The same as a line of JSON, newline included.
pub fn json(plan: &Plan, examined: &Examined, missing: &[Missing], kernel: &str) -> Bytes {
    let used = |capability: Capability, backend| plan.backend(capability) == Some(backend);
    let programs = examined.accepted.iter().map(|accepted| ProgramLine {
        program: accepted.hook.program,
        capability: accepted.hook.capability.name(),
        backend: accepted.hook.backend.name(),
        used: used(accepted.hook.capability, accepted.hook.backend),
        verified_instructions: accepted.verified_instructions,
    });
    line(&DoctorLine {
        schema: "gw502.doctor/1",
        kernel,
        object_bytes: examined.object_bytes,
        capabilities: plan.choices.iter().map(capability).collect(),
        trials: examined.trials.iter().map(TrialLine::from).collect(),
        programs: programs.collect(),
        missing_privileges: missing.iter().map(MissingLine::from).collect(),
    })
}

fn capability(choice: &Choice) -> CapabilityLine<'_> {
    let blind = blind_to(choice.capability, choice.backend).iter();
    let rejected = choice.rejected.iter().map(|(backend, why)| Rejected {
        backend: backend.name(),
        why,
    });
    CapabilityLine {
        capability: choice.capability.name(),
        backend: choice.backend.map(Backend::name),
        targets: choice
            .backend
            .map(|backend| targets(choice, backend))
            .unwrap_or_default(),
        sees: sees(choice.capability),
        blind_to: blind.map(BlindSpot::from).collect(),
        rejected: rejected.collect(),
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or(());
}
