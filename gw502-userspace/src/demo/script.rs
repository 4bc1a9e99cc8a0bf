//! The script: which requests, in which order, and what is said about them.
//!
//! A step is announced, then its requests are sent, then the trace shows what it saw, and last comes
//! what the client got: that is all that a user of a real proxy would know.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;

use super::stage::{Stage, route};
use super::trace_child::TraceChild;
use super::{DemoError, End, News, client, say};

/// A kernel that loads every program through a slow verifier stays well below it.
const READY_PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a client waits, so that a client's own message comes first.
const ANSWER_PATIENCE: Duration = Duration::from_secs(8);
/// For the trace to drain, detach and print its summary.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Time to read a step before the next one begins.
const PAUSE: Duration = Duration::from_millis(700);

/// The trace's output is looked at this often …
const TICK: Duration = Duration::from_millis(50);
/// … has come to rest after so many ticks without a byte …
const QUIET_TICKS: u32 = 6;
/// … and is waited for no longer than this many.
const MOST_TICKS: u32 = 30;

/// Some requests to one upstream.
#[derive(Debug)]
struct Step {
    route: &'static str,
    requests: usize,
    /// Follows "… requests to".
    what: &'static str,
    /// The status that each request must get.
    status: u16,
}

/// The one step that does not fail: it shows that the proxy is well, and that the trace is silent.
const OVERTURE: Step = Step {
    route: route::HEALTHY,
    requests: 2,
    what: "a healthy upstream",
    status: 200,
};

const STEPS: [Step; 6] = [
    Step {
        route: route::REFUSED,
        requests: 3,
        what: "an upstream that is not running",
        status: 502,
    },
    Step {
        route: route::RESET,
        requests: 2,
        what: "an upstream that resets the connection instead of answering",
        status: 502,
    },
    Step {
        route: route::CLOSED,
        requests: 2,
        what: "an upstream that closes the connection instead of answering",
        status: 502,
    },
    Step {
        route: route::STUCK,
        requests: 2,
        what: "an upstream that never answers (the proxy waits 2 s)",
        status: 504,
    },
    Step {
        route: route::SILENT,
        requests: 2,
        what: "an address where nobody answers (the proxy waits 1.6 s)",
        status: 504,
    },
    Step {
        route: route::REJECTED,
        requests: 2,
        what: "an address that a firewall rejects by ICMP",
        status: 502,
    },
];

/// Plays the script before the running trace.
#[derive(Debug)]
pub(super) struct Director<'a> {
    trace: TraceChild,
    stage: &'a Stage,
    sender: SyncSender<News>,
    news: Receiver<News>,
    /// The trace is attached, so it has something to sum up.
    ready: bool,
    /// Ctrl-C came.
    stopped: bool,
}

impl<'a> Director<'a> {
    pub(super) const fn new(
        trace: TraceChild,
        stage: &'a Stage,
        sender: SyncSender<News>,
        news: Receiver<News>,
    ) -> Self {
        Self {
            trace,
            stage,
            sender,
            news,
            ready: false,
            stopped: false,
        }
    }

    /// Plays every step, or up to the first that goes wrong.
    pub(super) fn play(&mut self) -> Result<(), End> {
        let Some(News::TraceReady) = self.next(READY_PATIENCE)? else {
            return Err(End::failed(
                "`gw502 trace` did not get ready",
                "no line that starts with `ready:` came within 20 s",
            ));
        };
        self.ready = true;
        self.perform(&OVERTURE)?;
        STEPS.iter().try_for_each(|step| self.perform(step))
    }

