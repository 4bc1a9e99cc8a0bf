//! What is sent, in OTLP's own JSON.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::logs::{log_record, payloads};
use super::metrics::{Span, payload, request};
use super::resource::resource;
use crate::metrics::model::{Family, Measures, Point, Type, Value};
use crate::sink::ship::{Kind, Record};

const TIME: &str = "2026-11-23T12:00:00.123456789Z";
const TIME_NS: &str = "1795435200123456789";

fn record(kind: Kind, json: &Json) -> Record {
    Record {
        kind,
        json: json.to_string().into(),
    }
}

fn failure() -> Json {
    json!({
        "schema": "gw502.failure/1", "time": TIME, "host": "web1", "run": "a1", "sequence": 7,
        "id": "01JDC0000000000000000000AA", "class": "refused", "cause": "no-listener",
        "errno": "ECONNREFUSED", "phase": "connect",
        "upstream": {"address": "10.2.0.7", "port": 8080, "name": "api"},
        "local": {"address": "10.2.0.1", "port": 43210}, "netns": 4_026_531_840_u32,
        "proxy": {"pid": 4242, "comm": "nginx", "exe": "/usr/sbin/nginx",
                  "cgroup": "/system.slice/nginx.service", "container": "c0ffee"},
        "elapsed_us": 250, "syn_retransmits": 0, "rtt_us": 80, "bytes_sent": 0,
        "bytes_received": 0, "expect": 502,
        "evidence": [{"what": "rst_received", "state": "SYN_SENT"}, {"what": "no_listener"},
                     {"what": "from_the_future", "depth": 1.5}],
        "hook": "fentry", "lost_before": 0,
    })
}

fn diagnosis() -> Json {
    json!({
        "schema": "gw502.diagnosis/1", "host": "web1", "run": "a1", "sequence": 8, "id": "01JDD",
        "upstream": {"path": "/run/app.sock"}, "netns": 1,
        "proxies": [{"comm": "haproxy", "failures": 3}], "state": "degraded",
        "since": TIME, "attempts": 9, "established": 6, "failures": {"refused": 3},
        "causes": {"socket-stale": 3}, "cause": "socket-stale", "confidence": "certain",
        "summary": "the socket file is there, and nobody listens", "evidence": ["3 of 9 failed"],
        "next_steps": [{"what": "Start it", "command": "systemctl start app"}], "lost": 0,
    })
}

fn sent(kind: Kind, json: &Json, host: &str) -> Json {
    let record = log_record(&record(kind, json), host);
    serde_json::to_value(record).unwrap()
}

fn text(key: &str, value: &str) -> Json {
    json!({"key": key, "value": {"stringValue": value}})
}

