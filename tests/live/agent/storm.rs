//! More failures, and more upstreams, than the agent reports one by one: the rest is counted.
#![expect(clippy::print_stdout, reason = "what it took is worth to be seen")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process;

use gw502_tests::agent::{self, Agent, Page};
use gw502_tests::deadline;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::load::Load;
use gw502_tests::scratch::Scratch;
use nix::sys::signal::Signal;

use super::{LIMIT, numbers, records, watch};

const FAILURES: &str = "gw502_upstream_failures_total";
/// Upstreams of the storm, and refusals of each.
const UPSTREAMS: u16 = 200;
const OF_EACH: u64 = 50;
/// How many of these have metrics of their own, and how many failures are shipped in a second.
const SERIES: u64 = 20;
const SHIPPED: u64 = 100;

pub(super) fn sampled() {
    let scratch = Scratch::new();
    let (lines, page) = (scratch.join("failures.jsonl"), Page::free());
    let file = scratch.write(
        "agent.toml",
        &format!(
            "{}[limits]\nseries = {SERIES}\nstorm = {SHIPPED}\n[metrics]\nlisten = \"{page}\"\n\
             [sink.lines]\ntype = \"file\"\npath = \"{}\"\nrecords = [\"failures\"]\n",
            watch(&[process::id()]),
            lines.display()
        ),
    );
    let lab = Lab::new(Path::Loopback);
    let address = lab.upstream_address(Family::V4);
    let agent = Agent::serve(&file);
    let started = deadline::now();
    let all = u64::from(UPSTREAMS) * OF_EACH;
    let target = |nth: u64| {
        let port = u16::try_from(nth % u64::from(UPSTREAMS)).unwrap_or_default();
        SocketAddr::new(address, 10_000 + port)
    };
    lab.proxy()
        .enter(|| Load::default().run(2_000, all, target));
    let labels = ["class=\"refused\""];
    deadline::wait_until("all failures in the metrics", LIMIT, || {
        page.sum(FAILURES, &labels) == all
    });
    // The readers of these metrics are connections of ours as well.
    assert_eq!(page.sum("gw502_events_lost_total", &[]), 0);
    let others = OF_EACH * (u64::from(UPSTREAMS) - SERIES);
    assert_eq!(page.sum(FAILURES, &[labels[0], "\"other\""]), others);
    let seconds = deadline::now().duration_since(started).as_secs();
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);

    let shipped = records(&lines, "gw502.failure/1");
    let count = u64::try_from(shipped.len()).expect("a count");
    let sampled_out: u64 = numbers(&shipped, "sampled_out").iter().sum();
    assert_eq!(
        count + sampled_out,
        all,
        "every failure is shipped or said to be left out"
    );
    assert!(sampled_out > 0, "{count} were shipped");
    assert!(count <= SHIPPED * (seconds + 2), "{count} in {seconds} s");
    assert_eq!(
        numbers(&shipped, "sequence"),
        (1..=count).collect::<Vec<_>>()
    );
}

/// Addresses that each fail once, and how many of them have metrics of their own.
const MANY: u64 = 100_000;
const MANY_SERIES: u64 = 1_000;

/// Each failure is of another upstream: memory and series stay within what was promised, and the
/// counts add up.
pub(super) fn upstreams() {
    let scratch = Scratch::new();
    let page = Page::free();
    let config = format!(
        "{}upstream = [\"127.64.0.0/10\"]\n[limits]\nseries = {MANY_SERIES}\nstorm = {SHIPPED}\nidle = \"1s\"\n\
         [metrics]\nlisten = \"{page}\"\n[sink.lines]\ntype = \"file\"\npath = \"{}\"\n",
        watch(&[process::id()]),
        scratch.join("failures.jsonl").display()
    );
    let file = scratch.write("agent.toml", &config);
    let lab = Lab::new(Path::Loopback);
    let agent = Agent::serve(&file);
    let before = agent.resident_kib();
    let target = |nth: u64| {
        let nth = u32::try_from(nth).unwrap_or_default();
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 64, 0, 1).to_bits() + nth);
        SocketAddr::from((address, 9))
    };
    lab.proxy()
        .enter(|| Load::default().run(5_000, MANY, target));
    deadline::wait_until("all attempts in the metrics", LIMIT, || {
        page.sum("gw502_upstream_attempts_total", &[]) == MANY
    });
    deadline::wait_until("all failures in the metrics", LIMIT, || {
        page.sum(FAILURES, &[]) == MANY
    });
    let metrics = page.metrics();
    let sum = |family, labels: &[&str]| agent::sum(&metrics, family, labels);
    let not_kept = |labels| sum("gw502_events_lost_total", labels);
    let unlisted = not_kept(&["\"upstreams_full\""]);
    assert!(unlisted > 0, "the kernel side has room for some thousands");
    let lost = not_kept(&[]) - unlisted;
    assert_eq!(sum(FAILURES, &["cause=\"unknown\""]), lost, "lost ones");
    let attempts = "gw502_upstream_attempts_total{";
    let series = metrics.lines().filter(|line| line.starts_with(attempts));
    let series = series.count();
    let limit = usize::try_from(MANY_SERIES).unwrap_or_default();
    assert!(series <= limit + 2, "{series} series");
    let shipped = sum("gw502_records_total", &["\"failure\""]);
    let sampled_out = sum("gw502_records_sampled_out_total", &[]);
    assert_eq!(shipped + sampled_out + lost, MANY);
    let grew = agent.usage().1 - before;
    let promised = sum("gw502_memory_limit_bytes", &[]) / 1024;
    println!(
        "{MANY} upstreams: {series} series, other {}, {lost} lost, {shipped} shipped; \
         memory grew by {grew} KiB of {promised} KiB",
        sum(FAILURES, &["upstream=\"other\""])
    );
    assert!(promised > 0 && grew <= promised, "{grew} of {promised} KiB");
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
}
