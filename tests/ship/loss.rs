//! Receivers that go away: what was delivered, or was about to be, arrives all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use gw502_tests::deadline;
use gw502_userspace::config::SyslogMessage;
use gw502_userspace::sink::ship::DeliverError;
use gw502_userspace::sink::syslog::Syslog;
use nix::sys::signal::Signal;

use crate::pipe::Pipe;
use crate::records::{self, Sample};
use crate::syslog::{LONG, Receiver, Start, Way};

/// The receiver is ended and started in the middle of a stream of batches: each record arrives at
/// least once.
pub(crate) fn a_restart_loses_nothing(start: Start, way: Way) {
    const BATCHES: u64 = 60;
    let mut receiver = Receiver::new(start);
    let mut samples = Vec::new();
    let config = receiver.config(way, SyslogMessage::Text);
    let mut pipe = Pipe::new(Syslog::new(config).expect("a facility"));
    for number in 0..BATCHES {
        if number == BATCHES / 2 {
            let mut process = receiver.process.take().expect("it runs");
            process.signal(Signal::SIGTERM);
            process.wait(LONG);
            let batch = records::records(&records::plain(10 * number, 1));
            let refused = receiver.beside(|| pipe.deliver(&batch));
            assert!(
                matches!(refused, Err(DeliverError::Later { .. })),
                "nobody was there: {refused:?}"
            );
            receiver.start();
        }
        let batch = records::plain(10 * number, 10);
        receiver.beside(|| pipe.insist(&records::records(&batch)));
        samples.extend(batch);
    }
    all_arrive(&receiver, &samples);
}

/// The receiver is killed with a delivered batch unread in its socket: the batch comes again with the
/// next one.
pub(crate) fn what_was_not_read_comes_again(start: Start, way: Way) {
    let mut receiver = Receiver::new(start);
    let config = receiver.config(way, SyslogMessage::Text);
    let mut pipe = Pipe::new(Syslog::new(config).expect("a facility"));
    let mut samples = records::plain(0, 10);
    receiver.beside(|| pipe.insist(&records::records(&samples)));
    all_arrive(&receiver, &samples);
    let mut process = receiver.process.take().expect("it runs");
    process.signal(Signal::SIGSTOP);
    let unread = records::plain(10, 10);
    receiver
        .beside(|| pipe.deliver(&records::records(&unread)))
        .expect("its kernel takes it");
    process.signal(Signal::SIGKILL);
    process.wait(LONG);
    receiver.start();
    let after = records::plain(20, 10);
    receiver.beside(|| pipe.insist(&records::records(&after)));
    samples.extend(unread);
    samples.extend(after);
    all_arrive(&receiver, &samples);
}

/// The receiver stops reading for good: that is said within seconds, nothing grows, and once it reads
/// again each record arrives once.
pub(crate) fn a_receiver_that_stalls_gets_nothing_twice(start: Start) {
    let receiver = Receiver::new(start);
    let config = receiver.config(Way::Tcp, SyslogMessage::Json);
    let mut pipe = Pipe::new(Syslog::new(config).expect("a facility"));
    let process = receiver.process.as_ref().expect("it runs");
    process.signal(Signal::SIGSTOP);
    // More than the socket buffers of both sides.
    let samples = records::plain(0, 40_000);
    let batch = records::records(&samples);
    for _ in 0..2 {
        let stalled = receiver.beside(|| pipe.deliver(&batch));
        let Err(DeliverError::Later { why, .. }) = stalled else {
            panic!("it reads nothing: {stalled:?}");
        };
        assert!(why.contains("takes nothing"), "{why}");
    }
    process.signal(Signal::SIGCONT);
    receiver.beside(|| pipe.insist(&batch));
    assert_eq!(all_arrive(&receiver, &samples), samples.len());
}

/// Waits for all of them, in order where they are new; returns how many came with the second ones.
#[track_caller]
fn all_arrive(receiver: &Receiver, samples: &[Sample]) -> usize {
    let wanted: BTreeSet<_> = samples.iter().map(Sample::id).collect();
    let mut lines = 0;
    let mut missing = wanted.len();
    let all = deadline::holds_within(2 * LONG, || {
        let wrote = receiver.wrote();
        lines = wrote.len();
        let seen: BTreeSet<_> = wrote.iter().map(|one| one.fields["id"].as_str()).collect();
        missing = wanted.difference(&seen).count();
        missing == 0
    });
    assert!(all, "{missing} of {} did not arrive", wanted.len());
    // Nothing more is on its way: the sink has confirmed all of it.
    deadline::pause_until(deadline::now() + Duration::from_millis(200));
    lines.max(receiver.wrote().len())
}
