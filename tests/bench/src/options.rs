//! What was typed, and how long that lets each part take.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The command line of `run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The gw502 to measure.
    pub(crate) gw502: PathBuf,
    /// The object with the empty program.
    pub(crate) empty: PathBuf,
    /// Where the report goes.
    pub(crate) json: PathBuf,
    /// How much of everything.
    pub(crate) size: Size,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// No new round of the healthy path begins after this time.
    pub(crate) healthy: Duration,
    /// Yet so many rounds are made, however slow the machine.
    pub(crate) least_rounds: u32,
    /// The other tools take part in every so manieth whole round: they cost enough to be seen at once, and
    /// the time is better spent on small differences.
    pub(crate) peers_every: u32,
    /// One burst of the connect loop.
    pub(crate) connects: Duration,
    /// One burst of the syscall loop.
    pub(crate) syscalls: Duration,
    /// One run of wrk, which takes whole seconds.
    pub(crate) wrk_seconds: u32,
    /// Failures whose lines are timed, each time.
    pub(crate) failures: u32,
    /// Starts that are timed.
    pub(crate) starts: u32,
}

const FULL: Size = Size {
    healthy: Duration::from_mins(7),
    least_rounds: 16,
    peers_every: 4,
    connects: Duration::from_millis(500),
    syscalls: Duration::from_millis(100),
    wrk_seconds: 1,
    failures: 500,
    starts: 15,
};

const QUICK: Size = Size {
    healthy: Duration::from_secs(40),
    least_rounds: 4,
    peers_every: 2,
    connects: Duration::from_millis(200),
    failures: 100,
    starts: 5,
    ..FULL
};

impl Options {
    pub(crate) fn parse(args: &[&str]) -> Result<Self> {
        let (mut gw502, mut empty, mut json) = (None, None, None);
        let mut size = FULL;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let slot = match *arg {
                "--gw502" => &mut gw502,
                "--empty" => &mut empty,
                "--json" => &mut json,
                "--quick" => {
                    size = QUICK;
                    continue;
                }
                other => bail!("no option `{other}`: `gw502-bench help` lists them"),
            };
            let value = args
                .next()
                .with_context(|| format!("`{arg}` takes a file"))?;
            *slot = Some(PathBuf::from(value));
        }
        Ok(Self {
            gw502: gw502.context("`--gw502` is missing")?,
            empty: empty.context("`--empty` is missing")?,
            json: json.context("`--json` is missing")?,
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_any_order() {
        let args = ["--quick", "--json", "j", "--gw502", "g", "--empty", "e"];
        let options = Options::parse(&args).unwrap();
        assert_eq!(options.size, QUICK);
        assert_eq!(options.json, PathBuf::from("j"));
        assert_eq!(options.gw502, PathBuf::from("g"));
        assert_eq!(options.empty, PathBuf::from("e"));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let error = Options::parse(&["--gw502", "g", "--json", "j"]).unwrap_err();
        assert!(error.to_string().contains("--empty"), "{error}");
        let error = Options::parse(&["--fast"]).unwrap_err();
        assert!(error.to_string().contains("--fast"), "{error}");
        assert!(Options::parse(&["--json"]).is_err());
    }
}
