//! `gw502 demo`: six upstream failures, live, on a host without any proxy.
//!
//! The demo moves into a network namespace of its own, starts upstreams that fail there, a small
//! reverse proxy that runs into them and, back in the namespace it came from, the real
//! `gw502 trace`, whose output is what there is to see. [`run`] is the command, [`proxy_main`] its
//! hidden half: the proxy is a process, so that it has a name to watch.
//!
//! ```text
//!  gw502 demo ─┬─ threads: upstreams on 127.0.0.1, responder behind a TUN device, client
//!              ├─ gw502 demo-proxy        in the same namespace
//!              └─ gw502 trace             in the namespace the demo came from
//! ```
//!
//! Nothing is left behind, whatever happens: the namespace and the TUN device exist only as long as
//! these processes, and the kernel kills the children when the demo dies ([`children`]).
//!
//! Threads that wait (for a signal, for the trace, for an answer) report to the main thread through
//! one bounded channel of [`News`]. So every wait ends at once on Ctrl-C and no clock is needed.

mod children;
mod client;
mod error;
mod http;
mod netns;
mod proxy;
mod responder;
mod script;
mod signals;
mod stage;
mod trace_child;
mod upstream;

use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::process::Command;
use std::sync::mpsc::sync_channel;

use anyhow::Context as _;

pub use error::DemoError;
pub use proxy::proxy_main;

use script::Director;
use stage::Stage;
use trace_child::TraceChild;

/// More news than are ever under way at once: a full channel only makes the sender wait.
const NEWS_CAPACITY: usize = 8;

const HEADLINE: [&str; 3] = [
    "six ways an upstream fails, live, in about 15 seconds",
    "a small proxy and its upstreams run in a network namespace of their own; the host's is untouched",
    "`gw502 trace` watches that proxy; the lines without `demo:` are its output",
];

/// What a waiting thread tells the main thread.
#[derive(Debug)]
enum News {
    /// SIGINT or SIGTERM came.
    Stop,
    /// The trace said `ready:`: no failure from now on is missed.
    TraceReady,
    /// The trace has ended, and all it said on stderr was passed on.
    TraceEnded,
    /// The proxy answered a request with this status, or the request itself failed.
    Answer(anyhow::Result<u16>),
}

/// Why the show ended before its last step.
#[derive(Debug)]
enum End {
    /// Somebody wanted it to end: Ctrl-C, or a closed pipe behind our output. Not an error.
    Stopped,
    Error(DemoError),
}

impl End {
    /// A failure of the demo itself, with its reason.
    fn failed(
        what: impl Display + Send + Sync + 'static,
        why: impl Display + fmt::Debug + Send + Sync + 'static,
    ) -> Self {
        anyhow::Error::msg(why).context(what).into()
    }
}

impl From<DemoError> for End {
    fn from(error: DemoError) -> Self {
        Self::Error(error)
    }
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(DemoError::Failed(error))
    }
}

/// Runs the demo to its end or to the first Ctrl-C.
///
/// Call it on the main thread and before any other thread starts: it blocks SIGINT and SIGTERM for
/// good, moves the calling thread to a new network namespace, and its children live as long as the
/// thread that started them.
pub fn run() -> Result<(), DemoError> {
    run_with(trace_child::command())
}

/// [`run`] with another command in the part of `gw502 trace`.
pub(crate) fn run_with(trace: Command) -> Result<(), DemoError> {
    let last_words = match perform(trace) {
        Ok(()) => {
            "done; nothing left behind. Next: `gw502 trace` watches the real proxies of this host"
        }
        Err(End::Stopped) => "stopped; nothing left behind",
        Err(End::Error(error)) => return Err(error),
    };
    match say(last_words) {
        Ok(()) | Err(End::Stopped) => Ok(()),
        Err(End::Error(error)) => Err(error),
    }
}

fn perform(trace: Command) -> Result<(), End> {
    let (sender, news) = sync_channel(NEWS_CAPACITY);
    signals::watch(sender.clone())?;

    // The proxy starts before the trace, which so finds it by name among the running processes.
    let home = netns::enter_new()?;
    let stage = Stage::set()?;
    for line in HEADLINE {
        say(line)?;
    }
    let trace = TraceChild::spawn(trace, home, sender.clone())?;

    // Dropped before the stage: the trace would report the end of the proxy, too.
    let mut director = Director::new(trace, &stage, sender, news);
    let played = director.play();
    let closed = director.close();
    match (played, closed) {
        (Ok(()) | Err(End::Stopped), Err(worse)) => Err(worse),
        (played, _) => played,
    }
}

/// Writes a line of our own to stderr: stdout carries the trace's data alone.
fn say(line: impl Display) -> Result<(), End> {
    let written = writeln!(io::stderr().lock(), "demo: {line}");
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(End::Stopped),
        written => Ok(written.context("cannot write to stderr")?),
    }
}
