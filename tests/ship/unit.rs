//! The unit for systemd, as systemd reads it.

use std::fs;
use std::path::Path;

use gw502_tests::agent;
use gw502_tests::scratch::Scratch;
use libtest_mimic::Trial;

use crate::receiver;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("unit_is_what_systemd_understands", understood)]
}

/// `systemd-analyze verify` has nothing to say about it.
fn understood() {
    let unit = include_str!("../../docs/agent/gw502.service");
    let program = "ExecStart=/usr/bin/gw502 ";
    assert!(unit.contains(program), "{unit}");
    let binary = fs::canonicalize(agent::binary()).expect("gw502 is there");
    let unit = unit.replace(program, &format!("ExecStart={} ", binary.display()));
    let scratch = Scratch::new();
    let (succeeded, said) = verify(&scratch.write("gw502.service", &unit));
    assert!(succeeded && said.is_empty(), "{said}");
    let wrong = unit.replace("Restart=on-failure", "Restart=perhaps");
    let (_, said) = verify(&scratch.write("wrong.service", &wrong));
    assert!(said.contains("Restart"), "it says what is wrong: {said}");
}

fn verify(unit: &Path) -> (bool, String) {
    let mut verify = receiver::command(
        "systemd",
        "usr/bin/systemd-analyze",
        &["usr/lib/x86_64-linux-gnu/systemd"],
    );
    let output = verify.arg("verify").arg(unit).output();
    let output = output.expect("systemd-analyze is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}
