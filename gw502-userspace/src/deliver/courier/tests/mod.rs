//! Tests of the courier, most of them on a clock that is turned by hand.

mod fake;
mod thread;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

use self::fake::{Answer, Fake, Hand};
use super::super::scratch::{Scratch, record, records};
use super::super::{Snapshot, status::STUCK};
use super::*;

const MIB: u64 = 1 << 20;

/// A courier whose thread is a task of the test's runtime.
struct Stage {
    lead: Lead,
    task: JoinHandle<()>,
}

impl Stage {
    fn new(sink: Fake, queue_bytes: u64, spool: Option<Spool>, settings: Settings) -> Self {
        let (lead, run) = Lead::of("a", queue_bytes, spool, settings);
        // `Run` is of one thread, like the couriers'.
        let task = tokio::task::spawn_local(run.deliver_all(Box::new(sink)));
        Self { lead, task }
    }

    fn push(&self, numbers: std::ops::RangeInclusive<u64>) {
        for record in records(numbers) {
            self.lead.queue.push(record);
        }
    }

    fn seen(&self) -> Snapshot {
        self.lead.status.snapshot(Instant::now())
    }

    async fn stop(self, grace: Duration) -> Snapshot {
        self.lead.queue.close();
        self.lead
            .orders
            .send_modify(|orders| orders.stop = Some(grace));
        self.task.await.unwrap();
        self.lead.status.snapshot(Instant::now())
    }
}

/// Lets everything happen that needs no time.
async fn settled() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// Runs a test on one thread with a clock turned by hand.
fn on_stage<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { test().await });
}

fn numbers(numbers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    numbers.collect()
}

fn spool(scratch: &Scratch) -> Spool {
    Spool::open(&scratch.dir.join("spool"), 64 * MIB).unwrap()
}

fn shed(seen: &Snapshot, reason: Reason) -> u64 {
    seen.shed[&reason]
}

#[test]
fn a_batch_goes_when_it_is_full_or_a_second_old() {
    on_stage(|| async {
        let scratch = Scratch::new();
        let hand = Hand::default();
        let stage = Stage::new(
            hand.sink(),
            MIB,
            Some(spool(&scratch)),
            Settings::network(1),
        );
        stage.push(1..=3);
        settled().await;
        assert_eq!(hand.batches(), [0; 0], "it waits for more");
        assert_eq!(stage.seen().spool.unwrap().records, 3, "on disk already");
        sleep(Duration::from_millis(1001)).await;
        settled().await;
        assert_eq!(hand.batches(), [3]);
        stage.push(4..=1103);
        settled().await;
        assert_eq!(hand.batches(), [3, 500, 500], "full ones do not wait");
        sleep(Duration::from_millis(1001)).await;
        settled().await;
        assert_eq!(hand.batches(), [3, 500, 500, 100]);
        assert_eq!(hand.got(), numbers(1..=1103));
        let seen = stage.stop(Duration::from_secs(5)).await;
        assert_eq!(seen.delivered, 1103);
        assert_eq!(seen.spool.unwrap().records, 0);
    });
}

