//! `fuzz`: inputs that nobody would think of, by libFuzzer, on the stable compiler.
//!
//! What must hold is in `tests/fuzz`; here the targets are built with coverage counters and run.
//! New inputs that reach new code are kept below the target directory, so that the next run goes
//! on where this one ended.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use xtask::pins;

use crate::{apt, run};

/// The crate of the targets.
pub(crate) const PACKAGE: &str = "gw502-fuzz";

/// Targets, and the longest input that makes sense: some records; a recording of some failures.
const TARGETS: [(&str, u32); 2] = [("decode", 2048), ("recording", 16_384)];

/// Seconds per target unless `--duration` says otherwise.
const DURATION_S: u64 = 600;

/// What `cargo fuzz` passes too; the stable compiler takes it. No sanitizer: it would take nightly,
/// and there is hardly any unsafe code to watch.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg fuzzing";

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let (seconds, targets) = parse(args)?;
    compiler()?;
    let folder = run::target_dir().join("fuzz");
    let triple = host()?;
    build(&folder, &triple, &targets)?;
    let binaries = folder.join(&triple).join("fuzz");
    for (target, longest) in targets {
        fuzz(&folder, &binaries.join(target), target, longest, seconds)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Seconds for each target, and the targets.
fn parse(args: &[String]) -> Result<(u64, Vec<(&'static str, u32)>)> {
    let mut seconds = DURATION_S;
    let mut targets = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--duration" {
            seconds = args
                .next()
                .and_then(|text| duration(text))
                .context("`--duration` takes a time such as 30s, 10m or 2h")?;
            continue;
        }
        let known = TARGETS.into_iter().find(|(name, _)| name == arg);
        targets.push(known.with_context(|| {
            let names = TARGETS.map(|(name, _)| name).join(", ");
            format!("no fuzz target `{arg}`: there are {names}")
        })?);
    }
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    Ok((seconds, targets))
}

/// Seconds of `30s`, `10m`, `2h`; at least one.
fn duration(text: &str) -> Option<u64> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (seconds > 0).then_some(seconds)
}

/// libFuzzer is C++: whichever compiler is there will do.
fn compiler() -> Result<()> {
    let name = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let there = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if there {
        return Ok(());
    }
    apt::install(pins::FUZZ_PACKAGES).context("cannot install a C++ compiler for libFuzzer")
}

/// Named even though it is this machine's: with `--target` the flags are for the targets alone,
/// not for build scripts and macros.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(&rustc)
        .arg("-vV")
        .output()
        .with_context(|| format!("cannot run `{}`", rustc.display()))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(ToOwned::to_owned)
        .context("`rustc -vV` names no host")
}

fn build(folder: &Path, triple: &str, targets: &[(&str, u32)]) -> Result<()> {
    let mut command = run::cargo(["build", "--package", PACKAGE, "--features", "link"]);
    command.args(["--profile", "fuzz", "--target", triple, "--target-dir"]);
    command.arg(folder);
    for (target, _) in targets {
        command.args(["--bin", target]);
    }
    command
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", COVERAGE)
        // No record comes from a kernel here.
        .env("GW502_NO_BPF", "1");
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the fuzz targets do not build: see above");
    }
    Ok(())
}

fn fuzz(folder: &Path, binary: &Path, target: &str, longest: u32, seconds: u64) -> Result<()> {
    let found = folder.join("corpus").join(target);
    let seeds: PathBuf = run::workspace().join("tests/fuzz/corpus").join(target);
    let crashes = folder.join("crashes");
    for needed in [&found, &crashes] {
        fs::create_dir_all(needed)
            .with_context(|| format!("cannot create `{}`", needed.display()))?;
    }
    // libFuzzer puts `crash-…`, `timeout-…` or `oom-…` behind it.
    let prefix = crashes.join(format!("{target}-"));
    println!(
        "== fuzz {target} for {seconds} s; new inputs go to {}",
        found.display()
    );
    let status = Command::new(binary)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={longest}"))
        .arg(format!("-artifact_prefix={}", prefix.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        // The first folder takes what is new.
        .args([&found, &seeds])
        .status()
        .with_context(|| format!("cannot run `{}`", binary.display()))?;
    if !status.success() {
        bail!(
            "`{target}` failed ({status}): its input is `{}*`, named above; copy it to `{}`, where \
             `cargo test --package {PACKAGE}` runs it again",
            prefix.display(),
            seeds.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<(u64, Vec<&'static str>)> {
        let args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let (seconds, targets) = parse(&args)?;
        Ok((seconds, targets.into_iter().map(|(name, _)| name).collect()))
    }

    #[test]
    fn without_arguments_every_target_runs() {
        assert_eq!(parsed(&[]).unwrap(), (600, vec!["decode", "recording"]));
    }

    #[test]
    fn target_and_duration_are_taken() {
        let args = ["--duration", "2h", "recording"];
        assert_eq!(parsed(&args).unwrap(), (7200, vec!["recording"]));
    }

    #[test]
    fn what_is_no_duration_or_target_is_refused() {
        for args in [
            &["--duration"][..],
            &["--duration", "0s"],
            &["--duration", "5"],
            &["x"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn each_target_has_a_corpus() {
        for (target, _) in TARGETS {
            let seeds = run::workspace().join("tests/fuzz/corpus").join(target);
            assert!(seeds.is_dir(), "{}", seeds.display());
        }
    }
}
