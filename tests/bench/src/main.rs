//! `gw502-bench`: measures what gw502 costs where nothing fails, and how fast it is where something
//! does. `cargo xtask bench` builds and starts it.
//!
//! # Layout
//!
//! - `machine`: what was measured on. `clock`: the only file that reads one. `statistics`: pure.
//! - `stage`: namespaces of our own and a scratch folder. `child`: processes that end with us.
//! - `agent/`: a process that connects, or calls the kernel, on command; one for the whole run, so that
//!   what differs between two bursts is only what is attached.
//! - `held`: BPF objects of a process. `interrupt`: Ctrl-C.
//! - `attach/`: what is attached: nothing, empty programs, gw502, another tool.
//! - `site`: nginx in front of nginx, and wrk.
//! - `measure/`: one file per thing measured.
//! - `goals`: which goal is met, which missed by how much. `report/`: JSON and tables.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal: what it prints is its result"
)]

mod agent;
mod attach;
mod child;
mod clock;
mod goals;
mod held;
mod interrupt;
mod machine;
mod measure;
mod options;
mod report;
mod site;
mod stage;
mod statistics;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use options::Options;

const HELP: &str = "\
Measures what gw502 costs and how fast it is. `cargo xtask bench` builds what it takes and starts it.

Usage: gw502-bench run --gw502 FILE --empty FILE --json FILE [--quick]

Options:
  --gw502 FILE   the gw502 to measure
  --empty FILE   the object with the empty program to compare with
  --json FILE    where the numbers go
  --quick        about a minute and a half instead of nine: to see that it works, not to be quoted

Exit code: 0 when all was measured, also where a goal is missed; 1 otherwise.
";

fn main() -> ExitCode {
    match dispatch(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["run", rest @ ..] => run(&Options::parse(rest)?),
        // Not for people: see `agent`.
        ["agent", name] => agent::main(name),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("usage: `gw502-bench help` shows it"),
    }
}

fn run(options: &Options) -> Result<()> {
    interrupt::catch()?;
    let report = measure::everything(options).or_else(|error| {
        // Ctrl-C reaches our children as well; what then goes wrong is not the news.
        interrupt::check()?;
        Err(error)
    })?;
    let json = serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
    std::fs::write(&options.json, json + "\n")
        .with_context(|| format!("cannot write `{}`", options.json.display()))?;
    print!("{}", report::text::render(&report));
    println!("\nthe same as JSON: {}", options.json.display());
    Ok(())
}
