//! `cargo xtask`: the commands of a day. One line each; the work is in the modules.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal: what it prints is its result"
)]

mod apt;
mod bench;
mod btf;
mod check;
mod debian;
mod demo;
mod fuzz;
mod house;
mod run;
mod setup;
mod soak;
mod tally;
mod unpacked;
mod vm;
mod watch;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
Builds, shows and tests gw502.

Usage: cargo xtask <VERB>

Verbs:
  setup                    install what building the eBPF programs takes, if it is missing
  demo [ARGS]              setup, build, and run `gw502 demo ARGS`
  test [--only PART] [--every-kernel] [FILTER...]
                           setup, then everything CI runs; PART is lint, unit, live or vm,
                           FILTER picks live tests by name. One other kernel in an emulator, or
                           with --every-kernel as many as there is time for
  fuzz [--duration 10m] [TARGET...]
                           builds the fuzz targets (decode, recording) and runs each so long
  bench [--quick]          setup, build, and measure what gw502 costs and how fast it is, in under
                           ten minutes; table to stdout, JSON to target/bench.json
  soak [MINUTES]           the agent at a thousand failures a second, for half an hour or so long: what
                           it takes of memory must not grow
  vm-test [--kernel 5.10|6.1|6.12|7.x]... [--all] [--backend BACKEND]... [--core | --every-row]
          [--repeat N] [--at-once N] [--long] [FILTER]
                           the faults on other kernels (all, if none is named), in an emulator,
                           through fentry, kprobe and tracepoint; one table at the end. Each fault
                           once, or with --every-row over each path and through each proxy, or with
                           --core the most telling ones alone. --repeat: so many times, and a cell
                           that changes fails; --at-once: so many guests beside each other; --long:
                           also what takes minutes
  btf-fixtures [--own NAME]
                           reads from the images of vm-test's kernels (and with --own from the running
                           kernel) where they keep what gw502 reads: fixtures of its unit tests
  house                    the house rules alone: file size, lints, layers

Exit code: 0 when all went well, 1 otherwise; `demo` returns that of gw502. `bench` measures: a missed
goal is a result, and its exit code 0.

Example:
  cargo xtask test --only live refused
";

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Vec<String>) -> Result<ExitCode> {
    let mut args = args.into_iter();
    let verb = args.next();
    let rest: Vec<String> = args.collect();
    match verb.as_deref() {
        Some("setup") if rest.is_empty() => setup::ebpf().map(|()| ExitCode::SUCCESS),
        Some("demo") => demo::run(&rest),
        Some("test") => check::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("soak") => soak::run(&rest),
        Some("vm-test") => vm::run(&rest),
        Some("btf-fixtures") => btf::run(&rest),
        Some("house") if rest.is_empty() => house::run(),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(verb @ ("setup" | "house")) => bail!("`{verb}` takes no arguments"),
        Some(other) => bail!("no verb `{other}`: `cargo xtask help` lists them"),
        None => bail!("which verb? `cargo xtask help` lists them"),
    }
}