    /// Ends the trace, which prints its summary.
    pub(super) fn close(&mut self) -> Result<(), End> {
        if self.trace.is_reaped() {
            return Ok(());
        }
        // SIGTERM does what Ctrl-C does, and no shell has it ignored for its background jobs.
        // Without hooks there is nothing to sum up, and a load in progress would delay the end.
        let signal = if self.ready {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        self.trace.signal(signal)?;
        loop {
            match self.news.recv_timeout(CLOSE_PATIENCE) {
                Ok(News::TraceEnded) if self.ready => return Ok(self.trace.reap()?),
                Ok(News::TraceEnded) => return Ok(()),
                Ok(News::Stop) if self.stopped => {
                    log::debug!("stopped twice: the trace gets no time for its summary");
                    return Ok(self.trace.signal(Signal::SIGKILL)?);
                }
                Ok(News::Stop) => self.stopped = true,
                Ok(News::TraceReady | News::Answer(_)) => {}
                Err(_) => {
                    return Err(End::failed(
                        "`gw502 trace` did not end",
                        "it did not react to SIGTERM for 5 s, so it gets killed",
                    ));
                }
            }
        }
    }

    fn perform(&mut self, step: &Step) -> Result<(), End> {
        let written = self.trace.bytes_written();
        say(format_args!("{} requests to {}", step.requests, step.what))?;
        let statuses = self.ask(step)?;
        // A healthy request leaves the trace silent: there is nothing to wait for.
        if step.status != 200 {
            self.wait_for_output(written)?;
        }
        let list: Vec<String> = statuses.iter().map(u16::to_string).collect();
        let list = list.join(", ");
        say(format_args!("→ the proxy answered {list}"))?;
        if statuses.iter().any(|status| *status != step.status) {
            return Err(End::failed(
                format!("the demo went wrong: its proxy answered {list}"),
                format!("{} was to get {} each time", step.what, step.status),
            ));
        }
        self.next(PAUSE)?;
        Ok(())
    }

    /// Sends the requests of a step at once and collects the answers.
    fn ask(&mut self, step: &Step) -> Result<Vec<u16>, End> {
        let proxy = self.stage.proxy_address();
        for _ in 0..step.requests {
            let news = self.sender.clone();
            let path = format!("/{}", step.route);
            thread::Builder::new()
                .name("client".to_owned())
                .spawn(move || {
                    let answer = client::status_of(proxy, &path);
                    if news.send(News::Answer(answer)).is_err() {
                        log::debug!("an answer came after the demo");
                    }
                })
                .context("cannot start a client thread")?;
        }
        let mut statuses = Vec::new();
        while statuses.len() < step.requests {
            match self.next(ANSWER_PATIENCE)? {
                Some(News::Answer(answer)) => {
                    statuses.push(answer.context("a request to the demo's proxy failed")?);
                }
                Some(_) => {}
                None => {
                    return Err(End::failed(
                        "a request to the demo's proxy failed",
                        "no answer came for 8 s",
                    ));
                }
            }
        }
        Ok(statuses)
    }

    /// Waits until the trace has written more than `before` and come to rest, so that our lines and
    /// its lines do not mix. Only for the looks: when it takes too long we go on.
    fn wait_for_output(&mut self, before: Option<u64>) -> Result<(), End> {
        let (mut written, mut quiet) = (before, 0);
        for _ in 0..MOST_TICKS {
            self.next(TICK)?;
            let now = self.trace.bytes_written();
            quiet = if now == written { quiet + 1 } else { 0 };
            written = now;
            if written != before && quiet >= QUIET_TICKS {
                break;
            }
        }
        Ok(())
    }

    /// The next news within that time, unless it ends the show.
    fn next(&mut self, patience: Duration) -> Result<Option<News>, End> {
        match self.news.recv_timeout(patience) {
            Ok(News::Stop) => {
                self.stopped = true;
                Err(End::Stopped)
            }
            // With 0 it ended at a signal or a closed pipe: somebody has seen enough.
            Ok(News::TraceEnded) => {
                Err(self.trace.reap().map_or_else(End::from, |()| End::Stopped))
            }
            Ok(news) => Ok(Some(news)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(error @ RecvTimeoutError::Disconnected) => {
                Err(DemoError::Failed(anyhow::Error::new(error)).into())
            }
        }
    }
}
