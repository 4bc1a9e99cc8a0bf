//! The ways a run ends other than by itself.

use std::future::pending;
use std::io::{self, Stdout};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM, `--duration`, or a reader of stdout that left.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    duration: Option<Duration>,
    stdout: Option<AsyncFd<Stdout>>,
}

impl Stop {
    /// From here on signals are caught.
    pub(super) fn new(duration: Option<Duration>) -> io::Result<Self> {
        // SAFETY: descriptor 1 belongs to the process and stays what it is: nothing here closes
        // or replaces it.
        let stdout = unsafe { AsyncFd::register_with_interest(io::stdout(), Interest::ERROR) };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            duration,
            // Err: a plain file, which cannot be waited for and never goes away.
            stdout: stdout.ok(),
        })
    }

    /// Its reader is not what the run is for.
    pub(super) fn outlive_stdout(&mut self) {
        self.stdout = None;
    }

    /// Ends when one of them happens.
    pub(super) async fn asked(&mut self) {
        let Self {
            interrupt,
            terminate,
            duration,
            stdout,
        } = self;
        let timer = async {
            match *duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = timer => {}
            () = reader_gone(stdout.as_ref()) => {}
        }
    }
}

/// Ends when the reader of our stdout is gone, so that `… | head -1` does not leave us behind
/// until the next failure.
async fn reader_gone(stdout: Option<&AsyncFd<Stdout>>) {
    match stdout {
        Some(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        _ => pending().await,
    }
}
