//! Every status there is, against the tables of the OTLP specification.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Answer, of_grpc, of_http};
use crate::sink::otlp::payload::{Payload, Signal};
use crate::sink::ship::DeliverError;

/// Every gRPC status that is an error, and whether the specification has it tried again.
const CODES: &[(Code, bool)] = &[
    (Code::Cancelled, true),
    (Code::Unknown, false),
    (Code::InvalidArgument, false),
    (Code::DeadlineExceeded, true),
    (Code::NotFound, false),
    (Code::AlreadyExists, false),
    (Code::PermissionDenied, false),
    (Code::Unauthenticated, false),
    (Code::ResourceExhausted, false),
    (Code::FailedPrecondition, false),
    (Code::Aborted, true),
    (Code::OutOfRange, true),
    (Code::Unimplemented, false),
    (Code::Internal, false),
    (Code::Unavailable, true),
    (Code::DataLoss, true),
];

fn is_later(answer: &Answer) -> bool {
    matches!(answer, Answer::Later { .. })
}

fn after(answer: &Answer) -> Option<Duration> {
    match answer {
        Answer::Later { after, .. } => *after,
        other => panic!("{other:?}"),
    }
}

fn throttled(code: Code, delay: Option<Duration>) -> Answer {
    let details = ErrorDetails::with_retry_info(delay);
    let status = Status::with_error_details(code, "full", details);
    of_grpc(Signal::Logs, &status, Bytes::new())
}

#[test]
fn each_grpc_status_is_as_the_specification_has_it() {
    assert_eq!(CODES.len(), 16, "gRPC has 16 errors");
    for (code, again) in CODES {
        let status = Status::new(*code, "words\nof its own");
        let answer = of_grpc(Signal::Logs, &status, Bytes::new());
        assert_eq!(is_later(&answer), *again, "{code:?}");
        let (Answer::Later { why, .. } | Answer::Never { why, .. }) = &answer else {
            panic!("{answer:?}");
        };
        assert_eq!(*why, format!("gRPC status {code:?}: words of its own"));
        let credentials = matches!(code, Code::Unauthenticated | Code::PermissionDenied);
        assert_eq!(answer.is_about_credentials(), credentials, "{code:?}");
    }
}

#[test]
fn a_grpc_receiver_may_ask_to_be_left_alone() {
    let wait = Duration::from_millis(1500);
    assert_eq!(after(&throttled(Code::Unavailable, Some(wait))), Some(wait));
    let exhausted = throttled(Code::ResourceExhausted, Some(wait));
    assert_eq!(after(&exhausted), Some(wait));
    let zero = throttled(Code::Unavailable, Some(Duration::ZERO));
    assert_eq!(after(&zero), None);
    assert!(!is_later(&throttled(Code::InvalidArgument, Some(wait))));
}

#[test]
fn each_http_status_is_as_the_specification_has_it() {
    for number in 300..600 {
        let status = StatusCode::from_u16(number).unwrap();
        let answer = of_http(Signal::Logs, status, &HeaderMap::new(), Bytes::new());
        let again = matches!(number, 429 | 502 | 503 | 504);
        assert_eq!(is_later(&answer), again, "{number}");
        assert!(again || matches!(answer, Answer::Never { .. }), "{number}");
        let credentials = matches!(number, 401 | 403);
        assert_eq!(answer.is_about_credentials(), credentials, "{number}");
    }
}

#[test]
fn an_http_receiver_may_ask_to_be_left_alone() {
    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:50:07 GMT";
    for (value, date, expected) in [
        ("7", NOW, Some(7)),
        ("0", NOW, None),
        ("-1", NOW, None),
        ("soon", NOW, None),
        (THEN, NOW, Some(30)),
        (NOW, THEN, None),
        (THEN, "today", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static(value));
        headers.insert("date", HeaderValue::from_static(date));
        for number in [429, 502, 503, 504] {
            let status = StatusCode::from_u16(number).unwrap();
            let answer = of_http(Signal::Logs, status, &headers, Bytes::new());
            let expected = expected.map(Duration::from_secs);
            assert_eq!(after(&answer), expected, "{number}, {value}");
        }
    }
}

#[test]
fn an_http_receiver_says_why_in_a_message_of_its_own() {
    let said = tonic_types::Status {
        message: "no such tenant".to_owned(),
        ..tonic_types::Status::default()
    };
    let body = Bytes::from(said.encode_to_vec());
    let answer = of_http(
        Signal::Logs,
        StatusCode::BAD_REQUEST,
        &HeaderMap::new(),
        body,
    );
    let why = "HTTP status 400 Bad Request: no such tenant".to_owned();
    assert_eq!(
        answer,
        Answer::Never {
            why,
            credentials: false
        }
    );
}

fn partly(refused: i64, words: &str) -> Bytes {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: refused,
        error_message: words.to_owned(),
    };
    let response = ExportLogsServiceResponse {
        partial_success: Some(partial),
    };
    response.encode_to_vec().into()
}

fn result(response: Bytes) -> Result<(), DeliverError> {
    let payload = Payload {
        signal: Signal::Logs,
        count: 10,
        bytes: Bytes::new(),
    };
    let grpc = of_grpc(Signal::Logs, &Status::new(Code::Ok, ""), response.clone());
    let http = of_http(Signal::Logs, StatusCode::OK, &HeaderMap::new(), response);
    assert_eq!(grpc, http);
    grpc.result(&payload)
}

fn refusal(refused: u64, why: &str) -> DeliverError {
    DeliverError::Never {
        refused,
        why: why.to_owned(),
    }
}

#[test]
fn what_was_refused_in_part_is_counted_and_never_sent_again() {
    assert_eq!(result(Bytes::new()), Ok(()));
    assert_eq!(result(partly(0, "")), Ok(()));
    assert_eq!(result(partly(0, "use the new API")), Ok(()));
    assert_eq!(result(partly(3, "too old")), Err(refusal(3, "too old")));
    // Nobody can refuse more than there was.
    assert_eq!(result(partly(99, "")), Err(refusal(10, "")));
    assert_eq!(result(partly(-1, "")), Ok(()));
}

#[test]
fn all_of_a_refused_request_is_refused() {
    let payload = Payload {
        signal: Signal::Metrics,
        count: 10,
        bytes: Bytes::new(),
    };
    let status = Status::new(Code::InvalidArgument, "bad");
    let answer = of_grpc(Signal::Metrics, &status, Bytes::new());
    let expected = refusal(10, "gRPC status InvalidArgument: bad");
    assert_eq!(answer.result(&payload), Err(expected));
}

#[test]
fn what_answers_200_to_everything_has_taken_nothing() {
    let page = Bytes::from_static(b"<!doctype html><title>Welcome to nginx!</title>");
    assert!(matches!(
        result(page),
        Err(DeliverError::Never { refused: 10, .. })
    ));
}

#[test]
fn receivers_that_answer_in_json_are_understood() {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert("content-type", json);
    let read = |body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        of_http(Signal::Logs, StatusCode::OK, &headers, body)
    };
    let taken = |refused, words: &str| Answer::Taken {
        refused,
        words: words.to_owned(),
    };
    assert_eq!(read("{}"), taken(0, ""));
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"no"}}"#;
    assert_eq!(read(partial), taken(2, "no"));
    let partial = r#"{"partialSuccess":{"rejectedLogRecords":2}}"#;
    assert_eq!(read(partial), taken(2, ""));
    assert!(matches!(read("hello"), Answer::Never { .. }));
}
