use gw502_common::ending::Ending;
use gw502_common::wire::{FailureRecord, RecordHeader};

use super::super::doctor::DoctorLine;
use super::failure as line_of;
use super::*;
use crate::classify::Classifier;
use crate::intake::decode::{Decoded, Ended};

#[test]
fn a_failure_has_the_fields_of_its_schema_and_no_made_up_ones() {
    let mut record = FailureRecord {
        header: RecordHeader {
            at_ns: 1_412_123_456,
            cpu: 1,
            ..RecordHeader::default()
        },
        ..FailureRecord::default()
    };
    record.connection.start_ns = 1_411_911_456;
    record.connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    record.connection.dport = 9000;
    record.connection.netns = 4_026_531_840;
    record.connection.tgid = 4121;
    record.connection.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    record.socket.sport = 51844;
    record.socket.saddr = record.connection.daddr;
    let failure = Classifier::default().classify(
        &Decoded::Ended(Ended {
            ending: Ending::Refused,
            record,
        }),
        0,
    );
    let origin = Origin::sample();
    let expected = concat!(
        r#"{"schema":"gw502.failure/1","time":"2023-11-14T22:13:21.412123456Z","#,
        r#""host":"edge-1","id":"01HF7YAVC43RJ0008000000007","class":"refused","#,
        r#""cause":"refused","errno":"ECONNREFUSED","phase":"connect","#,
        r#""upstream":{"address":"127.0.0.1","port":9000},"#,
        r#""local":{"address":"127.0.0.1","port":51844},"netns":4026531840,"#,
        r#""proxy":{"pid":4121,"comm":"nginx"},"elapsed_us":212,"syn_retransmits":0,"#,
        r#""bytes_sent":0,"bytes_received":0,"expect":502,"#,
        r#""evidence":[{"what":"rst_received","state":"SYN_SENT"}],"#,
        r#""hook":"tracepoint","lost_before":0}"#,
        "\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&line_of(&failure, &origin)),
        expected
    );
}

#[test]
fn an_upstreams_name_stands_with_its_address() {
    let record = FailureRecord::default();
    let ended = Ended {
        ending: Ending::Refused,
        record,
    };
    let mut failure = Classifier::default().classify(&ended.into(), 0);
    failure.upstream_name = Some("api".to_owned());
    let (_, schema) = schema::<FailureLine<'_>>("gw502.failure.1.schema.json");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut check = |upstream, expected| {
        failure.upstream = upstream;
        let line: serde_json::Value =
            serde_json::from_slice(&line_of(&failure, &Origin::sample())).unwrap();
        assert_eq!(line["upstream"], expected);
        assert!(validator.is_valid(&line));
    };
    let path = "/run/x".to_owned();
    check(
        Upstream::Unix { path },
        serde_json::json!({"path": "/run/x", "name": "api"}),
    );
    check(
        Upstream::Tcp(Endpoint {
            address: [10, 0, 0, 1].into(),
            port: 80,
        }),
        serde_json::json!({"address": "10.0.0.1", "port": 80, "name": "api"}),
    );
}

/// The schema in docs/, and the one that follows from the code.
fn schema<T: schemars::JsonSchema>(file: &str) -> (std::path::PathBuf, serde_json::Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(file);
    (
        path,
        serde_json::to_value(schemars::schema_for!(T)).unwrap(),
    )
}

#[test]
fn the_schemas_in_docs_are_those_of_the_code() {
    for (path, generated) in [
        schema::<FailureLine<'_>>("gw502.failure.1.schema.json"),
        schema::<SummaryLine<'_>>("gw502.summary.1.schema.json"),
        schema::<diagnosis::DiagnosisLine<'_>>("gw502.diagnosis.1.schema.json"),
        schema::<DoctorLine<'_>>("gw502.doctor.1.schema.json"),
    ] {
        let text = serde_json::to_string_pretty(&generated).unwrap() + "\n";
        if std::env::var_os("GW502_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            shipped, text,
            "run the tests with GW502_BLESS=1 and read the difference"
        );
    }
}

#[test]
fn whatever_is_printed_validates_against_the_schema() {
    let (_, schema) = schema::<FailureLine<'_>>("gw502.failure.1.schema.json");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let origin = Origin::sample();
    for ending in Ending::ALL {
        for error in [0, 104, 110, 113] {
            let mut record = FailureRecord::default();
            record.socket.error = error;
            record.socket.bytes_sent = 60;
            record.socket.icmp_origin = 2;
            let failure = Classifier::default().classify(&Ended { ending, record }.into(), 0);
            let line: serde_json::Value =
                serde_json::from_slice(&line_of(&failure, &origin)).unwrap();
            let errors: Vec<_> = validator
                .iter_errors(&line)
                .map(|e| e.to_string())
                .collect();
            assert!(errors.is_empty(), "{line}: {errors:?}");
        }
    }
    let nothing = serde_json::json!({"schema": "gw502.failure/1"});
    assert!(!validator.is_valid(&nothing), "the schema asks for nothing");
}
