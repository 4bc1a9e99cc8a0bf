//! Tests of the queue.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::super::Reason;
use super::super::scratch::{record, records, sequences};
use super::*;

const ALL: BatchLimits = BatchLimits {
    records: usize::MAX,
    bytes: u64::MAX,
};

/// A queue for about so many records.
fn queue(records: u64) -> (Queue, Arc<Status>) {
    let limit = size(&record(1)) * records;
    let status = Arc::new(Status::new("a", limit, None));
    (Queue::new(limit, Arc::clone(&status)), status)
}

fn shed(status: &Status) -> u64 {
    status.snapshot(Instant::now()).shed[&Reason::QueueFull]
}

fn push(queue: &Queue, numbers: std::ops::RangeInclusive<u64>) {
    for record in records(numbers) {
        queue.push(record);
    }
}

#[test]
fn the_oldest_go_when_it_is_full_and_each_is_counted() {
    let (queue, status) = queue(10);
    push(&queue, 1..=1000);
    let left = sequences(&queue.peek(ALL));
    assert_eq!(left.last(), Some(&1000));
    let first = *left.first().unwrap();
    assert_eq!(left, (first..=1000).collect::<Vec<_>>());
    assert!(left.len() >= 9, "{left:?}");
    assert_eq!(shed(&status), first - 1);
    let level = status.snapshot(Instant::now()).queue;
    assert!(level.bytes <= level.limit, "{level:?}");
    assert_eq!(level.records, left.len() as u64);
}

#[test]
fn what_is_shed_while_it_is_out_counts_only_if_it_does_not_arrive() {
    let (queue, status) = queue(10);
    push(&queue, 1..=5);
    let out = BatchLimits { records: 4, ..ALL };
    assert_eq!(sequences(&queue.peek(out)), [1, 2, 3, 4]);
    push(&queue, 6..=30);
    let kept = status.snapshot(Instant::now()).queue.records;
    let lost_for_good = 30 - kept - 4;
    assert_eq!(shed(&status), lost_for_good);
    queue.acknowledge();
    assert_eq!(shed(&status), lost_for_good);
    assert_eq!(status.snapshot(Instant::now()).queue.records, kept);

    assert_eq!(queue.peek(out).len(), 4);
    push(&queue, 31..=60);
    let before = shed(&status);
    queue.release();
    assert_eq!(shed(&status), before + 4);
    assert_eq!(shed(&status), 60 - 4 - queue.peek(ALL).len() as u64);
}

#[test]
fn a_part_may_be_acknowledged() {
    let (queue, status) = queue(100);
    push(&queue, 1..=10);
    assert_eq!(queue.peek(ALL).len(), 10);
    queue.acknowledge_some(3);
    queue.release();
    assert_eq!(sequences(&queue.peek(ALL))[0], 4);
    assert_eq!(shed(&status), 0);
}

#[test]
fn a_record_that_never_fits_is_shed_itself() {
    let status = Arc::new(Status::new("a", 10, None));
    let queue = Queue::new(10, Arc::clone(&status));
    queue.push(record(1));
    assert!(queue.is_empty());
    assert_eq!(shed(&status), 1);
}

#[test]
fn batches_keep_within_records_and_bytes() {
    let (queue, _status) = queue(100);
    push(&queue, 1..=50);
    let bytes = length(&record(1).json) * 7 + 3;
    let batch = queue.peek(BatchLimits {
        records: 100,
        bytes,
    });
    assert_eq!(batch.len(), 7);
    let batch = queue.peek(BatchLimits { records: 5, bytes });
    assert_eq!(batch.len(), 5);
    let batch = queue.peek(BatchLimits {
        records: 5,
        bytes: 1,
    });
    assert_eq!(batch.len(), 1, "a single record is never too long");
}

#[test]
fn it_wakes_when_there_is_enough_and_when_it_is_closed() {
    let (queue, status) = queue(100);
    let mut context = Context::from_waker(Waker::noop());
    let three = BatchLimits { records: 3, ..ALL };
    {
        let mut holds = pin!(queue.holds(three));
        push(&queue, 1..=2);
        assert_eq!(holds.as_mut().poll(&mut context), Poll::Pending);
        push(&queue, 3..=3);
        assert_eq!(holds.as_mut().poll(&mut context), Poll::Ready(()));
    }
    let hundred = BatchLimits {
        records: 100,
        ..ALL
    };
    let mut holds = pin!(queue.holds(hundred));
    assert_eq!(holds.as_mut().poll(&mut context), Poll::Pending);
    queue.close();
    assert_eq!(holds.as_mut().poll(&mut context), Poll::Ready(()));
    queue.push(record(4));
    let seen = status.snapshot(Instant::now());
    assert_eq!((seen.queue.records, seen.shed[&Reason::Stopped]), (3, 1));
}

#[test]
fn many_threads_push_and_nothing_is_lost_unseen() {
    const THREADS: u64 = 4;
    const EACH: u64 = 5_000;
    let (queue, status) = queue(50);
    let mut taken = 0;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| push(&queue, 1..=EACH)))
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            taken += queue.peek(three()).len() as u64;
            queue.acknowledge();
        }
    });
    let left = queue.peek(ALL).len() as u64;
    assert_eq!(taken + left + shed(&status), THREADS * EACH);
}

const fn three() -> BatchLimits {
    BatchLimits { records: 3, ..ALL }
}
