//! `gw502 doctor`: capabilities, the hooks chosen for them, and why not better ones.

use std::fmt::Write as _;

use bytes::Bytes;
use gw502_common::hooks::Backend;
use serde::Serialize;

use super::json::line;
use crate::plan::{Choice, Plan, Trial, blind_to, programs, sees};

/// The table for people.
pub fn text(plan: &Plan, kernel: &str) -> String {
    let mut text = format!("{:18}  {:42}  SEES / BLIND TO\n", "CAPABILITY", "HOOK");
    for choice in &plan.choices {
        row(&mut text, choice);
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
    if let Some(blind) = blind_to(choice.capability, choice.backend) {
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
struct Rejected<'a> {
    backend: &'static str,
    why: &'a str,
}

#[derive(Serialize)]
struct CapabilityLine<'a> {
    capability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'static str>,
    targets: Vec<&'static str>,
    sees: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blind_to: Option<&'static str>,
    rejected: Vec<Rejected<'a>>,
}

#[derive(Serialize)]
struct DoctorLine<'a> {
    /// Always `gw502.doctor/1`.
    schema: &'static str,
    kernel: &'a str,
    capabilities: Vec<CapabilityLine<'a>>,
    /// What the kernel said to each backend, chosen or not.
    trials: &'a [Trial],
}

/// The same as a line of JSON, newline included.
pub fn json(plan: &Plan, trials: &[Trial], kernel: &str) -> Bytes {
    line(&DoctorLine {
        schema: "gw502.doctor/1",
        kernel,
        capabilities: plan.choices.iter().map(capability).collect(),
        trials,
    })
}

fn capability(choice: &Choice) -> CapabilityLine<'_> {
    CapabilityLine {
        capability: choice.capability.name(),
        backend: choice.backend.map(Backend::name),
        targets: choice
            .backend
            .map(|backend| targets(choice, backend))
            .unwrap_or_default(),
        sees: sees(choice.capability),
        blind_to: blind_to(choice.capability, choice.backend),
        rejected: choice
            .rejected
            .iter()
            .map(|(backend, why)| Rejected {
                backend: backend.name(),
                why,
            })
            .collect(),
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or(());
}
