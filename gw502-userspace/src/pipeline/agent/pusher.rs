//! Pushes the measures to an OTLP receiver, again and again, on a thread of its own.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock;
use crate::metrics::serve::Shown;
use crate::sink::otlp::{MeasureSink as _, Otlp, Span};

/// The last push, when the agent stops, has so long.
const LAST: Duration = Duration::from_secs(3);

/// Pushes at work. Dropping it ends them, with one last push.
#[derive(Debug)]
pub(super) struct Pusher {
    end: Option<oneshot::Sender<Infallible>>,
    ended: Receiver<()>,
}

impl Pusher {
    pub(super) fn start(
        sink: &str,
        mut otlp: Otlp,
        every: Duration,
        shown: watch::Receiver<Shown>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, mut told) = oneshot::channel::<Infallible>();
        let (at_end, ended) = sync_channel(1);
        let sink = sink.to_owned();
        let start_ns = unix_ns();
        let push = async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first is now, when there is nothing to say yet.
            ticks.tick().await;
            let mut fails = false;
            loop {
                tokio::select! {
                    _ = ticks.tick() => push(&sink, &mut otlp, start_ns, &shown, &mut fails).await,
                    _told = &mut told => break,
                }
            }
            let last = push(&sink, &mut otlp, start_ns, &shown, &mut fails);
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

/// A line when it begins to fail, and one when it works again.
async fn push(
    sink: &str,
    otlp: &mut Otlp,
    start_ns: u64,
    shown: &watch::Receiver<Shown>,
    fails: &mut bool,
) {
    let measures = Arc::clone(&shown.borrow().measures);
    let span = Span {
        start_ns,
        now_ns: unix_ns(),
    };
    let result = otlp.push(&measures, span).await;
    match (&result, *fails) {
        (Err(error), false) => log::warn!("sink `{sink}`: metrics were not taken: {error}"),
        (Err(error), true) => log::debug!("sink `{sink}`: metrics were not taken: {error}"),
        (Ok(()), true) => log::warn!("sink `{sink}`: metrics are taken again"),
        (Ok(()), false) => {}
    }
    *fails = result.is_err();
}

fn unix_ns() -> u64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