#[test]
fn a_local_sink_does_not_wait() {
    on_stage(|| async {
        let hand = Hand::default();
        let stage = Stage::new(hand.sink(), MIB, None, Settings::local(1));
        for number in 1..=10 {
            stage.push(number..=number);
            settled().await;
            sleep(Duration::from_millis(2)).await;
            assert_eq!(hand.got(), numbers(1..=number));
        }
        stage.stop(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_batch_is_tried_again_until_it_arrives() {
    on_stage(|| async {
        let hand = Hand::default();
        hand.answers([Answer::Later(None), Answer::Part(2), Answer::Later(None)]);
        let stage = Stage::new(hand.sink(), MIB, None, Settings::local(1));
        let start = Instant::now();
        stage.push(1..=5);
        while stage.seen().delivered < 5 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            hand.got(),
            [1, 2, 1, 2, 3, 4, 5],
            "twice is allowed, never is not"
        );
        // 1 s, 2 s and 4 s at most, 0.1 s at least.
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(took <= Duration::from_millis(7100), "{took:?}");
        let seen = stage.stop(Duration::ZERO).await;
        assert_eq!((seen.retries, seen.delivered), (3, 5));
    });
}

#[test]
fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    on_stage(|| async {
        let hand = Hand::default();
        hand.answers([Answer::Later(Some(Duration::from_secs(30)))]);
        let stage = Stage::new(hand.sink(), MIB, None, Settings::local(1));
        stage.push(1..=1);
        settled().await;
        advance(Duration::from_secs(29)).await;
        settled().await;
        assert_eq!(hand.tries(), 1);
        sleep(Duration::from_secs(2)).await;
        settled().await;
        assert_eq!((hand.tries(), hand.got()), (2, vec![1]));
        stage.stop(Duration::ZERO).await;
    });
}

#[test]
fn what_is_refused_is_counted_and_does_not_stop_the_rest() {
    on_stage(|| async {
        let hand = Hand::default();
        hand.answers([Answer::Never(2)]);
        let stage = Stage::new(hand.sink(), MIB, None, Settings::local(1));
        stage.push(1..=5);
        settled().await;
        stage.push(6..=7);
        settled().await;
        let seen = stage.stop(Duration::from_secs(5)).await;
        assert_eq!((seen.delivered, seen.refused, seen.retries), (5, 2, 0));
        assert_eq!(hand.got(), [3, 4, 5, 6, 7]);
    });
}

#[test]
fn a_receiver_that_hangs_is_given_up_and_tried_again() {
    on_stage(|| async {
        let scratch = Scratch::new();
        let hand = Hand::default();
        hand.answers([Answer::Hang, Answer::Hang]);
        let stage = Stage::new(
            hand.sink(),
            MIB,
            Some(spool(&scratch)),
            Settings::network(1),
        );
        stage.push(1..=2);
        sleep(Duration::from_secs(40)).await;
        stage.push(3..=4);
        settled().await;
        assert_eq!(
            stage.seen().spool.unwrap().records,
            4,
            "it does not hold up the spool"
        );
        sleep(Duration::from_secs(40)).await;
        assert_eq!((hand.tries() >= 3, hand.got()), (true, numbers(1..=4)));
        assert_eq!(stage.stop(Duration::ZERO).await.retries, 2);
    });
}

#[test]
fn what_a_stop_leaves_is_in_the_spool_for_the_next_run() {
    on_stage(|| async {
        let scratch = Scratch::new();
        let hand = Hand::default();
        hand.down();
        let stage = Stage::new(
            hand.sink(),
            MIB,
            Some(spool(&scratch)),
            Settings::network(1),
        );
        stage.push(1..=700);
        sleep(Duration::from_secs(20)).await;
        stage.push(701..=800);
        let start = Instant::now();
        let seen = stage.stop(Duration::from_secs(5)).await;
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "no reason to wait"
        );
        assert_eq!((seen.delivered, seen.spool.unwrap().records), (0, 800));
        assert!(seen.shed.values().all(|shed| *shed == 0), "{seen:?}");

        hand.up();
        let stage = Stage::new(
            hand.sink(),
            MIB,
            Some(spool(&scratch)),
            Settings::network(1),
        );
        stage.push(801..=810);
        let seen = stage.stop(Duration::from_secs(5)).await;
        assert_eq!((seen.delivered, hand.got()), (810, numbers(1..=810)));
    });
}

#[test]
fn a_stop_does_not_wait_for_a_receiver_that_hangs() {
    on_stage(|| async {
        let scratch = Scratch::new();
        for with_spool in [true, false] {
            let hand = Hand::default();
            hand.answers([Answer::Hang; 9]);
            let spool = with_spool.then(|| spool(&scratch));
            let stage = Stage::new(hand.sink(), MIB, spool, Settings::local(1));
            stage.push(1..=10);
            settled().await;
            let start = Instant::now();
            let seen = stage.stop(Duration::from_secs(5)).await;
            assert_eq!(start.elapsed().as_secs(), 5);
            let lost = if with_spool { 0 } else { 10 };
            assert_eq!(shed(&seen, Reason::Stopped), lost);
            assert_eq!(seen.spool.map_or(10, |spool| spool.records), 10);
        }
    });
}

#[test]
fn a_stop_flushes_what_waits() {
    on_stage(|| async {
        let hand = Hand::default();
        hand.answers([Answer::Later(None), Answer::Later(None)]);
        let stage = Stage::new(hand.sink(), MIB, None, Settings::local(1));
        stage.push(1..=1200);
        let seen = stage.stop(Duration::from_secs(5)).await;
        assert_eq!((seen.delivered, hand.got()), (1200, numbers(1..=1200)));
    });
}

#[test]
fn an_outage_fills_the_spool_and_what_is_shed_is_counted() {
    on_stage(|| async {
        let scratch = Scratch::new();
        let hand = Hand::default();
        hand.down();
        let small = Spool::open(&scratch.dir.join("spool"), 100_000).unwrap();
        let stage = Stage::new(hand.sink(), MIB, Some(small), Settings::network(1));
        for start in 0..100 {
            stage.push(start * 50 + 1..=start * 50 + 50);
            sleep(Duration::from_millis(100)).await;
        }
        assert!(!stage.seen().stuck);
        sleep(STUCK).await;
        assert!(stage.seen().stuck);
        hand.up();
        sleep(Duration::from_secs(61)).await;
        let seen = stage.stop(Duration::from_secs(5)).await;
        let lost = shed(&seen, Reason::SpoolFull);
        assert!(lost > 0 && !seen.stuck);
        assert_eq!(seen.delivered + lost, 5000);
        let got = hand.got();
        assert_eq!(got.last(), Some(&5000));
        assert_eq!(got.len() as u64, seen.delivered);
        assert!(got.is_sorted());
    });
}

#[test]
fn a_full_disk_sheds_from_memory_counts_and_recovers() {
    on_stage(|| async {
        let Some(scratch) = Scratch::disk(256 << 10) else {
            return;
        };
        let hand = Hand::default();
        let stage = Stage::new(
            hand.sink(),
            20_000,
            Some(spool(&scratch)),
            Settings::network(1),
        );
        stage.push(1..=10);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(stage.seen().delivered, 10);
        hand.down();
        let ballast = scratch.fill();
        for start in 0..20 {
            stage.push(start * 50 + 11..=start * 50 + 60);
            sleep(Duration::from_secs(2)).await;
        }
        let full = stage.seen();
        assert!(full.spool_failures > 5, "{full:?}");
        assert!(shed(&full, Reason::SpoolFailed) > 500, "{full:?}");
        assert!(full.queue.bytes <= full.queue.limit, "{full:?}");
        std::fs::remove_file(ballast).unwrap();
        hand.up();
        sleep(Duration::from_secs(70)).await;
        stage.push(1011..=1020);
        let seen = stage.stop(Duration::from_secs(5)).await;
        let lost: u64 = seen.shed.values().sum();
        assert_eq!(
            lost,
            shed(&seen, Reason::SpoolFailed) + shed(&seen, Reason::QueueFull)
        );
        assert_eq!(seen.delivered + lost, 1020, "{seen:?}");
        let got = hand.got();
        assert_eq!(got.len() as u64, seen.delivered);
        assert!(got.is_sorted(), "{got:?}");
        assert_eq!(got.last(), Some(&1020));
    });
}

#[test]
fn another_sink_takes_over_what_waits() {
    on_stage(|| async {
        let scratch = Scratch::new();
        let (old, new) = (Hand::default(), Hand::default());
        old.answers([Answer::Hang]);
        let stage = Stage::new(old.sink(), MIB, Some(spool(&scratch)), Settings::network(1));
        stage.push(1..=5);
        sleep(Duration::from_secs(3)).await;
        let queue = QueueConfig {
            memory_bytes: 2 * MIB,
            spool_bytes: 3 * MIB,
        };
        let sink = Box::new(new.sink());
        *lock(&stage.lead.changes) = Some(Change { sink, queue });
        stage.lead.orders.send_modify(|orders| orders.changes = 1);
        settled().await;
        assert_eq!((old.got(), new.got()), (vec![], numbers(1..=5)));
        let seen = stage.seen();
        assert_eq!(
            (seen.queue.limit, seen.spool.unwrap().limit),
            (2 * MIB, 3 * MIB)
        );
        stage.push(6..=9);
        let seen = stage.stop(Duration::from_secs(5)).await;
        assert_eq!((seen.delivered, new.got()), (9, numbers(1..=9)));
    });
}

#[test]
fn a_sink_is_reopened_while_idle_and_while_waiting() {
    on_stage(|| async {
        let hand = Hand::default();
        let stage = Stage::new(hand.sink(), MIB, None, Settings::local(1));
        settled().await;
        stage.lead.orders.send_modify(|orders| orders.reopens += 1);
        settled().await;
        assert_eq!(hand.reopens(), 1);
        hand.down();
        stage.push(1..=1);
        sleep(Duration::from_secs(30)).await;
        stage.lead.orders.send_modify(|orders| orders.reopens += 1);
        settled().await;
        assert_eq!(hand.reopens(), 2);
        hand.up();
        sleep(Duration::from_secs(61)).await;
        assert_eq!(hand.got(), [1]);
        stage.stop(Duration::ZERO).await;
        assert_eq!(hand.reopens(), 2);
    });
}
