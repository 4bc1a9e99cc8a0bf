//! The real `gw502 trace` as a child: its stdout is ours, its stderr passes through us.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;

use anyhow::{Context as _, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::children::{ourselves, put_down, tether};
use super::{DemoError, News};

/// Watches the demo's proxy and nothing else; the rest is as a user gets it.
const ARGUMENTS: [&str; 3] = ["trace", "--proxy", "demo-proxy"];

/// The command that the demo shows.
pub(super) fn command() -> Command {
    let mut command = ourselves();
    command.args(ARGUMENTS);
    command
}

/// The running trace.
#[derive(Debug)]
pub(super) struct TraceChild {
    child: Child,
    pid: Pid,
    reaped: bool,
}

impl TraceChild {
    /// Starts `command` in the namespace `home`. Its state comes as [`News`].
    pub(super) fn spawn(
        mut command: Command,
        home: OwnedFd,
        news: SyncSender<News>,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let child = tether(&mut command, Some(home))
            .spawn()
            .context("cannot start `gw502 trace`")?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut trace = Self {
            child,
            pid,
            reaped: false,
        };

        let stderr = trace
            .child
            .stderr
            .take()
            .context("the trace's stderr is not piped")?;
        thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || watch(stderr, pid, &news))
            .context("cannot start the thread that watches the trace")?;
        Ok(trace)
    }

    /// Asks the trace to end. It stays a zombie until [`reap`](Self::reap), so the pid is its own.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid, signal).context("cannot signal `gw502 trace`")
    }

    /// Takes the result of a trace that has ended, or is about to.
    pub(super) fn reap(&mut self) -> Result<(), DemoError> {
        let status = self.child.wait().context("cannot wait for `gw502 trace`")?;
        self.reaped = true;
        verdict(status)
    }

    pub(super) const fn is_reaped(&self) -> bool {
        self.reaped
    }

    /// How many bytes the trace has written so far; `None` if this kernel does not count them.
    pub(super) fn bytes_written(&self) -> Option<u64> {
        let counters = fs::read_to_string(format!("/proc/{}/io", self.pid)).ok()?;
        counters
            .lines()
            .find_map(|line| line.strip_prefix("wchar: "))?
            .parse()
            .ok()
    }
}

impl Drop for TraceChild {
    fn drop(&mut self) {
        if !self.reaped {
            put_down(&mut self.child, "`gw502 trace`");
        }
    }
}

fn verdict(status: ExitStatus) -> Result<(), DemoError> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(DemoError::TraceEnded { code }),
        None => Err(anyhow!("`gw502 trace` did not end by itself: {status}").into()),
    }
}

/// Follows the trace to its end. News that nobody takes any more are no loss: the demo is over.
fn watch(stderr: impl Read, pid: Pid, news: &SyncSender<News>) {
    let ready = || {
        if news.send(News::TraceReady).is_err() {
            log::debug!("the trace is ready, but the demo is over");
        }
    };
    if let Err(error) = pass_on(stderr, &mut io::stderr(), ready) {
        log::warn!("cannot read what `gw502 trace` says: {error}");
    }
    // NB: WNOWAIT leaves the zombie to `reap`, so nobody can signal a stranger with its pid.
    if let Err(error) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
        log::debug!("`gw502 trace` is gone already: {error}");
    }
    if news.send(News::TraceEnded).is_err() {
        log::debug!("the trace has ended, and so has the demo");
    }
}

/// Copies line by line up to the end; calls `ready` behind each line that says so.
///
/// A target that is gone is no reason to stop reading: the trace would block or die of it.
fn pass_on(from: impl Read, to: &mut impl io::Write, mut ready: impl FnMut()) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        if let Err(error) = to.write_all(&line) {
            log::debug!("cannot pass a line of `gw502 trace` on: {error}");
        }
        if line.starts_with(b"ready:") {
            ready();
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::super::children::PROXY_NAME;
    use super::*;

    #[test]
    fn the_trace_watches_the_name_that_the_proxy_takes() {
        assert_eq!(
            ARGUMENTS.last().map(|name| name.as_bytes()),
            Some(PROXY_NAME.to_bytes())
        );
        assert!(
            PROXY_NAME.to_bytes().len() <= 15,
            "the kernel would cut the name"
        );
    }

    #[test]
    fn every_line_is_passed_on_and_ready_is_noticed() {
        let said = b"warn: x\nready: 11 hooks\nlost\xff 0";
        let mut heard = Vec::new();
        let mut ready = 0;
        pass_on(&said[..], &mut heard, || ready += 1).expect("memory can be read");
        assert_eq!(heard, said);
        assert_eq!(ready, 1);
    }

    #[test]
    fn the_exit_code_of_the_trace_is_kept() {
        assert!(verdict(ExitStatus::from_raw(0)).is_ok());
        assert!(matches!(
            verdict(ExitStatus::from_raw(4 << 8)),
            Err(DemoError::TraceEnded { code: 4 })
        ));
        assert!(matches!(
            verdict(ExitStatus::from_raw(libc::SIGKILL)),
            Err(DemoError::Failed(_))
        ));
    }
}
