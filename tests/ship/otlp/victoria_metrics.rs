//! OTLP metrics in `VictoriaMetrics`, read back by its query API: names and labels are those of the
//! Prometheus page.

use std::collections::BTreeSet;
use std::process::Command;

use gw502_tests::deadline::{holds_within, wait_until};
use gw502_tests::process::{Process, run};
use gw502_tests::scratch::Scratch;
use gw502_userspace::config::{OtlpConfig, OtlpProtocol};
use gw502_userspace::sink::otlp::Span;
use libtest_mimic::Trial;
use serde_json::Value;

use super::Bench;
use super::receiver::{PATIENCE, config};
use super::samples::measures;
use crate::receiver::file;

pub(super) fn trial() -> Trial {
    crate::trial(
        "otlp_metrics_in_victoria_metrics_are_those_of_the_page",
        page,
    )
}

fn page() {
    let data = Scratch::new();
    let binary = file("victoria-metrics", "usr/bin/victoria-metrics");
    // Nobody else's: below the range that the kernel gives away.
    let address = format!("127.0.0.1:{}", 20000 + std::process::id() % 10000);
    let _server = Process::start(
        Command::new(binary)
            .arg(format!("-storageDataPath={}", data.join("data").display()))
            .arg(format!("-httpListenAddr={address}"))
            .arg("-opentelemetry.usePrometheusNaming")
            .arg("-selfScrapeInterval=0"),
    );
    let mut bench = Bench::new(&OtlpConfig {
        endpoint: format!("http://{address}/opentelemetry"),
        ..config(OtlpProtocol::Http)
    });
    let now_s: u64 = run("date", &["+%s"]).trim().parse().expect("a number");
    let span = Span {
        start_ns: (now_s - 3600) * 1_000_000_000,
        now_ns: now_s * 1_000_000_000,
    };
    wait_until("VictoriaMetrics", PATIENCE, || {
        bench.push(&measures(), span).is_ok()
    });

    let expected: BTreeSet<String> = [
        "gw502_build_info{version=0.1.0} 1",
        "gw502_sink_spool_bytes{sink=loki} 1.5",
        "gw502_upstream_connect_seconds_bucket{le=+Inf,upstream=10.2.0.7:8080} 7",
        "gw502_upstream_connect_seconds_bucket{le=0.001,upstream=10.2.0.7:8080} 4",
        "gw502_upstream_connect_seconds_bucket{le=0.01,upstream=10.2.0.7:8080} 6",
        "gw502_upstream_connect_seconds_bucket{le=1,upstream=10.2.0.7:8080} 6",
        "gw502_upstream_connect_seconds_count{upstream=10.2.0.7:8080} 7",
        "gw502_upstream_connect_seconds_sum{upstream=10.2.0.7:8080} 2.5",
        "gw502_upstream_failures_total{cause=no-listener,upstream=10.2.0.7:8080} 5",
        "gw502_upstream_failures_total{cause=refused,upstream=other} 1099511627776",
    ]
    .map(str::to_owned)
    .into();
    let mut seen = BTreeSet::new();
    // What is there in the end is compared, whole or not.
    let _whole: bool = holds_within(PATIENCE, || {
        // Makes it searchable now.
        let flush = format!("http://{address}/internal/force_flush");
        run("curl", &["-sf", &flush]);
        seen = stored(&address);
        seen.len() >= expected.len()
    });
    assert_eq!(seen, expected);
}

/// Every series with its last value: `name{label=value,…} number`. The labels that the resource
/// became are compared here.
fn stored(address: &str) -> BTreeSet<String> {
    let url = format!("http://{address}/api/v1/export");
    let lines = run(
        "curl",
        &["-sf", "-G", "-d", "match[]={__name__!=\"\"}", &url],
    );
    let series = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a series as JSON");
        let mut labels = line["metric"].as_object().expect("labels").clone();
        let mut take = |name: &str| labels.remove(name).unwrap_or_default();
        for (name, value) in [
            ("service_name", "gw502"),
            ("service_version", env!("CARGO_PKG_VERSION")),
            ("service_instance_id", "web1"),
            ("host_name", "web1"),
            ("os_type", "linux"),
            ("deployment_environment_name", "test"),
        ] {
            assert_eq!(take(name), value, "{line}");
        }
        assert!(take("host_arch").is_string(), "{line}");
        let name = take("__name__");
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        let values = line["values"].as_array().expect("values");
        let name = name.as_str().unwrap_or_default();
        let last = values.last().expect("a value");
        format!("{name}{{{}}} {last}", labels.join(","))
    };
    lines.lines().map(series).collect()
}
