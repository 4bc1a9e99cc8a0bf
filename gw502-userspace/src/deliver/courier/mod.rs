//! The thread of a sink: takes records out of its queue, and delivers them.
//!
//! Two tasks on a runtime of its own: one moves records from memory to disk as they come, where
//! there is a spool; the other ([`ship`]) makes batches, delivers them and tries again. So a
//! receiver that is away does not keep records in memory, and a disk that is full does not keep
//! the sink from delivering what is on it.

mod run;
mod ship;

use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use self::run::Run;
use super::{BatchLimits, Happening, Queue, Reason, Spool, Status, lock};
use crate::config::QueueConfig;
use crate::sink::ship::{Record, Sink};

/// How to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much at once.
    pub batch: BatchLimits,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
    /// An attempt that takes longer is given up, and made again.
    pub attempt: Duration,
    /// Where the jitter of waits starts.
    pub seed: u64,
}

impl Settings {
    /// For a sink on this host: what is there is delivered at once.
    pub fn local(seed: u64) -> Self {
        Self {
            linger: Duration::ZERO,
            ..Self::network(seed)
        }
    }

    /// For a sink beyond: a batch waits for a second, an attempt takes at most 30.
    pub fn network(seed: u64) -> Self {
        Self {
            batch: BatchLimits::default(),
            linger: Duration::from_secs(1),
            attempt: Duration::from_secs(30),
            seed,
        }
    }
}

/// What the thread is told.
#[derive(Debug, Default)]
struct Orders {
    /// How often [`Courier::reopen`] was called.
    reopens: u64,
    /// How often [`Courier::change`] was called.
    changes: u64,
    /// Stop, within so long.
    stop: Option<Duration>,
}

/// What [`Courier::change`] leaves for the thread.
struct Change {
    sink: Box<dyn Sink>,
    queue: QueueConfig,
}

type Changes = Arc<Mutex<Option<Change>>>;

/// A sink at work.
pub struct Courier {
    lead: Lead,
    ended: Receiver<()>,
}

/// What leads a run, and what is known of it.
struct Lead {
    queue: Queue,
    status: Arc<Status>,
    orders: watch::Sender<Orders>,
    changes: Changes,
}

impl Lead {
    /// With the run that it leads.
    fn of(name: &str, queue_bytes: u64, spool: Option<Spool>, settings: Settings) -> (Self, Run) {
        let limit = spool.as_ref().map(|spool| spool.level().limit);
        let status = Arc::new(Status::new(name, queue_bytes, limit));
        let queue = Queue::new(queue_bytes, Arc::clone(&status));
        let (orders, told) = watch::channel(Orders::default());
        let changes = Changes::default();
        let run = Run::new(
            queue.clone(),
            Arc::clone(&status),
            spool,
            settings,
            told,
            Arc::clone(&changes),
        );
        let lead = Self {
            queue,
            status,
            orders,
            changes,
        };
        (lead, run)
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier")
            .field("status", &self.lead.status)
            .finish_non_exhaustive()
    }
}

impl Courier {
    /// Starts the thread of `sink`. With a spool, records wait there; what an earlier run left in
    /// it is delivered first.
    ///
    /// Errors are the host's: no thread, or no descriptor for the runtime.
    pub fn start(
        name: &str,
        sink: Box<dyn Sink>,
        queue: QueueConfig,
        spool: Option<Spool>,
        settings: Settings,
    ) -> io::Result<Self> {
        let (lead, run) = Lead::of(name, queue.memory_bytes, spool, settings);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = sync_channel(1);
        // The kernel shows 15 bytes of a thread's name.
        let title: String = format!("to {name}").chars().take(15).collect();
        thread::Builder::new().name(title).spawn(move || {
            runtime.block_on(run.deliver_all(sink));
            if end.send(()).is_err() {
                log::debug!("a sink ended, and nobody waited for it");
            }
        })?;
        Ok(Self { lead, ended })
    }

    /// Hands a record over. Never blocks and never fails: what is too much is shed and counted.
    pub fn push(&self, record: Record) {
        self.lead.queue.push(record);
    }

    /// The queue, for whoever pushes from elsewhere.
    pub fn queue(&self) -> Queue {
        self.lead.queue.clone()
    }

    /// What is known of it.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.lead.status)
    }

    /// SIGHUP: [`Sink::reopen`], before the next delivery.
    pub fn reopen(&self) {
        self.lead
            .orders
            .send_modify(|orders| orders.reopens = orders.reopens.wrapping_add(1));
    }

    /// Delivers by another sink and within other limits from now on; what waits goes there as
    /// well. A delivery under way is given up and made again. (Whether there is a spool stays as it
    /// is.)
    pub fn change(&self, sink: Box<dyn Sink>, queue: QueueConfig) {
        *lock(&self.lead.changes) = Some(Change { sink, queue });
        self.lead
            .orders
            .send_modify(|orders| orders.changes = orders.changes.wrapping_add(1));
    }

    /// Begins to stop: no record is taken any more, and those that wait are delivered within
    /// `grace`. Does not wait for that: several sinks stop at once.
    pub fn stop(&self, grace: Duration) {
        self.lead.queue.close();
        self.lead.orders.send_modify(|orders| {
            orders.stop.get_or_insert(grace);
        });
    }

    /// Waits until it has stopped, `patience` at most: a sink may hang in a system call. What was
    /// not delivered is in the spool, or counted as lost.
    pub fn wait(self, patience: Duration) -> Arc<Status> {
        self.stop(Duration::ZERO);
        if self.ended.recv_timeout(patience).is_err() {
            let records = self.lead.queue.clear();
            if records > 0 {
                let reason = Reason::Stopped;
                self.lead.status.happen(Happening::Shed { records, reason });
            }
            self.lead.status.say(true);
        }
        self.lead.status
    }
}

#[cfg(test)]
mod tests;
