//! `test`: everything CI runs, in CI's order. The last line is the sum.
//!
//! A step that is no test suite (format, clippy, a build) counts as one test, so that the sum
//! and the exit code never disagree. Later steps run although an earlier one failed: one run
//! then shows all there is to fix.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use xtask::ebpf::{self, Build, Programs};
use xtask::toolchain;

use crate::tally::Tally;
use crate::{fuzz, house, run, setup, unpacked, vm, watch};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Lint,
    Unit,
    Live,
    Vm,
}

impl Part {
    fn has(self, part: Self) -> bool {
        self == Self::All || self == part
    }
}

/// What was asked for.
#[derive(Debug)]
struct Wish {
    part: Part,
    /// Which live tests, by name.
    filters: Vec<String>,
    every_kernel: bool,
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let started = run::now();
    let Wish {
        part,
        filters,
        every_kernel,
    } = parse(args)?;
    let mut sum = Tally::default();
    if let Err(error) = prepare(part) {
        eprintln!("xtask: {error:#}");
        sum += Tally::FAILED;
    } else {
        if part.has(Part::Lint) {
            sum += lint();
        }
        if part.has(Part::Unit) {
            sum += unit();
        }
        if part.has(Part::Live) {
            sum += live(&filters);
        }
        // A filter asks for some live tests, and for nothing else.
        if part.has(Part::Vm) && filters.is_empty() {
            heading("the faults on other kernels, in an emulator");
            let result = vm::step(every_kernel, started);
            complain(result.as_ref().err());
            sum += result.unwrap_or(Tally::FAILED);
        }
    }
    println!("\n{sum}");
    Ok(if sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn parse(args: &[String]) -> Result<Wish> {
    let mut part = Part::All;
    let mut every_kernel = false;
    let mut filters = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => {
                part = match args.next().map(String::as_str) {
                    Some("lint") => Part::Lint,
                    Some("unit") => Part::Unit,
                    Some("live") => Part::Live,
                    Some("vm") => Part::Vm,
                    _ => bail!("`--only` takes lint, unit, live or vm"),
                };
            }
            "--every-kernel" => every_kernel = true,
            // For people who are used to `cargo test -- FILTER`.
            "--" => filters.extend(args.by_ref().cloned()),
            other => filters.push(other.to_owned()),
        }
    }
    if !filters.is_empty() && !part.has(Part::Live) {
        bail!("a filter picks live tests, and `--only` leaves them out");
    }
    if every_kernel && !part.has(Part::Vm) {
        bail!("`--every-kernel` is for the part `vm`, and `--only` leaves it out");
    }
    Ok(Wish {
        part,
        filters,
        every_kernel,
    })
}

fn prepare(part: Part) -> Result<()> {
    setup::ebpf()?;
    if part.has(Part::Live) || part.has(Part::Vm) {
        setup::tests()
    } else {
        Ok(())
    }
}

fn lint() -> Tally {
    let mut sum = step("format", || {
        succeeds(&mut run::cargo(["fmt", "--all", "--check"]))
    });
    sum += step("clippy", || {
        let clippy = [
            "clippy",
            "--workspace",
            "--exclude",
            ebpf::PACKAGE,
            "--all-targets",
            "--features",
            "gw502-tests/live",
        ];
        succeeds(run::cargo(clippy).args(["--", "-D", "warnings"]))
    });
    sum += step("fuzz targets", || {
        let clippy = ["clippy", "--package", fuzz::PACKAGE, "--features", "fuzzer"];
        succeeds(run::cargo(clippy).args(["--all-targets", "--", "-D", "warnings"]))
    });
    sum += step("eBPF programs without warnings", programs);
    sum += step("house rules", house::check);
    sum
}

fn unit() -> Tally {
    suite("unit, contract and command line tests", || {
        let all = [
            "test",
            "--workspace",
            "--exclude",
            ebpf::PACKAGE,
            "--no-fail-fast",
        ];
        Ok(run::cargo(all))
    })
}

