//! Each answer a receiver can give, and what becomes of it.

use std::time::Duration;

use gw502_userspace::config::{OtlpConfig, OtlpProtocol};
use gw502_userspace::sink::ship::DeliverError;
use libtest_mimic::Trial;

use super::Bench;
use super::receiver::{Receiver, Way, config};
use super::samples::failure;
use crate::trial;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("otlp_grpc_answers_are_heeded", || {
            answers_are_heeded(OtlpProtocol::Grpc, GRPC);
        }),
        trial("otlp_http_answers_are_heeded", || {
            answers_are_heeded(OtlpProtocol::Http, HTTP);
        }),
        trial("otlp_http_a_closed_connection_is_no_failure", closed),
    ]
}

/// An answer and what must come of it: nothing refused, so many refused, or later (after seconds).
type Row = (&'static str, Outcome);

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    Refused(u64),
    Later(Option<u64>),
}

use Outcome::{Later, Refused, Taken};

const GRPC: &[Row] = &[
    ("partial:2", Refused(2)),
    ("warn", Taken),
    ("UNAVAILABLE", Later(None)),
    ("UNAVAILABLE:3", Later(Some(3))),
    ("RESOURCE_EXHAUSTED", Refused(3)),
    ("RESOURCE_EXHAUSTED:4", Later(Some(4))),
    ("CANCELLED", Later(None)),
    ("DEADLINE_EXCEEDED", Later(None)),
    ("ABORTED", Later(None)),
    ("OUT_OF_RANGE", Later(None)),
    ("DATA_LOSS", Later(None)),
    ("UNKNOWN", Refused(3)),
    ("INVALID_ARGUMENT", Refused(3)),
    ("NOT_FOUND", Refused(3)),
    ("ALREADY_EXISTS", Refused(3)),
    ("PERMISSION_DENIED", Refused(3)),
    ("FAILED_PRECONDITION", Refused(3)),
    ("UNIMPLEMENTED", Refused(3)),
    ("INTERNAL", Refused(3)),
    ("slow", Later(None)),
];

const HTTP: &[Row] = &[
    ("partial:2", Refused(2)),
    ("warn", Taken),
    ("429", Later(None)),
    ("429:7", Later(Some(7))),
    ("502", Later(None)),
    ("503", Later(None)),
    ("503:3", Later(Some(3))),
    ("504", Later(None)),
    ("400", Refused(3)),
    ("403", Refused(3)),
    ("404", Refused(3)),
    ("413", Refused(3)),
    ("500", Refused(3)),
    ("close", Later(None)),
    ("slow", Later(None)),
];

fn answers_are_heeded(protocol: OtlpProtocol, rows: &[Row]) {
    let way = Way::new(protocol, false);
    for (answer, expected) in rows {
        let receiver = Receiver::start(way, answer);
        let timeout = match *answer {
            "slow" => Duration::from_secs(1),
            _ => Duration::from_secs(5),
        };
        let config = OtlpConfig {
            timeout,
            ..receiver.config()
        };
        let mut bench = Bench::new(&config);
        let records = ["1", "2", "3"].map(failure);
        let result = bench.deliver(&records);
        let (outcome, words) = match &result {
            Ok(()) => (Taken, String::new()),
            Err(DeliverError::Never { refused, why }) => (Refused(*refused), why.clone()),
            Err(DeliverError::Later { why, after }) => {
                (Later(after.map(|after| after.as_secs())), why.clone())
            }
        };
        assert_eq!(outcome, *expected, "{answer}: {words}");
        if !matches!(*answer, "warn" | "close" | "slow") {
            assert!(words.contains("so says the receiver"), "{answer}: {words}");
        }
        // And all is well again.
        assert_eq!(bench.deliver(&records), Ok(()), "after {answer}");
        let requests = receiver.said(2);
        assert_eq!(requests[0]["said"], requests[1]["said"], "{answer}");
    }
    let nobody = format!("http://127.0.0.1:{}", 1);
    let mut bench = Bench::new(&OtlpConfig {
        endpoint: nobody,
        ..config(protocol)
    });
    let Err(DeliverError::Later { why, after: None }) = bench.deliver(&[failure("1")]) else {
        panic!("nobody listens there");
    };
    assert!(why.starts_with("cannot connect to 127.0.0.1:1: "), "{why}");
}

/// A server that closes idle connections is the normal case, and no reason to wait.
fn closed() {
    let receiver = Receiver::start(Way::new(OtlpProtocol::Http, false), "vanish");
    let mut bench = Bench::new(&receiver.config());
    assert_eq!(bench.deliver(&[failure("1")]), Ok(()));
    assert_eq!(bench.deliver(&[failure("2")]), Ok(()));
    let requests = receiver.said(2);
    assert_ne!(requests[0]["peer"], requests[1]["peer"]);
}
