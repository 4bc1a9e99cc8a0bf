//! Records and measures, and what a receiver must make of them.

use bytes::Bytes;
use gw502_userspace::metrics::model::{Family, Measures, Point, Type, Value as Measured};
use gw502_userspace::sink::otlp::Span;
use gw502_userspace::sink::ship::{Kind, Record};
use serde_json::{Value, json};

const TIME: &str = "2026-11-23T12:00:00.123456789Z";
const TIME_NS: u64 = 1_795_435_200_123_456_789;

/// Counters since an hour before.
pub(super) const SPAN: Span = Span {
    start_ns: TIME_NS - 3_600_000_000_000,
    now_ns: TIME_NS,
};

fn record(kind: Kind, json: &Value) -> Record {
    let json = Bytes::from(json.to_string());
    Record { kind, json }
}

pub(super) fn failure(id: &str) -> Record {
    let json = json!({
        "schema": "gw502.failure/1", "time": TIME, "host": "web1", "run": "r1", "sequence": 7,
        "id": id, "class": "refused", "cause": "no-listener", "errno": "ECONNREFUSED",
        "phase": "connect",
        "upstream": {"address": "fd00::7", "port": 8080, "name": "api"},
        "local": {"address": "fd00::1", "port": 43210}, "netns": 4_026_531_840_u32,
        "proxy": {"pid": 4242, "comm": "nginx", "exe": "/usr/sbin/nginx",
                  "cgroup": "/system.slice/nginx.service", "container": "c0ffee"},
        "elapsed_us": 250, "syn_retransmits": 0, "rtt_us": 80, "bytes_sent": 5_000_000_000_u64,
        "bytes_received": 0, "expect": 502,
        "evidence": [{"what": "rst_received", "state": "SYN_SENT"}, {"what": "no_listener"}],
        "hook": "fentry", "lost_before": 0,
    });
    record(Kind::Failure, &json)
}

pub(super) fn diagnosis() -> Record {
    let json = json!({
        "schema": "gw502.diagnosis/1", "time": TIME, "host": "web1", "run": "r1", "sequence": 8,
        "id": "01JDD", "upstream": {"path": "/run/app.sock"}, "netns": 1,
        "proxies": [{"comm": "haproxy", "failures": 3}], "state": "failing", "since": TIME,
        "attempts": 9, "established": 6, "failures": {"refused": 3},
        "causes": {"socket-stale": 3}, "cause": "socket-stale", "confidence": "certain",
        "summary": "the socket file is there, and nobody listens", "evidence": ["3 of 9 failed"],
        "next_steps": [{"what": "Start it", "command": "systemctl start app"}], "lost": 0,
    });
    record(Kind::Diagnosis, &json)
}

/// What everything that is sent begins with.
pub(super) fn said(items: &Value) -> Value {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let version = env!("CARGO_PKG_VERSION");
    json!([{
        "resource": {
            "service.name": "gw502", "service.version": version, "service.instance.id": "web1",
            "host.name": "web1", "host.arch": arch, "os.type": "linux",
            "deployment.environment.name": "test",
        },
        "scope": {"name": "gw502", "version": version},
        "items": items,
    }])
}

fn family(
    name: &'static str,
    kind: Type,
    unit: Option<&'static str>,
    points: &[(&[(&'static str, &str)], Measured)],
) -> Family {
    let points = points.iter().map(|(labels, value)| Point {
        labels: labels
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect(),
        value: value.clone(),
    });
    Family {
        name,
        help: "What it is",
        kind,
        unit,
        points: points.collect(),
    }
}

pub(super) fn measures() -> Measures {
    const UPSTREAM: (&str, &str) = ("upstream", "10.2.0.7:8080");
    let buckets = Measured::Buckets {
        buckets: vec![(0.001, 4), (0.01, 2), (1.0, 0)],
        above: 1,
        sum: 2.5,
    };
    let failures = [
        (
            &[UPSTREAM, ("cause", "no-listener")][..],
            Measured::Count(5),
        ),
        (
            &[("upstream", "other"), ("cause", "refused")],
            Measured::Count(1 << 40),
        ),
    ];
    let connect = [(&[UPSTREAM][..], buckets)];
    let spool = [(&[("sink", "loki")][..], Measured::Level(1.5))];
    let build = [(&[("version", "0.1.0")][..], Measured::Count(1))];
    let seconds = Some("seconds");
    Measures {
        families: vec![
            family("gw502_upstream_failures", Type::Counter, None, &failures),
            family(
                "gw502_upstream_connect_seconds",
                Type::Histogram,
                seconds,
                &connect,
            ),
            family("gw502_sink_spool_bytes", Type::Gauge, Some("bytes"), &spool),
            family("gw502_build", Type::Info, None, &build),
        ],
    }
}

/// A failure called `01JDC` and a diagnosis.
pub(super) fn logs_as_they_should_be() -> Value {
    let items = include_str!("logs.json");
    said(&serde_json::from_str(items).expect("our own JSON"))
}

/// [`measures`] at the end of [`SPAN`].
pub(super) fn metrics_as_they_should_be() -> Value {
    let (start, time) = (SPAN.start_ns, SPAN.now_ns);
    said(&json!([
        {"name": "gw502.upstream.failures", "help": "What it is", "unit": "", "kind": "sum",
         "temporality": 2, "monotonic": true, "points": [
            {"labels": {"upstream": "10.2.0.7:8080", "cause": "no-listener"},
             "start": start, "time": time, "value": 5},
            {"labels": {"upstream": "other", "cause": "refused"},
             "start": start, "time": time, "value": 1_u64 << 40}]},
        {"name": "gw502.upstream.connect", "help": "What it is", "unit": "s", "kind": "histogram",
         "temporality": 2, "points": [
            {"labels": {"upstream": "10.2.0.7:8080"}, "start": start, "time": time,
             "count": 7, "sum": 2.5, "bounds": [0.001, 0.01, 1.0], "counts": [4, 2, 0, 1]}]},
        {"name": "gw502.sink.spool", "help": "What it is", "unit": "By", "kind": "gauge",
         "points": [{"labels": {"sink": "loki"}, "start": 0, "time": time, "value": 1.5}]},
        {"name": "gw502.build.info", "help": "What it is", "unit": "", "kind": "sum",
         "temporality": 2, "monotonic": false, "points": [
            {"labels": {"version": "0.1.0"}, "start": start, "time": time, "value": 1}]},
    ]))
}