fn live(filters: &[String]) -> Tally {
    let mut sum = step("release build", || run::release(&["gw502-userspace"]));
    if sum.failed == 0 {
        sum += suite("live tests: real proxies, real failures", || {
            live_command("live", filters)
        });
        sum += suite("live tests: real receivers", || {
            let receivers = unpacked::receivers()?;
            let mut command = live_command("ship", filters)?;
            command.env("GW502_RECEIVERS", receivers);
            Ok(command)
        });
    }
    sum
}

/// One of the live suites, as root.
pub(crate) fn live_command(target: &str, filters: &[String]) -> Result<Command> {
    let mut command = run::cargo(["test", "--package", "gw502-tests"]);
    command.args(["--features", "live", "--test", target]);
    command.env("GW502_BIN", run::gw502());
    if !run::is_root()? {
        if !run::sudo_works() {
            bail!(
                "the live tests take root, and sudo is not there or asks for a password: \
                 run `sudo -v`, then `cargo xtask test --only live`, or become root"
            );
        }
        println!("not root: the live tests run through sudo");
        // Only the tests: cargo as root would leave files that you cannot remove.
        let runner = r#"target.'cfg(unix)'.runner=["sudo","-n","--preserve-env=GW502_BIN,GW502_RECEIVERS,GW502_SOAK_MINUTES","--"]"#;
        command.args(["--config", runner]);
    }
    command.arg("--").args(filters);
    Ok(command)
}

/// clippy knows no BPF target here, so the compiler's own warnings have to do.
fn programs() -> Result<()> {
    let tools = toolchain::find()?;
    for programs in Programs::ALL {
        Build {
            programs,
            workspace: run::workspace(),
            target_dir: &run::target_dir().join("ebpf-lint"),
            arch: std::env::consts::ARCH,
            log: false,
            deny_warnings: true,
        }
        .run(&tools)?;
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_string_lossy())
        .collect();
    bail!("`cargo {}` failed", words.join(" "))
}

fn step(title: &str, work: impl FnOnce() -> Result<()>) -> Tally {
    heading(title);
    let result = work();
    complain(result.as_ref().err());
    Tally::one(result.is_ok())
}

fn suite(title: &str, command: impl FnOnce() -> Result<Command>) -> Tally {
    heading(title);
    let result = command().and_then(|mut command| watch::tests(&mut command));
    complain(result.as_ref().err());
    result.unwrap_or(Tally::FAILED)
}

fn heading(title: &str) {
    println!("== {title}");
}

fn complain(error: Option<&anyhow::Error>) {
    if let Some(error) = error {
        eprintln!("xtask: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Wish> {
        parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn without_arguments_all_parts_run() {
        let wish = parsed(&[]).unwrap();
        let parts = [Part::Lint, Part::Unit, Part::Live, Part::Vm];
        assert!(parts.into_iter().all(|one| wish.part.has(one)));
        assert!(wish.filters.is_empty() && !wish.every_kernel);
    }

    #[test]
    fn one_part_leaves_out_the_others() {
        let wish = parsed(&["--only", "live", "refused", "--", "--list"]).unwrap();
        let others = [Part::Lint, Part::Unit, Part::Vm];
        assert!(wish.part.has(Part::Live) && !others.into_iter().any(|one| wish.part.has(one)));
        assert_eq!(wish.filters, ["refused", "--list"]);
    }

    #[test]
    fn every_kernel_is_for_those_who_ask() {
        assert!(parsed(&["--every-kernel"]).unwrap().every_kernel);
        assert!(parsed(&["--only", "vm", "--every-kernel"]).is_ok());
        assert!(parsed(&["--only", "unit", "--every-kernel"]).is_err());
    }

    #[test]
    fn a_filter_that_would_pick_nothing_is_refused() {
        assert!(parsed(&["--only", "unit", "refused"]).is_err());
        assert!(parsed(&["--only", "everything"]).is_err());
    }
}
