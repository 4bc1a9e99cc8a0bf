//! Batches go to the sink, again and again until it has them.

use std::future::pending;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;

use super::super::backoff::Backoff;
use super::super::{Happening, count};
use super::Orders;
use super::run::{ANY, Run, SPOOL_AGAIN};
use crate::sink::ship::{DeliverError, Record, Sink};

pub(super) struct Shipping<'a> {
    run: &'a Run,
    sink: Box<dyn Sink>,
    orders: watch::Receiver<Orders>,
    reopens: u64,
    backoff: Backoff,
}

/// How an attempt ended.
enum Attempt {
    Made(Result<(), DeliverError>),
    /// There are orders: it was given up.
    Broken,
}

impl<'a> Shipping<'a> {
    pub(super) fn new(run: &'a Run, sink: Box<dyn Sink>) -> Self {
        Self {
            run,
            sink,
            orders: run.orders.clone(),
            reopens: 0,
            backoff: Backoff::new(Rng::with_seed(run.settings.seed)),
        }
    }

    /// Until nothing is left and nothing more comes; when it stops, or until the receiver is away.
    pub(super) async fn ship(&mut self) {
        let run = self.run;
        loop {
            self.wait_for_records().await;
            if run.is_done() {
                return;
            }
            match run.peek() {
                Ok(records) if records.is_empty() => run.acknowledge(),
                Ok(records) => {
                    if !self.deliver(&records).await {
                        return;
                    }
                    run.acknowledge();
                }
                Err(error) => {
                    run.spool_failed(&error);
                    tokio::time::sleep(SPOOL_AGAIN).await;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits for a record, and then for a batch, within limits.
    async fn wait_for_records(&mut self) {
        loop {
            self.obey();
            tokio::select! {
                biased;
                () = self.run.holds(ANY) => break,
                () = changed(&mut self.orders) => {}
            }
        }
        if self.is_stopping() {
            return;
        }
        tokio::select! {
            biased;
            () = self.run.holds(self.run.settings.batch) => {}
            () = tokio::time::sleep(self.run.settings.linger) => {}
            () = changed(&mut self.orders) => {}
        }
    }

    /// Whether the batch is dealt with: delivered or refused.
    async fn deliver(&mut self, records: &[Record]) -> bool {
        loop {
            self.obey();
            match self.attempt(records).await {
                Attempt::Made(Ok(())) => {
                    self.arrived(count(records.len()));
                    return true;
                }
                Attempt::Made(Err(DeliverError::Never { refused, why })) => {
                    let refused = refused.min(count(records.len()));
                    self.arrived(count(records.len()).saturating_sub(refused));
                    let records = refused;
                    self.run.status.happen(Happening::Refused { records, why });
                    return true;
                }
                Attempt::Made(Err(DeliverError::Later { why, after })) => {
                    let wait = self.backoff.failed(after);
                    self.run.status.happen(Happening::Retry { wait, why });
                    // In a spool they are safe: no reason to wait for a receiver that is away.
                    if self.is_stopping() && self.run.store.is_some() {
                        return false;
                    }
                    self.rest(wait).await;
                }
                Attempt::Broken => {}
            }
        }
    }

    /// One attempt, given up after its time or for another sink.
    async fn attempt(&mut self, records: &[Record]) -> Attempt {
        let limit = self.run.settings.attempt;
        let changes = self.orders.borrow().changes;
        let mut orders = self.orders.clone();
        let delivery = self.sink.deliver(records);
        let replaced = async {
            let replaced = orders.wait_for(|orders| orders.changes != changes);
            if replaced.await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            made = tokio::time::timeout(limit, delivery) => {
                Attempt::Made(made.unwrap_or_else(|_elapsed| Err(DeliverError::Later {
                    why: format!("no answer within {} s", limit.as_secs()),
                    after: None,
                })))
            }
            () = replaced => Attempt::Broken,
        }
    }

    fn arrived(&mut self, records: u64) {
        if records > 0 {
            self.run.status.happen(Happening::Delivered { records });
        }
        let failed = self.backoff.went_well();
        if failed > 0 {
            self.run.status.happen(Happening::Recovered { failed });
        }
    }

    /// Waits before the next attempt; orders end the wait, unless it stops already.
    async fn rest(&mut self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => return,
                () = changed(&mut self.orders) => {
                    if self.obey() || self.is_stopping() {
                        return;
                    }
                }
            }
        }
    }

    /// Does what it was told between deliveries; whether the sink is another one now.
    fn obey(&mut self) -> bool {
        let reopens = self.orders.borrow_and_update().reopens;
        if let Some(change) = self.run.take_change() {
            self.sink = change.sink;
            self.reopens = reopens;
            self.run.set_limits(change.queue);
            return true;
        }
        if reopens != self.reopens {
            self.reopens = reopens;
            self.sink.reopen();
        }
        false
    }

    fn is_stopping(&self) -> bool {
        self.orders.borrow().stop.is_some()
    }
}

/// Ends at the next order. A courier that was dropped gives none.
async fn changed(orders: &mut watch::Receiver<Orders>) {
    if orders.changed().await.is_err() {
        pending::<()>().await;
    }
}