fn int(key: &str, value: u64) -> Json {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

/// The pairs of key and value of an object that OTLP writes as a list.
fn pair(key: &str, value: &Json) -> Json {
    json!({"key": key, "value": value})
}

/// Every key and value, which the JSON of the messages may follow with more.
fn attributes(record: &Json) -> Vec<Json> {
    let attributes = record["attributes"].as_array().unwrap().iter();
    attributes
        .map(|attribute| pair(attribute["key"].as_str().unwrap(), &attribute["value"]))
        .collect()
}

#[test]
fn a_failure_is_an_error_with_all_its_fields() {
    let record = sent(Kind::Failure, &failure(), "web1");
    assert_eq!(record["timeUnixNano"], TIME_NS);
    assert_eq!(record["observedTimeUnixNano"], TIME_NS);
    assert_eq!(record["severityNumber"], 17);
    assert_eq!(record["severityText"], "ERROR");
    assert_eq!(record["eventName"], "gw502.failure");
    assert_eq!(
        record["body"]["stringValue"],
        "nginx[4242] failed at 10.2.0.7:8080 (api): refused, no-listener: \
         RST answered the SYN, nothing listens there on this host"
    );
    let attributes = attributes(&record);
    let (evidence, others): (Vec<_>, Vec<_>) = attributes
        .into_iter()
        .partition(|attribute| attribute["key"] == "gw502.evidence");
    assert_eq!(
        others,
        [
            text("client.address", "10.2.0.1"),
            int("client.port", 43210),
            text("container.id", "c0ffee"),
            text("error.type", "no-listener"),
            int("gw502.bytes_received", 0),
            int("gw502.bytes_sent", 0),
            text("gw502.cause", "no-listener"),
            text("gw502.class", "refused"),
            int("gw502.elapsed_us", 250),
            text("gw502.errno", "ECONNREFUSED"),
            int("gw502.expect", 502),
            text("gw502.hook", "fentry"),
            int("gw502.lost_before", 0),
            int("gw502.netns", 4_026_531_840),
            text("gw502.phase", "connect"),
            text("gw502.proxy.comm", "nginx"),
            int("gw502.rtt_us", 80),
            text("gw502.run", "a1"),
            text("gw502.schema", "gw502.failure/1"),
            int("gw502.sequence", 7),
            int("gw502.syn_retransmits", 0),
            text("gw502.upstream.name", "api"),
            text("log.record.uid", "01JDC0000000000000000000AA"),
            text("network.local.address", "10.2.0.1"),
            int("network.local.port", 43210),
            text("network.peer.address", "10.2.0.7"),
            int("network.peer.port", 8080),
            text("network.transport", "tcp"),
            text("network.type", "ipv4"),
            text("process.executable.name", "nginx"),
            text("process.executable.path", "/usr/sbin/nginx"),
            text("process.linux.cgroup", "/system.slice/nginx.service"),
            int("process.pid", 4242),
            text("server.address", "10.2.0.7"),
            int("server.port", 8080),
        ]
    );
    let facts = evidence[0]["value"]["arrayValue"]["values"]
        .as_array()
        .unwrap();
    assert_eq!(facts.len(), 3);
    let last = facts[2]["kvlistValue"]["values"].as_array().unwrap();
    assert_eq!(last[0]["key"], "depth");
    assert_eq!(last[0]["value"]["doubleValue"], 1.5);
    assert_eq!(last[1]["key"], "what");
}

#[test]
fn a_diagnosis_is_as_grave_as_its_state() {
    let record = sent(Kind::Diagnosis, &diagnosis(), "web1");
    assert_eq!(record["timeUnixNano"], TIME_NS);
    assert_eq!(record["severityText"], "WARN");
    assert_eq!(record["eventName"], "gw502.diagnosis");
    assert_eq!(
        record["body"]["stringValue"],
        "unix:/run/app.sock is degraded: the socket file is there, and nobody listens"
    );
    let attributes = attributes(&record);
    for expected in [
        text("error.type", "socket-stale"),
        text("server.address", "/run/app.sock"),
        text("network.transport", "unix"),
        int("gw502.failures.refused", 3),
        int("gw502.causes.socket-stale", 3),
        text("gw502.state", "degraded"),
        text("gw502.since", TIME),
    ] {
        assert!(attributes.contains(&expected), "{expected}");
    }
    let mut diagnosis = diagnosis();
    for (state, severity) in [("failing", 17), ("recovering", 9), ("healthy", 9)] {
        diagnosis["state"] = state.into();
        let record = sent(Kind::Diagnosis, &diagnosis, "web1");
        assert_eq!(record["severityNumber"], severity, "{state}");
    }
}

#[test]
fn what_a_proxy_cancelled_itself_is_no_error() {
    let mut failure = failure();
    failure["class"] = "aborted".into();
    failure["cause"] = "cancelled".into();
    let record = sent(Kind::Failure, &failure, "web1");
    assert_eq!(record["severityText"], "INFO");
    let attributes = attributes(&record);
    assert!(attributes.contains(&text("gw502.cause", "cancelled")));
    assert!(!attributes.iter().any(|one| one["key"] == "error.type"));
}

#[test]
fn a_record_of_another_host_says_so() {
    let record = sent(Kind::Failure, &failure(), "web2");
    assert!(attributes(&record).contains(&text("host.name", "web1")));
}

#[test]
fn a_line_that_is_no_record_is_sent_as_it_is() {
    let record = Record {
        kind: Kind::Failure,
        json: b"{\"half\":".as_slice().into(),
    };
    let sent = serde_json::to_value(log_record(&record, "web1")).unwrap();
    assert_eq!(sent["body"]["stringValue"], "{\"half\":");
    assert_eq!(sent["eventName"], "gw502.failure");
}

#[test]
fn many_records_go_in_requests_that_receivers_take() {
    let mut failure = failure();
    failure["blob"] = "x".repeat(1 << 20).into();
    let records = vec![record(Kind::Failure, &failure); 8];
    let resource = resource("web1", &BTreeMap::new());
    let payloads = payloads(&records, &resource, "web1");
    let counts: Vec<_> = payloads.iter().map(|payload| payload.count).collect();
    assert_eq!(counts, [2, 2, 2, 2]);
    for payload in payloads {
        assert!(payload.bytes.len() < 4 << 20);
        let request = ExportLogsServiceRequest::decode(payload.bytes).unwrap();
        let logs = &request.resource_logs[0].scope_logs[0];
        assert_eq!(logs.log_records.len(), 2);
        assert_eq!(logs.scope.as_ref().unwrap().name, "gw502");
    }
}

#[test]
fn the_resource_says_who_and_the_configuration_has_the_last_word() {
    let more = BTreeMap::from([
        ("deployment.environment.name".to_owned(), "prod".to_owned()),
        ("service.name".to_owned(), "edge".to_owned()),
    ]);
    let sent = serde_json::to_value(resource("web1", &more)).unwrap();
    let attributes = attributes(&sent);
    for expected in [
        text("deployment.environment.name", "prod"),
        text("host.name", "web1"),
        text("os.type", "linux"),
        text("service.instance.id", "web1"),
        text("service.name", "edge"),
        text("service.version", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(attributes.contains(&expected), "{expected}");
    }
    assert_eq!(attributes.len(), 7);
}

fn family(name: &'static str, kind: Type, unit: Option<&'static str>, value: Value) -> Family {
    let labels = BTreeMap::from([("cause", "refused".to_owned())]);
    Family {
        name,
        help: "What it is",
        kind,
        unit,
        points: vec![Point { labels, value }],
    }
}

const SPAN: Span = Span {
    start_ns: 1_000,
    now_ns: 2_000,
};

#[test]
fn each_kind_of_measure_is_the_metric_that_prometheus_makes_it_of() {
    let buckets = Value::Buckets {
        buckets: vec![(0.1, 3), (1.0, 2)],
        above: 1,
        sum: 4.5,
    };
    let measures = Measures {
        families: vec![
            family(
                "gw502_upstream_failures",
                Type::Counter,
                None,
                Value::Count(5),
            ),
            family(
                "gw502_sink_spool_bytes",
                Type::Gauge,
                Some("bytes"),
                Value::Level(2.5),
            ),
            family("gw502_build", Type::Info, None, Value::Count(1)),
            family(
                "gw502_upstream_connect_seconds",
                Type::Histogram,
                Some("seconds"),
                buckets,
            ),
        ],
    };
    let resource = resource("web1", &BTreeMap::new());
    let sent = serde_json::to_value(request(&measures, SPAN, &resource)).unwrap();
    let metrics = &sent["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let facts = |index: usize| (&metrics[index]["name"], &metrics[index]["unit"]);
    assert_eq!(facts(0), (&json!("gw502.upstream.failures"), &json!("")));
    assert_eq!(facts(1), (&json!("gw502.sink.spool"), &json!("By")));
    assert_eq!(facts(2), (&json!("gw502.build.info"), &json!("")));
    assert_eq!(facts(3), (&json!("gw502.upstream.connect"), &json!("s")));

    let sum = &metrics[0]["sum"];
    assert_eq!(sum["isMonotonic"], true);
    assert_eq!(sum["aggregationTemporality"], 2);
    let point = &sum["dataPoints"][0];
    assert_eq!(point["asInt"], "5");
    assert_eq!(point["startTimeUnixNano"], "1000");
    assert_eq!(point["timeUnixNano"], "2000");
    assert_eq!(attributes(point), [text("cause", "refused")]);

    assert_eq!(metrics[1]["gauge"]["dataPoints"][0]["asDouble"], 2.5);
    assert_eq!(metrics[2]["sum"]["isMonotonic"], false);

    let point = &metrics[3]["histogram"]["dataPoints"][0];
    assert_eq!(metrics[3]["histogram"]["aggregationTemporality"], 2);
    assert_eq!(point["explicitBounds"], json!([0.1, 1.0]));
    assert_eq!(point["bucketCounts"], json!(["3", "2", "1"]));
    assert_eq!(point["count"], "6");
    assert_eq!(point["sum"], 4.5);
    assert_eq!(point["startTimeUnixNano"], "1000");
}

#[test]
fn nothing_measured_is_no_request() {
    let resource = resource("web1", &BTreeMap::new());
    assert!(payload(&Measures::default(), SPAN, &resource).is_none());
}
