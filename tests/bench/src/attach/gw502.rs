//! A running `gw502 trace`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::hooks::{Hooks, Variant};
use crate::child::{Place, Running};
use crate::clock;
use crate::site;

/// The process whose loop gw502 watches, and one that it does not.
pub(crate) const WATCHED: &str = "bench-watched";
pub(crate) const UNWATCHED: &str = "bench-other";

/// How long gw502 may take to start before we give up.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The program.
#[derive(Debug)]
pub(crate) struct Gw502 {
    path: PathBuf,
    version: String,
}

/// Where its standard output goes.
#[derive(Debug)]
pub(crate) enum Stdout {
    File(PathBuf),
    /// For whoever takes it from `Tracer::process`.
    Pipe,
}

/// A trace that is ready.
#[derive(Debug)]
pub(crate) struct Tracer {
    pub(crate) process: Running,
    /// From its start to its line `ready:`.
    pub(crate) ready_after: Duration,
    output: Option<PathBuf>,
    stderr: JoinHandle<String>,
}

/// What the healthy path came to, by gw502's own last line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Connections that watched processes began.
    pub(crate) attempts: u64,
    /// Those it calls failed. There should be none.
    pub(crate) failed: u64,
    /// What it could not keep.
    pub(crate) lost: u64,
}

impl Gw502 {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            version: ask(path, &["--version"])?.trim().to_owned(),
        })
    }

    /// As it names itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What it attaches here.
    pub(crate) fn hooks(&self) -> Result<Hooks> {
        Hooks::parse(&ask(&self.path, &["doctor", "--output", "json"])?)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn trace(&self, variant: Variant, stdout: Stdout) -> Result<Tracer> {
        let mut command = Command::new(&self.path);
        command.args(["trace", "--output", "json"]);
        command.args(["--proxy", WATCHED, "--proxy", site::PROXY_NAME]);
        command.args(variant.options());
        let (pipe, output) = match stdout {
            Stdout::Pipe => (Stdio::piped(), None),
            Stdout::File(path) => {
                let file = File::create(&path)
                    .with_context(|| format!("cannot create `{}`", path.display()))?;
                (file.into(), Some(path))
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(pipe)
            .stderr(Stdio::piped());

        let start = clock::now()?;
        let mut process = Running::start(&mut command, Place::Any)?;
        let stderr = process.child.stderr.take();
        let (lines, stderr) = follow(stderr.context("gw502's stderr is not piped")?);
        loop {
            match lines.recv_timeout(START_LIMIT) {
                Ok((at, line)) if line.starts_with("ready:") => {
                    let nanoseconds = u64::try_from(at - start).unwrap_or(0);
                    return Ok(Tracer {
                        process,
                        ready_after: Duration::from_nanos(nanoseconds),
                        output,
                        stderr,
                    });
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("gw502 was not ready after {} s", START_LIMIT.as_secs());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let said = stderr.join().unwrap_or_default();
                    bail!("gw502 ended before it was ready:\n{}", said.trim_end());
                }
            }
        }
    }
}

/// What a program prints.
fn ask(path: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(path)
        .args(args)
        .output()
        .with_context(|| format!("cannot run `{}`", path.display()))?;
    if !output.status.success() {
        bail!("`{} {}` fails", path.display(), args.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Tracer {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as Ctrl-C does; returns its last line where its output went to a file.
    pub(crate) fn stop(mut self) -> Result<Option<Counted>> {
        let status = self.process.interrupt()?;
        let said = self.stderr.join().unwrap_or_default();
        if !status.success() {
            bail!("gw502 ended with {status}:\n{}", said.trim_end());
        }
        let Some(path) = self.output else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let last = text.lines().last().context("gw502 printed no summary")?;
        Counted::parse(last).map(Some)
    }
}

impl Counted {
    fn parse(line: &str) -> Result<Self> {
        let Summary {
            schema,
            upstreams,
            lost,
        } = serde_json::from_str(line).context("gw502's last line is not its summary")?;
        if !schema.starts_with("gw502.summary/") {
            bail!("gw502's last line is not its summary but a `{schema}`");
        }
        let mut counted = Self {
            lost: lost.values().sum(),
            ..Self::default()
        };
        for Row { attempts, failed } in upstreams {
            counted.attempts += attempts;
            counted.failed += failed;
        }
        Ok(counted)
    }
}

/// What we want to know of `gw502.summary`.
#[derive(Deserialize)]
struct Summary {
    schema: String,
    upstreams: Vec<Row>,
    lost: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Row {
    attempts: u64,
    failed: u64,
}

/// Reads to the end, so that the pipe is never full: each line with its time for whoever still
/// listens, and all of it at the end.
fn follow(stderr: ChildStderr) -> (Receiver<(i64, String)>, JoinHandle<String>) {
    let (sender, receiver) = sync_channel(64);
    let thread = thread::spawn(move || {
        let mut sender = Some(sender);
        let mut text = String::new();
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { break };
            text.push_str(&line);
            text.push('\n');
            let sent = clock::now()
                .ok()
                .zip(sender.as_ref())
                .is_some_and(|(at, sender)| sender.try_send((at, line)).is_ok());
            if !sent {
                sender = None;
            }
        }
        text
    });
    (receiver, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_summed_over_upstreams() {
        let line = r#"{"schema":"gw502.summary/1","host":"h","upstreams":[
            {"upstream":{"address":"127.0.0.1","port":1},"attempts":5,"established":5,"failed":0,"new":true},
            {"attempts":2,"established":1,"failed":1}],"lost":{"ring_full":3},"skipped":{}}"#;
        assert_eq!(
            Counted::parse(&line.replace('\n', "")).unwrap(),
            Counted {
                attempts: 7,
                failed: 1,
                lost: 3
            }
        );
    }

    #[test]
    fn another_line_is_no_summary() {
        assert!(Counted::parse("nothing lost").is_err());
        let line = r#"{"schema":"gw502.failure/1","upstreams":[],"lost":{}}"#;
        assert!(Counted::parse(line).is_err());
    }

    #[test]
    fn process_names_fit_the_kernel() {
        assert!(WATCHED.len() < 16 && UNWATCHED.len() < 16);
    }
}
