use gw502_common::ending::Ending;
use gw502_common::wire::{FailureRecord, RecordHeader};

use super::*;
use crate::classify::Classifier;
use crate::intake::decode::{Decoded, Ended};

/// A failure of `cause`, towards 127.0.0.1 at `port`.
fn failure(port: u16, cause: Cause, at_ns: u64) -> Failure {
    let mut record = FailureRecord {
        header: RecordHeader {
            at_ns,
            ..RecordHeader::default()
        },
        ..FailureRecord::default()
    };
    record.connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    record.connection.dport = port;
    let failure = Classifier::default().classify(
        &Decoded::Ended(Ended {
            ending: Ending::Refused,
            record,
        }),
        0,
    );
    Failure {
        class: cause.class(),
        cause,
        ..failure
    }
}

fn id(port: u16) -> UpstreamId {
    UpstreamId {
        upstream: failure(port, Cause::Refused, 0).upstream,
        netns: 0,
    }
}

fn totals(attempts: u64, ended: u64) -> Totals {
    Totals {
        attempts,
        established: attempts - ended,
        ended,
    }
}

#[test]
fn the_worst_upstream_comes_first_and_healthy_ones_are_listed() {
    let mut tally = Tally::default();
    tally.add(&failure(2, Cause::Refused, 5));
    let counted = vec![(Some(id(1)), totals(10, 0)), (Some(id(2)), totals(3, 1))];
    let rows = tally.summarise(&counted);
    assert_eq!(
        rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(),
        [Some(id(2)), Some(id(1))]
    );
    assert_eq!(rows[0].since_ns, Some(5));
    assert_eq!(rows[1].failed(), 0);
}

#[test]
fn what_the_kernel_counted_and_nobody_received_is_lost_and_still_failed() {
    let mut tally = Tally::default();
    tally.add(&failure(1, Cause::Refused, 5));
    let rows = tally.summarise(&[(Some(id(1)), totals(10, 4))]);
    assert_eq!((rows[0].lost, rows[0].failed()), (3, 4));
}

#[test]
fn what_was_told_has_a_row_before_it_is_counted() {
    let mut tally = Tally::default();
    tally.add(&failure(1, Cause::Refused, 5));
    assert_eq!((tally.told(&id(1)), tally.told(&id(2))), (1, 0));
    let rows = tally.summarise(&[(Some(id(1)), totals(0, 0)), (Some(id(2)), totals(0, 0))]);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].failed(), rows[0].lost), (1, 0));
}

#[test]
fn what_the_proxy_cancelled_is_no_failure_and_not_lost() {
    let mut tally = Tally::default();
    tally.add(&failure(1, Cause::Cancelled, 5));
    let rows = tally.summarise(&[(Some(id(1)), totals(10, 1))]);
    assert_eq!((rows[0].aborted, rows[0].failed(), rows[0].lost), (1, 0, 0));
    assert_eq!((rows[0].top_cause(), rows[0].since_ns), (None, None));
}

#[test]
fn upstreams_without_a_counter_of_their_own_are_summed() {
    let mut tally = Tally::default();
    tally.add(&failure(1, Cause::Refused, 5));
    tally.add(&failure(2, Cause::Refused, 6));
    let rows = tally.summarise(&[(None, totals(9, 2))]);
    assert_eq!(rows[0].id, None);
    assert_eq!((rows[0].failed(), rows[0].lost), (2, 0));
    assert_eq!(rows[0].classes, [(Class::Refused, 2)].into());
}

#[test]
fn the_top_cause_is_the_most_frequent() {
    let mut tally = Tally::default();
    for cause in [Cause::Refused, Cause::SynUnanswered, Cause::SynUnanswered] {
        tally.add(&failure(1, cause, 5));
    }
    let rows = tally.summarise(&[(Some(id(1)), totals(3, 3))]);
    assert_eq!(rows[0].top_cause(), Some(Cause::SynUnanswered));
}

#[test]
fn what_only_this_side_saw_is_added_to_what_the_kernel_counted() {
    let mut counted = Counted {
        upstreams: vec![(None, totals(1, 0)), (Some(id(1)), totals(3, 1))],
        ..Counted::default()
    };
    counted.add(id(1), totals(2, 2));
    counted.add(id(2), totals(1, 1));
    assert_eq!(
        counted.upstreams,
        [
            (None, totals(1, 0)),
            (Some(id(1)), totals(5, 3)),
            (Some(id(2)), totals(1, 1)),
        ]
    );
}
