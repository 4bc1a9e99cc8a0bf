//! Other tools that watch TCP connections, from libbpf-tools.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::child::{Place, Running};
use crate::clock;
use crate::stage::Scratch;

/// How long a tool may take until it prints something.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// Prints every state change.
    Tcpstates,
    /// Prints every connection at its end.
    Tcplife,
}

impl Tool {
    pub(crate) const ALL: [Self; 2] = [Self::Tcpstates, Self::Tcplife];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcpstates => "tcpstates",
            Self::Tcplife => "tcplife",
        }
    }
}

/// A running tool that was seen to work.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Running,
    output: PathBuf,
}

impl Peer {
    /// Starts it with its output to a file, which is the cheapest for it, and lets `agent` connect
    /// until something is in that file.
    pub(crate) fn start(tool: Tool, scratch: &Scratch, agent: &mut Agent) -> Result<Self> {
        let output = scratch.path(tool.name());
        let complaints = scratch.path("stderr");
        let mut command = Command::new(tool.name());
        command
            .stdin(Stdio::null())
            .stdout(create(&output)?)
            .stderr(create(&complaints)?);
        let mut process = Running::start(&mut command, Place::Any)
            .context("is the package libbpf-tools installed?")?;
        let what = format!("{} to print something", tool.name());
        clock::wait_for(&what, START_LIMIT, || {
            if let Some(status) = process.ended()? {
                bail!("{status}: {}", last_line(&complaints));
            }
            agent.connect(Duration::from_millis(5))?;
            Ok((size(&output)? > 0).then_some(()))
        })?;
        Ok(Self { process, output })
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.interrupt()?;
        fs::remove_file(&self.output)
            .with_context(|| format!("cannot remove `{}`", self.output.display()))
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot create `{}`", path.display()))
}

fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path);
    Ok(metadata
        .with_context(|| format!("cannot look at `{}`", path.display()))?
        .len())
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}
