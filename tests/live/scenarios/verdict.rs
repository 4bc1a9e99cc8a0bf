//! From a recording to a diagnosis: `gw502 diagnose --replay`, as an ordinary user without procfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::agent;
use gw502_tests::expect::Differences;
use gw502_tests::matrix;
use gw502_tests::scratch::Scratch;
use serde_json::Value;

/// More than a replay may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the rest of its arguments where nothing is in `/proc`, as nobody.
const AS_NOBODY: &str = "mount -t tmpfs none /proc && exec setpriv --reuid=65534 --regid=65534 \
                         --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \"$@\"";

/// What a diagnosis says of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagnosed {
    pub(super) upstream: Option<Address>,
    /// `class/cause`, or [`matrix::NONE`] of what is well.
    pub(super) verdict: String,
    pub(super) attempts: u64,
    pub(super) established: u64,
    pub(super) failed: u64,
    /// Failures without a record.
    pub(super) lost: u64,
    /// What it follows from, in words.
    pub(super) evidence: String,
}

/// Diagnoses the recording twice, in JSON and as text, and notes where the bytes differ.
#[track_caller]
pub(super) fn diagnose(
    scratch: &Scratch,
    recording: &Path,
    netns: u64,
    differences: &mut Differences,
) -> (Vec<Diagnosed>, String) {
    let binary = scratch.join("gw502");
    fs::copy(agent::binary(), &binary).expect("a copy that everyone may run");
    let [json, text] = ["json", "text"].map(|output| {
        let [first, second] = [(); 2].map(|()| replay(&binary, recording, output, differences));
        if first != second {
            differences.note(format!(
                "two replays ({output}) differ:\n{first}\nand\n{second}"
            ));
        }
        first
    });
    let values = json
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let ours = values.filter(|value: &Value| {
        let is_one = value.get("schema").and_then(Value::as_str) == Some("gw502.diagnosis/1");
        is_one && value.get("netns").and_then(Value::as_u64) == Some(netns)
    });
    (ours.map(|value| diagnosed(&value)).collect(), text)
}

fn replay(binary: &PathBuf, file: &Path, output: &str, differences: &mut Differences) -> String {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", AS_NOBODY, "sh"])
        .arg(binary)
        .args(["diagnose", "--output", output, "--replay"])
        .arg(file);
    let session = agent::run_command(&mut command, LIMIT);
    differences.check("exit code of the replay", &0, &session.code);
    if session.code != 0 {
        differences.note(session.stderr);
    }
    session.stdout
}

fn diagnosed(value: &Value) -> Diagnosed {
    let number = |field: &str| value.get(field).and_then(Value::as_u64).unwrap_or_default();
    let classes = value.get("failures").and_then(Value::as_object);
    let classes = classes.into_iter().flatten();
    let classes: Vec<(&str, u64)> = classes
        .map(|(class, count)| (class.as_str(), count.as_u64().unwrap_or_default()))
        .collect();
    let failed = classes.iter().map(|(_, count)| count).sum();
    let class = classes.iter().max_by_key(|(_, count)| *count);
    let cause = value.get("cause").and_then(Value::as_str);
    let verdict = match (class, cause) {
        (Some((class, _)), Some(cause)) => format!("{class}/{cause}"),
        (None, None) => matrix::NONE.to_owned(),
        (class, cause) => format!("{class:?} and {cause:?}"),
    };
    let lost = number("lost");
    Diagnosed {
        upstream: value.get("upstream").and_then(Address::from_json),
        verdict,
        attempts: number("attempts"),
        established: number("established"),
        failed,
        lost,
        evidence: value
            .get("evidence")
            .map(Value::to_string)
            .unwrap_or_default(),
    }
}
