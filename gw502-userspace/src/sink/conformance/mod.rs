//! What every sink must do, as one function that each is put through by its tests.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;

use super::ship::{DeliverError, Kind, Record, Sink};

/// The other end of a sink, in the hands of a test.
pub trait Receiver {
    /// The `id` of each record that has arrived since the start, in order; called when a delivery
    /// has been acknowledged, and waits for what is on its way.
    fn arrived(&mut self) -> Vec<String>;

    /// From now on nothing arrives.
    fn fail(&mut self);

    /// Things arrive again.
    fn recover(&mut self);

    /// What happens before a SIGHUP: logrotate moves the file away, say.
    fn before_reopen(&mut self) {}
}

/// A failure, and every tenth time a diagnosis, with all that a sink may rely on.
pub fn record(sequence: u64) -> Record {
    let (kind, schema) = if sequence.is_multiple_of(10) {
        (Kind::Diagnosis, "gw502.diagnosis/1")
    } else {
        (Kind::Failure, "gw502.failure/1")
    };
    let json = format!(
        r#"{{"schema":"{schema}","id":"{sequence:08}","run":"r1","sequence":{sequence},"time":"2026-01-02T03:04:05.678901234Z","host":"a.example","text":"say \"é\" ]\\"}}"#
    );
    Record {
        kind,
        json: Bytes::from(json),
    }
}

/// Puts a sink through everything. For a runtime with I/O and time.
pub async fn check(sink: &mut dyn Sink, receiver: &mut dyn Receiver) -> Result<()> {
    let mut next: u64 = 1;
    let mut batch = |size: u64| {
        let first = next;
        next = next.saturating_add(size);
        (first..next).map(record).collect::<Vec<_>>()
    };
    // One, some, many: what was handed over arrives, once, in order.
    for size in [1, 10, 500] {
        let records = batch(size);
        arrives(sink, &records).await.context("at the start")?;
    }
    let ids = receiver.arrived();
    ensure!(ids == expected(511), "handed over 1 to 511, {}", told(&ids));

    // A receiver that is gone: `Later`, and later everything arrives, at least once.
    receiver.fail();
    let lost = batch(20);
    let mut noticed = false;
    // A protocol without acknowledgement notices only after some have gone nowhere.
    for _ in 0..ATTEMPTS {
        match once(sink, &lost).await {
            Err(DeliverError::Later { .. }) => {
                noticed = true;
                break;
            }
            Err(error) => bail!("a receiver that is gone is `Later`, not: {error}"),
            Ok(()) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    ensure!(noticed, "the receiver is gone, and nothing was noticed");
    receiver.recover();
    arrives(sink, &lost).await.context("after an outage")?;
    let more = batch(20);
    arrives(sink, &more).await.context("after an outage")?;
    let ids = receiver.arrived();
    let missing = expected(551).into_iter().find(|id| !ids.contains(id));
    ensure!(missing.is_none(), "{missing:?} is missing after an outage");
    // Duplicates begin again at the start of a batch: the last of each id are in order.
    let mut last: Vec<_> = ids.clone();
    last.reverse();
    let mut seen = std::collections::BTreeSet::new();
    last.retain(|id| seen.insert(id.clone()));
    last.reverse();
    ensure!(last == expected(551), "out of order: {}", told(&last));

    // SIGHUP loses nothing.
    let before = receiver.arrived().len();
    let records = batch(10);
    arrives(sink, &records).await.context("before a reopen")?;
    receiver.before_reopen();
    sink.reopen();
    let records = batch(10);
    arrives(sink, &records).await.context("after a reopen")?;
    let ids = receiver.arrived();
    let since = ids.get(before..).unwrap_or_default();
    let all = expected(571);
    ensure!(
        Some(since) == all.get(551..),
        "handed over 552 to 571 around a reopen, {}",
        told(since)
    );
    Ok(())
}

/// How often a delivery is tried: with the pauses between, half a minute.
const ATTEMPTS: u32 = 60;

async fn arrives(sink: &mut dyn Sink, records: &[Record]) -> Result<()> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match once(sink, records).await {
            Ok(()) => return Ok(()),
            Err(error @ DeliverError::Never { .. }) => return Err(error.into()),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    match last {
        Some(error) => Err(error).context("not delivered again and again"),
        None => bail!("never tried"),
    }
}

/// As the courier does it: an attempt has its time.
async fn once(sink: &mut dyn Sink, records: &[Record]) -> Result<(), DeliverError> {
    let attempt = tokio::time::timeout(Duration::from_secs(10), sink.deliver(records));
    attempt.await.unwrap_or_else(|_elapsed| {
        Err(DeliverError::Later {
            why: "no answer within 10 s".to_owned(),
            after: None,
        })
    })
}

fn expected(last: u64) -> Vec<String> {
    (1..=last).map(|id| format!("{id:08}")).collect()
}

fn told(ids: &[String]) -> String {
    let (first, last) = (ids.first(), ids.last());
    format!("{} arrived: {first:?} … {last:?}", ids.len())
}

#[cfg(test)]
mod tests;
