//! `soak`: the agent at a thousand failures a second, for as long as one likes.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::{check, run, setup};

/// How long without an argument, minutes.
const MINUTES: u64 = 30;

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let minutes = parse(args)?;
    setup::ebpf()?;
    setup::tests()?;
    run::release(&["gw502-userspace"])?;
    let trial = ["agent::soak", "--nocapture"].map(ToOwned::to_owned);
    let mut command = check::live_command("live", &trial)?;
    command.env("GW502_SOAK_MINUTES", minutes.to_string());
    println!("{minutes} minutes");
    let status = command.status().context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn parse(args: &[String]) -> Result<u64> {
    match args {
        [] => Ok(MINUTES),
        [minutes] => match minutes.parse() {
            Ok(minutes @ 1..=10_000) => Ok(minutes),
            _ => bail!("`soak` takes a number of minutes, 1 to 10000"),
        },
        _ => bail!("`soak` takes a number of minutes and nothing else"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_minutes_or_nothing() {
        let parsed = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(ToString::to_string).collect();
            parse(&args).ok()
        };
        assert_eq!(parsed(&[]), Some(MINUTES));
        assert_eq!(parsed(&["2"]), Some(2));
        assert_eq!(parsed(&["0"]), None);
        assert_eq!(parsed(&["long"]), None);
        assert_eq!(parsed(&["1", "2"]), None);
    }
}
