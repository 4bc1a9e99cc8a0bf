//! What the thread of a sink does, from start to end.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::super::{BatchLimits, Happening, Queue, Reason, Spool, SpoolError, Status, lock};
use super::ship::Shipping;
use super::{Changes, Orders, Settings};
use crate::sink::ship::{Record, Sink};

/// A spool that fails is tried again after this.
pub(super) const SPOOL_AGAIN: Duration = Duration::from_secs(1);

/// How often lines are logged and the spool is synced.
const TICK: Duration = Duration::from_secs(1);

/// Any record is enough.
pub(super) const ANY: BatchLimits = BatchLimits {
    records: 1,
    bytes: u64::MAX,
};

/// All that both tasks share.
pub(super) struct Run {
    pub(super) queue: Queue,
    pub(super) status: Arc<Status>,
    pub(super) store: Option<Store>,
    pub(super) settings: Settings,
    pub(super) orders: watch::Receiver<Orders>,
    pub(super) changes: Changes,
}

/// The spool, between the two tasks of one thread.
pub(super) struct Store {
    spool: RefCell<Spool>,
    arrived: Notify,
    /// The queue is closed and everything out of it is here.
    complete: Cell<bool>,
}

impl Run {
    pub(super) fn new(
        queue: Queue,
        status: Arc<Status>,
        spool: Option<Spool>,
        settings: Settings,
        orders: watch::Receiver<Orders>,
        changes: Changes,
    ) -> Self {
        let store = spool.map(|spool| {
            let found = spool.found();
            if found.records > 0 {
                let records = found.records;
                status.happen(Happening::Found { records });
            }
            if found.torn > 0 {
                let records = found.torn;
                status.happen(Happening::Damaged { records });
            }
            shed(&status, found.shed, Reason::SpoolFull);
            status.spool_is(spool.level());
            Store {
                spool: RefCell::new(spool),
                arrived: Notify::new(),
                complete: Cell::new(false),
            }
        });
        Self {
            queue,
            status,
            store,
            settings,
            orders,
            changes,
        }
    }

    /// Delivers until it is told to stop, and settles what is left.
    pub(super) async fn deliver_all(self, sink: Box<dyn Sink>) {
        {
            let mut shipping = Shipping::new(&self, sink);
            let work = async { tokio::join!(self.pump(), shipping.ship()) };
            let mut work = pin!(work);
            let mut deadline = pin!(self.deadline());
            let mut ticks = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    biased;
                    _ = &mut work => break,
                    () = &mut deadline => break,
                    _ = ticks.tick() => self.tick(),
                }
            }
        }
        self.settle();
        self.status.say(true);
    }

    /// Moves records from memory to disk as they come.
    async fn pump(&self) {
        let Some(store) = &self.store else {
            return;
        };
        loop {
            self.queue.holds(ANY).await;
            if self.queue.is_empty() && self.queue.is_closed() {
                break;
            }
            if !self.move_batch(store) {
                tokio::time::sleep(SPOOL_AGAIN).await;
            }
            // The other task shall not wait for the end of a storm.
            tokio::task::yield_now().await;
        }
        store.complete.set(true);
        store.arrived.notify_one();
    }

    /// Moves a batch; `false` when the spool does not take it.
    fn move_batch(&self, store: &Store) -> bool {
        let records = self.queue.peek(self.settings.batch);
        let pushed = store.spool.borrow_mut().push(&records);
        self.status.spool_is(store.spool.borrow().level());
        shed(&self.status, pushed.shed, Reason::SpoolFull);
        self.queue.acknowledge_some(pushed.written);
        self.status.spool_fails(pushed.failed.is_some());
        store.arrived.notify_one();
        match pushed.failed {
            None => true,
            Some(error) => {
                // Those shed while they were out, with the reason of now.
                self.queue.release();
                self.spool_failed(&error);
                false
            }
        }
    }

    pub(super) fn spool_failed(&self, error: &SpoolError) {
        let why = error.to_string();
        self.status.happen(Happening::SpoolFailed { why });
    }

    /// Ends when the time for stopping is over.
    async fn deadline(&self) {
        let mut orders = self.orders.clone();
        let grace = match orders.wait_for(|orders| orders.stop.is_some()).await {
            Ok(orders) => orders.stop.unwrap_or_default(),
            // The courier was dropped without a word.
            Err(_dropped) => Duration::ZERO,
        };
        tokio::time::sleep(grace).await;
    }

    fn tick(&self) {
        self.sync();
        self.status.say(false);
    }

    fn sync(&self) {
        if let Some(store) = &self.store
            && let Err(error) = store.spool.borrow_mut().sync()
        {
            self.spool_failed(&error);
        }
    }

    /// What is left goes to the spool, or is lost.
    fn settle(&self) {
        self.queue.close();
        self.queue.release();
        if let Some(store) = &self.store {
            let orphans = store.spool.borrow_mut().release();
            shed(&self.status, orphans, Reason::SpoolFull);
            while !self.queue.is_empty() && self.move_batch(store) {}
            self.sync();
            let level = store.spool.borrow().level();
            self.status.spool_is(level);
            if level.records > 0 {
                let records = level.records;
                self.status.happen(Happening::Kept { records });
            }
        }
        shed(&self.status, self.queue.clear(), Reason::Stopped);
    }
}

/// Where [`Shipping`] takes records from: the spool, or else the queue.
impl Run {
    /// Waits until as much as `limits` is there, or nothing more comes.
    pub(super) async fn holds(&self, limits: BatchLimits) {
        let Some(store) = &self.store else {
            return self.queue.holds(limits).await;
        };
        loop {
            let level = store.spool.borrow().level();
            let enough = level.records >= super::super::count(limits.records)
                || (level.records > 0 && level.bytes >= limits.bytes);
            if enough || store.complete.get() {
                return;
            }
            store.arrived.notified().await;
        }
    }

    /// Whether nothing is left and nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        match &self.store {
            Some(store) => store.complete.get() && store.spool.borrow().is_empty(),
            None => self.queue.is_closed() && self.queue.is_empty(),
        }
    }

    /// The next batch; empty when all that was there is damaged.
    pub(super) fn peek(&self) -> Result<Vec<Record>, SpoolError> {
        let Some(store) = &self.store else {
            return Ok(self.queue.peek(self.settings.batch));
        };
        let batch = store.spool.borrow_mut().peek(self.settings.batch)?;
        if batch.damaged > 0 {
            let records = batch.damaged;
            self.status.happen(Happening::Damaged { records });
        }
        Ok(batch.records)
    }

    /// The batch is dealt with.
    pub(super) fn acknowledge(&self) {
        let Some(store) = &self.store else {
            return self.queue.acknowledge();
        };
        let acknowledged = store.spool.borrow_mut().acknowledge();
        if let Err(error) = acknowledged {
            self.spool_failed(&error);
        }
        self.status.spool_is(store.spool.borrow().level());
    }

    /// Other limits.
    pub(super) fn set_limits(&self, queue: crate::config::QueueConfig) {
        self.queue.set_limit(queue.memory_bytes);
        if let Some(store) = &self.store {
            let lost = store.spool.borrow_mut().set_limit(queue.spool_bytes);
            shed(&self.status, lost, Reason::SpoolFull);
            self.status.spool_is(store.spool.borrow().level());
        }
    }

    pub(super) fn take_change(&self) -> Option<super::Change> {
        lock(&self.changes).take()
    }
}

fn shed(status: &Status, records: u64, reason: Reason) {
    if records > 0 {
        status.happen(Happening::Shed { records, reason });
    }
}
