//! OTLP: what receivers parsed of records and measures, and what becomes of their answers.

mod answers;
pub(crate) mod receiver;
mod samples;
mod victoria_metrics;

use std::fs;

use gw502_userspace::config::{OtlpConfig, OtlpProtocol};
use gw502_userspace::metrics::model::Measures;
use gw502_userspace::sink::otlp::{MeasureSink as _, Otlp, Span};
use gw502_userspace::sink::ship::{DeliverError, Record, Sink as _};
use libtest_mimic::Trial;
use tokio::runtime::{Builder, Runtime};

use self::receiver::{Receiver, WAYS, Way};
use self::samples::{
    SPAN, diagnosis, failure, logs_as_they_should_be, measures, metrics_as_they_should_be,
};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for way in WAYS {
        let mut add = |what: &str, body: fn(Way)| {
            let name = format!("otlp_{}_{what}", way.name());
            trials.push(trial(name, move || body(way)));
        };
        add("logs_arrive_whole", logs_arrive_whole);
        add("metrics_arrive_whole", metrics_arrive_whole);
        add("one_connection_serves", one_connection_serves);
        add("new_secrets_are_read", new_secrets_are_read);
        if way.secure {
            add("trusts_no_stranger", trusts_no_stranger);
        }
    }
    trials.extend(answers::trials());
    trials.push(victoria_metrics::trial());
    trials
}

/// A sink and what it runs on.
struct Bench {
    sink: Otlp,
    runtime: Runtime,
}

impl Bench {
    fn new(config: &OtlpConfig) -> Self {
        Self {
            sink: Otlp::new(config, "web1").expect("a sound configuration"),
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
        }
    }

    fn deliver(&mut self, records: &[Record]) -> Result<(), DeliverError> {
        self.runtime.block_on(self.sink.deliver(records))
    }

    fn push(&mut self, measures: &Measures, span: Span) -> Result<(), DeliverError> {
        self.runtime.block_on(self.sink.push(measures, span))
    }
}

fn logs_arrive_whole(way: Way) {
    let receiver = Receiver::start(way, "");
    let mut bench = Bench::new(&receiver.config());
    assert_eq!(bench.deliver(&[failure("01JDC"), diagnosis()]), Ok(()));
    let requests = receiver.said(1);
    assert_eq!(requests[0]["signal"], "logs");
    assert_eq!(requests[0]["said"], logs_as_they_should_be());
    let headers = &requests[0]["headers"];
    assert_eq!(headers["x-tenant"], "blue");
    let agent = headers["user-agent"].as_str().expect("a user agent");
    assert!(agent.starts_with("gw502/"), "{agent}");
}

fn metrics_arrive_whole(way: Way) {
    let receiver = Receiver::start(way, "");
    let mut bench = Bench::new(&receiver.config());
    assert_eq!(bench.push(&measures(), SPAN), Ok(()));
    let requests = receiver.said(1);
    assert_eq!(requests[0]["signal"], "metrics");
    assert_eq!(requests[0]["said"], metrics_as_they_should_be());
}

fn one_connection_serves(way: Way) {
    let receiver = Receiver::start(way, "");
    let mut bench = Bench::new(&receiver.config());
    for _ in 0..3 {
        assert_eq!(bench.deliver(&[failure("01JDC")]), Ok(()));
        assert_eq!(bench.push(&measures(), SPAN), Ok(()));
    }
    let requests = receiver.said(6);
    assert!(
        requests
            .iter()
            .all(|request| request["peer"] == requests[0]["peer"])
    );
}

fn new_secrets_are_read(way: Way) {
    let refusal = match way.protocol {
        OtlpProtocol::Grpc => "UNAUTHENTICATED",
        OtlpProtocol::Http => "401",
    };
    let receiver = Receiver::start(way, &format!("ok,{refusal},ok,{refusal},{refusal}"));
    let secret = receiver.files.write("token", "Bearer one\n");
    let header_files = [("authorization".to_owned(), secret.clone())].into();
    let mut bench = Bench::new(&OtlpConfig {
        header_files,
        ..receiver.config()
    });
    assert_eq!(bench.deliver(&[failure("1")]), Ok(()));
    fs::write(&secret, "Bearer two\n").expect("a file of our own");
    // Refused on the connection that is there, taken on a new one.
    assert_eq!(bench.deliver(&[failure("2")]), Ok(()));
    // Refused on that, and on a new one as well.
    let Err(DeliverError::Never { refused: 1, .. }) = bench.deliver(&[failure("3")]) else {
        panic!("it was refused");
    };
    let requests = receiver.said(5);
    let tokens: Vec<_> = requests
        .iter()
        .map(|request| {
            request["headers"]["authorization"]
                .as_str()
                .expect("a token")
        })
        .collect();
    let (one, two) = ("Bearer one", "Bearer two");
    assert_eq!(tokens, [one, one, two, two, two]);

    fs::remove_file(&secret).expect("a file of our own");
    let Err(DeliverError::Later { why, after: None }) = bench.deliver(&[failure("4")]) else {
        panic!("there is no secret");
    };
    assert!(why.contains("token`: No such file"), "{why}");
}

fn trusts_no_stranger(way: Way) {
    let receiver = Receiver::start(way, "");
    let file = |name: &str| receiver.files.join(name);
    let fails = |config: &OtlpConfig, words: &str| match Bench::new(config).deliver(&[failure("1")])
    {
        Err(DeliverError::Later { why, after: None }) if why.contains(words) => {}
        other => panic!("expected {words:?}: {other:?}"),
    };
    let config = receiver.config();
    let other = Some(file("other.pem"));
    fails(
        &OtlpConfig {
            ca_file: other,
            ..config.clone()
        },
        "invalid peer certificate",
    );
    // The host's own, which know nothing of ours.
    fails(
        &OtlpConfig {
            ca_file: None,
            ..config.clone()
        },
        "invalid peer certificate",
    );
    let endpoint = config.endpoint.replace("localhost", "127.0.0.1");
    fails(
        &OtlpConfig {
            endpoint,
            ..config.clone()
        },
        "not valid for name",
    );
    let key = Some(file("ca.key"));
    fails(
        &OtlpConfig {
            ca_file: key,
            ..config.clone()
        },
        "ca.key` holds no PEM certificate",
    );
    // The receiver wants to know who we are.
    let client_certificate = None;
    let stranger = OtlpConfig {
        client_certificate,
        ..config
    };
    let Err(DeliverError::Later { .. }) = Bench::new(&stranger).deliver(&[failure("1")]) else {
        panic!("the receiver does not know us");
    };
    receiver.said(0);
}
