//! Prometheus and its promtool read the page.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use gw502_tests::agent::{Agent, Page};
use gw502_tests::deadline;
use gw502_tests::machine;
use gw502_tests::process::{self, Process};
use gw502_tests::scratch::Scratch;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{LIMIT, REQUESTS, scene, send, watch};

/// `promtool check metrics` finds nothing to complain of.
pub(super) fn checks(page: Page) {
    are_there();
    let metrics = page.metrics();
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool is there");
    let mut input = child.stdin.take().expect("it was piped");
    input.write_all(metrics.as_bytes()).expect("promtool reads");
    drop(input);
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{metrics}"
    );
}

#[track_caller]
fn are_there() {
    let missing = machine::missing_scrapers();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// What is printed in `docs/pipeline.md`, once a second in place of once a minute.
fn configuration(page: Page) -> String {
    let document = include_str!("../../../docs/pipeline.md");
    let mark = "<!-- tests/live runs this: prometheus.yml -->\n```yaml\n";
    let (_, after) = document.split_once(mark).expect("docs/pipeline.md has it");
    let (block, _) = after.split_once("```").expect("a block ends");
    assert!(block.contains("127.0.0.1:9502"), "{block}");
    let block = block.replace("127.0.0.1:9502", &page.to_string());
    format!("global: {{scrape_interval: 1s}}\n{block}")
}

/// Prometheus scrapes the page, as `OpenMetrics`, and answers what the page says.
pub(super) fn scrapes() {
    are_there();
    let scene = scene();
    let scratch = Scratch::new();
    let (page, own) = (Page::free(), Page::free());
    let file = scratch.write(
        "agent.toml",
        &format!(
            "{}[metrics]\nlisten = \"{page}\"\n",
            watch(scene.proxy.workers())
        ),
    );
    let agent = Agent::serve(&file);
    let yaml = scratch.write("prometheus.yml", &configuration(page));
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", yaml.display()));
    let data = scratch.join("data");
    fs::create_dir(&data).expect("a folder of ours");
    prometheus.arg(format!("--storage.tsdb.path={}", data.display()));
    prometheus.arg(format!("--web.listen-address={own}"));
    let prometheus = Process::start(&mut prometheus);
    send(&scene);

    let sent = f64::from(u32::try_from(REQUESTS).expect("a small number"));
    let failures = "sum(gw502_upstream_failures_total{class=\"refused\"})";
    let mut last = None;
    let told = deadline::holds_within(LIMIT, || {
        last = query(own, failures);
        last == Some(sent)
    });
    let complaint = prometheus.stderr.text();
    assert!(told, "{last:?} of {sent} failures\n{complaint}");
    for (what, expected) in [
        ("up{job=\"gw502\"}", 1.0),
        ("sum(gw502_upstream_attempts_total)", sent),
    ] {
        deadline::wait_until(what, LIMIT, || query(own, what) == Some(expected));
    }
    let mut targets = String::new();
    let good = deadline::holds_within(LIMIT, || {
        targets = process::run("curl", &["-s", &format!("http://{own}/api/v1/targets")]);
        targets.contains("\"lastError\":\"\"")
    });
    assert!(good, "{targets}");
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
}

/// The answer to a query for one number.
fn query(prometheus: Page, query: &str) -> Option<f64> {
    let url = format!("http://{prometheus}/api/v1/query");
    let query = format!("query={query}");
    let output = Command::new("curl")
        .args(["-s", "-m", "5", "--data-urlencode", &query, &url])
        .output()
        .expect("curl is there");
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    let value = answer.pointer("/data/result/0/value/1")?;
    value.as_str()?.parse().ok()
}
