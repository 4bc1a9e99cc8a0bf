//! Tests of the courier with its real thread.

use super::*;
use crate::sink::ship::Delivery;

/// A sink that hangs in what could be a system call.
struct Hanging(Receiver<()>);

impl Sink for Hanging {
    fn deliver<'a>(&'a mut self, _records: &'a [Record]) -> Delivery<'a> {
        // Ends when the test lets go of the other end.
        assert!(self.0.recv().is_err());
        Box::pin(async { Ok(()) })
    }
}

fn start(sink: impl Sink + 'static, memory_bytes: u64) -> Courier {
    let queue = QueueConfig {
        memory_bytes,
        spool_bytes: 0,
    };
    Courier::start("a", Box::new(sink), queue, None, Settings::local(1)).unwrap()
}

#[test]
fn it_delivers_and_stops() {
    let hand = Hand::default();
    let courier = start(hand.sink(), 64 * MIB);
    (1..=20_000).for_each(|number| courier.push(record(number)));
    courier.stop(Duration::from_mins(1));
    let status = courier.wait(Duration::from_mins(1));
    let seen = status.snapshot(Instant::now());
    assert_eq!((seen.delivered, seen.queue.records), (20_000, 0));
    assert_eq!(hand.got(), numbers(1..=20_000));
}

#[test]
fn a_sink_that_hangs_holds_up_neither_intake_nor_another_sink_nor_the_stop() {
    let (hold, held) = sync_channel(0);
    let hanging = start(Hanging(held), 100_000);
    let hand = Hand::default();
    let other = start(hand.sink(), 64 * MIB);
    for number in 1..=10_000 {
        hanging.push(record(number));
        other.push(record(number));
    }
    other.stop(Duration::from_mins(1));
    let fine = other.wait(Duration::from_mins(1)).snapshot(Instant::now());
    assert_eq!(fine.delivered, 10_000);

    let now = hanging.status().snapshot(Instant::now());
    assert!(now.queue.bytes <= now.queue.limit);
    hanging.stop(Duration::ZERO);
    let status = hanging.wait(Duration::from_millis(100));
    let seen = status.snapshot(Instant::now());
    let lost: u64 = seen.shed.values().sum();
    assert_eq!((seen.delivered, lost), (0, 10_000), "{seen:?}");
    drop(hold);
}
