//! One file per verb.

mod demo;
mod explain;
mod live;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::Problem;
use crate::cli::args::{Cli, Verb};
use crate::cli::exit::Exit;
use crate::pipeline;

/// Reads the command line, runs the verb, and says on stderr what went wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // Nobody looks on: what happens to it is in its log.
    let quiet = !matches!(&cli.command, Verb::Agent(args) if !args.check_config);
    start_logging(cli.verbose, if quiet { "warn" } else { "info" });
    let result = match cli.command {
        Verb::Trace(args) => live::run(pipeline::trace::run(*args)),
        Verb::Agent(args) if args.check_config => pipeline::agent::check(&args),
        Verb::Agent(args) => live::run(pipeline::agent::run(args)),
        Verb::Diagnose(args) if args.replay.is_some() => pipeline::diagnose::replay(&args),
        Verb::Diagnose(args) => live::run(pipeline::diagnose::run(*args)),
        Verb::Record(args) => live::run(pipeline::record::run(*args)),
        Verb::Replay(args) => pipeline::replay::run(&args),
        Verb::Doctor(args) => pipeline::doctor::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Demo => demo::run(),
        Verb::DemoProxy { args } => demo::proxy(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(problem) => {
            complain(&problem);
            problem.exit.into()
        }
    }
}

/// `--help` and `--version` go to stdout with 0, wrong usage to stderr with 2: what, why, what to
/// do, like every other error.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => Exit::Ok.into(),
            Err(_closed_pipe) => Exit::Ok.into(),
        };
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nothing was asked: the help is the answer, on stderr, with the code for wrong usage.
        write!(std::io::stderr().lock(), "{}", error.render()).unwrap_or(());
        return Exit::Usage.into();
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (why, _usage) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines: Vec<_> = why
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    complain(&Problem {
        what: "cannot understand the command line".to_owned(),
        why: vec![lines.join("\n        ")],
        help: "see `gw502 --help`, or `gw502 COMMAND --help`".to_owned(),
        exit: Exit::Usage,
    });
    Exit::Usage.into()
}

/// The last word on stderr. When even that cannot be written, the exit code has to do.
fn complain(problem: &Problem) {
    write!(std::io::stderr().lock(), "{problem}").unwrap_or(());
}

fn start_logging(verbose: u8, usual: &str) {
    let level = match verbose {
        0 => usual,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("GW502_LOG", level))
        .format_target(false)
        .init();
}
