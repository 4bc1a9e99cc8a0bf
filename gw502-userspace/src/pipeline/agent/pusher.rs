//! Pushes the measures to an OTLP receiver, again and again, on a thread of its own.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock;
use crate::metrics::serve::Shown;
use crate::sink::otlp::{MeasureSink as _, Otlp, Span};
use crate::sink::ship::DeliverError;

/// The last push, when the agent stops, has so long.
const LAST: Duration = Duration::from_secs(3);

/// How pushes went. It outlives a change of the sink.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    taken: AtomicU64,
    failed: AtomicU64,
}

impl Pushes {
    /// How many were taken, and how many were not.
    pub(super) fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.taken), load(&self.failed))
    }

    /// Counts it; a line when pushes begin to fail, and one when they are taken again.
    fn note(&self, sink: &str, result: &Result<(), DeliverError>, failed: bool) {
        match (result, failed) {
            (Err(error), false) => log::warn!("sink `{sink}`: metrics were not taken: {error}"),
            (Err(error), true) => log::debug!("sink `{sink}`: metrics were not taken: {error}"),
            (Ok(()), true) => log::warn!("sink `{sink}`: metrics are taken again"),
            (Ok(()), false) => {}
        }
        let count = if result.is_ok() {
            &self.taken
        } else {
            &self.failed
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Pushes at work. Dropping it ends them, with one last push.
#[derive(Debug)]
pub(super) struct Pusher {
    end: Option<oneshot::Sender<Infallible>>,
    ended: Receiver<()>,
}

impl Pusher {
    /// Counters count since `start_ns`, nanoseconds since 1970.
    pub(super) fn start(
        sink: &str,
        mut otlp: Otlp,
        every: Duration,
        start_ns: u64,
        shown: watch::Receiver<Shown>,
        pushes: Arc<Pushes>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, mut told) = oneshot::channel::<Infallible>();
        let (at_end, ended) = sync_channel(1);
        let sink = sink.to_owned();
        let push = async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first is now, when there is nothing to say yet.
            ticks.tick().await;
            let mut fails = false;
            let mut push = async || {
                let measures = Arc::clone(&shown.borrow().measures);
                let now_ns = unix_ns();
                let result = otlp.push(&measures, Span { start_ns, now_ns }).await;
                pushes.note(&sink, &result, fails);
                fails = result.is_err();
            };
            loop {
                tokio::select! {
                    _ = ticks.tick() => push().await,
                    _told = &mut told => break,
                }
            }
            let last = push();
            if timeout(LAST, last).await.is_err() {
                log::warn!("sink `{sink}`: the last metrics were not taken in time");
            }
        };
        thread::Builder::new()
            .name("metrics to".to_owned())
            .spawn(move || {
                runtime.block_on(push);
                // Nobody may be left to hear it.
                at_end.send(()).unwrap_or(());
            })?;
        Ok(Self {
            end: Some(end),
            ended,
        })
    }

    /// Begins to end.
    pub(super) fn stop(&mut self) {
        self.end = None;
    }

    /// Waits for the end, `patience` at most.
    pub(super) fn wait(mut self, patience: Duration) {
        self.stop();
        if self.ended.recv_timeout(patience).is_err() {
            log::warn!("the last metrics were not pushed in time");
        }
    }
}

/// Now, nanoseconds since 1970.
pub(super) fn unix_ns() -> u64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
