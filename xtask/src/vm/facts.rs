//! What a guest's kernel is like: `gw502 doctor`'s answer compared with the one on file, and what is
//! really attached.
//!
//! The answers on file are the fixtures of gw502's plan. `GW502_BLESS=1 cargo xtask vm-test` writes
//! them anew from what the guests say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::table::Guest;
use crate::run;

/// What each guest's facts are checked for.
const CHECKS: [(&str, Check); 3] = [
    ("plan", plan),
    ("attached", attached),
    ("no syscall tracepoint", no_system_calls),
];

type Check = fn(&Guest) -> Result<()>;

/// The checks and the verifier's work as text, and how many checks are good and bad.
pub(super) fn facts(guests: &[Guest]) -> (String, u64, u64) {
    let mut text = String::new();
    let (mut good, mut bad) = (0, 0);
    let mut complaints = Vec::new();
    row(
        &mut text,
        "",
        guests.iter().map(|guest| guest.series.to_owned()),
    );
    for (name, check) in CHECKS {
        let cells = guests.iter().map(|guest| match check(guest) {
            Ok(()) => {
                good += 1;
                "ok".to_owned()
            }
            Err(error) => {
                bad += 1;
                complaints.push(format!("{} {name}: {error:#}\n", guest.series));
                "FAIL".to_owned()
            }
        });
        row(&mut text, name, cells);
    }
    text.extend(complaints);
    text.push('\n');
    text += &verified(guests);
    (text, good, bad)
}

/// Writes the fixtures anew.
pub(super) fn bless(guests: &[Guest]) -> Result<()> {
    for guest in guests {
        let doctor = doctor(guest)?;
        let mut text = format!(
            "{{\n  \"kernel\": {},\n  \"trials\": [\n",
            at(&doctor, "kernel")
        );
        let lines = list(at(&doctor, "trials")).iter().map(trial);
        text += &lines.collect::<Vec<_>>().join(",\n");
        let plan = Value::from_iter(chosen(&doctor));
        push(&mut text, format_args!("\n  ],\n  \"plan\": {plan}\n}}\n"));
        let file = fixture(guest.series);
        fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
        println!("written: {}", file.display());
    }
    Ok(())
}

/// A trial as a line, in the order in which doctor has it.
fn trial(trial: &Value) -> String {
    let keys = ["capability", "backend", "refused"].into_iter();
    let members = keys.filter_map(|key| Some(format!("\"{key}\":{}", trial.get(key)?)));
    format!("    {{{}}}", members.collect::<Vec<_>>().join(","))
}

fn fixture(series: &str) -> PathBuf {
    let fixtures = run::workspace().join("gw502-userspace/src/plan/fixtures");
    fixtures.join(format!("{series}.json"))
}

/// What doctor says is what is on file: what each backend said, and what was chosen.
fn plan(guest: &Guest) -> Result<()> {
    let file = fixture(guest.series);
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let filed: Value =
        serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON", file.display()))?;
    differences(&doctor(guest)?, &filed)
}

fn differences(doctor: &Value, filed: &Value) -> Result<()> {
    let said = |of: &Value| -> BTreeSet<String> {
        let trials = list(at(of, "trials")).iter().map(Value::to_string);
        trials.collect()
    };
    let (now, before) = (said(doctor), said(filed));
    let plan = Value::from_iter(chosen(doctor));
    if now == before && plan == *at(filed, "plan") {
        return Ok(());
    }
    let mut text = String::new();
    for (what, lines) in [("new", &now - &before), ("gone", &before - &now)] {
        for line in lines {
            push(&mut text, format_args!("\n  {what}: {line}"));
        }
    }
    bail!(
        "not as on file{text}\n  planned: {plan}\n  on file: {}\n  if that is right, run this \
         again with GW502_BLESS=1",
        at(filed, "plan")
    )
}

/// The backend chosen for each capability.
fn chosen(doctor: &Value) -> BTreeMap<String, Value> {
    let choices = list(at(doctor, "capabilities")).iter();
    choices
        .map(|choice| {
            (
                word(at(choice, "capability")),
                at(choice, "backend").clone(),
            )
        })
        .collect()
}

/// The programs in the kernel are those of the plan, by their names.
fn attached(guest: &Guest) -> Result<()> {
    let doctor = doctor(guest)?;
    let planned = list(at(&doctor, "programs")).iter();
    let planned: BTreeSet<_> = planned
        .filter(|program| at(program, "used") == true)
        .map(|program| word(at(program, "program")))
        .collect();
    let there = parsed(guest.report.programs.as_ref(), "programs")?;
    let there: BTreeSet<_> = list(&there)
        .iter()
        .map(|one| word(at(one, "name")))
        .collect();
    if there.is_empty() || planned != there {
        bail!("the plan has {planned:?}, the kernel {there:?}");
    }
    Ok(())
}

/// Where functions can be traced, nothing hangs on the way of every system call.
fn no_system_calls(guest: &Guest) -> Result<()> {
    let doctor = doctor(guest)?;
    let is_stock = list(at(&doctor, "trials")).iter().any(|trial| {
        let by_functions = ["fentry", "kprobe"].contains(&word(at(trial, "backend")).as_str());
        by_functions && trial.get("refused").is_none()
    });
    if !is_stock {
        bail!("this kernel lets no function be traced: it is not one to test this on");
    }
    let links = parsed(guest.report.links.as_ref(), "links")?;
    let mut places = list(&links).iter().map(|link| word(at(link, "tp_name")));
    if list(&links).is_empty() {
        bail!("nothing is attached");
    }
    match places.find(|place| place.starts_with("sys_")) {
        Some(place) => bail!("a program is attached to {place}"),
        None => Ok(()),
    }
}

/// The size of the object, and what the verifier did, program by kernel.
fn verified(guests: &[Guest]) -> String {
    let doctors: Vec<Value> = guests
        .iter()
        .map(|guest| doctor(guest).unwrap_or_default())
        .collect();
    let mut text = String::new();
    if let Some(bytes) = doctors
        .iter()
        .find_map(|doctor| at(doctor, "object_bytes").as_u64())
    {
        push(
            &mut text,
            format_args!("one eBPF object for all kernels: {bytes} bytes\n\n"),
        );
    }
    row(
        &mut text,
        "verified instructions",
        guests.iter().map(|guest| guest.series.to_owned()),
    );
    let mut names = Vec::new();
    for program in doctors
        .iter()
        .flat_map(|doctor| list(at(doctor, "programs")))
    {
        let name = word(at(program, "program"));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in &names {
        let cells = doctors.iter().map(|doctor| {
            let mut programs = list(at(doctor, "programs")).iter();
            let program = programs.find(|program| word(at(program, "program")) == *name);
            let count = program.and_then(|program| at(program, "verified_instructions").as_u64());
            count.map_or_else(|| "-".to_owned(), |count| count.to_string())
        });
        row(&mut text, name, cells);
    }
    text += "-: the kernel did not accept the program, or does not say (before 5.16)\n";
    text
}

fn doctor(guest: &Guest) -> Result<Value> {
    parsed(guest.report.doctor.as_ref(), "doctor")
}

fn parsed(said: Option<&String>, what: &str) -> Result<Value> {
    let said = said.with_context(|| format!("the guest said nothing of its {what}"))?;
    serde_json::from_str(said).with_context(|| format!("the guest's {what} is no JSON: {said}"))
}

fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn row(text: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    push(text, format_args!("{first:34}"));
    for cell in cells {
        push(text, format_args!("  {cell:>8}"));
    }
    text.push('\n');
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(what).unwrap_or(());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::console::Report;
    use super::*;

    const DOCTOR: &str = r#"{"kernel":"Linux 9","object_bytes":77,
        "capabilities":[{"capability":"calls","backend":"fentry"}],
        "trials":[{"capability":"calls","backend":"fentry"}],
        "programs":[{"program":"a","used":true,"verified_instructions":12},
                    {"program":"b","used":false}]}"#;

    fn guest(doctor: &str, links: &str, programs: &str) -> Guest {
        Guest {
            series: "9",
            lacks: &[],
            report: Report {
                doctor: Some(doctor.to_owned()),
                links: Some(links.to_owned()),
                programs: Some(programs.to_owned()),
                ..Report::default()
            },
            took: Duration::ZERO,
        }
    }

    #[test]
    fn what_is_attached_is_what_was_planned() {
        let right = guest(DOCTOR, r#"[{"prog_id":1}]"#, r#"[{"name":"a"}]"#);
        attached(&right).unwrap();
        no_system_calls(&right).unwrap();
        let wrong = guest(
            DOCTOR,
            r#"[{"prog_id":1,"tp_name":"sys_enter"}]"#,
            r#"[{"name":"a"},{"name":"b"}]"#,
        );
        assert!(attached(&wrong).is_err());
        assert!(no_system_calls(&wrong).is_err());
        let nothing = guest(DOCTOR, "[]", "[]");
        assert!(attached(&nothing).is_err());
        assert!(no_system_calls(&nothing).is_err());
    }

    #[test]
    fn facts_and_plan_are_compared_with_those_on_file() {
        let doctor: Value = serde_json::from_str(DOCTOR).unwrap();
        let filed = json!({"trials": [{"capability":"calls","backend":"fentry"}],
                           "plan": {"calls": "fentry"}});
        differences(&doctor, &filed).unwrap();
        let other = json!({"trials": [{"capability":"calls","backend":"fentry","refused":"no"}],
                           "plan": {"calls": "fentry"}});
        assert!(differences(&doctor, &other).is_err());
        let other = json!({"trials": filed["trials"], "plan": {"calls": null}});
        assert!(differences(&doctor, &other).is_err());
    }

    #[test]
    fn the_verifiers_work_is_shown_by_program() {
        let text = verified(&[guest(DOCTOR, "[]", "[]")]);
        let words: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(text.contains("77 bytes"), "{text}");
        assert_eq!(words[3], ["a", "12"]);
        assert_eq!(words[4], ["b", "-"]);
    }
}
