//! The agent for as long as one likes: what it takes of memory must not grow.
#![expect(clippy::print_stdout, reason = "what it took is worth to be seen")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process;
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Page};
use gw502_tests::deadline;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::load::Load;
use gw502_tests::machine;
use gw502_tests::scratch::Scratch;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{LIMIT, watch};

const PER_SECOND: u64 = 1_000;
const UPSTREAMS: u64 = 200;
/// Looks at its memory; the first tenth of them is the warm-up.
const LOOKS: u32 = 60;

/// Where somebody said how many minutes it shall take: `cargo xtask soak` does.
pub(super) fn trial() -> Option<Trial> {
    let duration = machine::soak()?;
    Some(crate::trial("agent::soak", move || soak(duration)))
}

/// A file that is rotated, and a receiver that never answers: its spool is full in a minute.
fn soak(duration: Duration) {
    let scratch = Scratch::new();
    let page = Page::free();
    let config = format!(
        "{}[limits]\nstorm = 100000\n[metrics]\nlisten = \"{page}\"\n[spool]\ndirectory = \"{}\"\n\
         [sink.lines]\ntype = \"file\"\npath = \"{}\"\nmax_size = \"64MiB\"\nkeep = 1\n\
         [sink.dead]\ntype = \"otlp\"\nendpoint = \"http://127.0.0.1:1\"\nspool = \"32MiB\"\n",
        watch(&[process::id()]),
        scratch.join("spool").display(),
        scratch.join("failures.jsonl").display(),
    );
    let file = scratch.write("agent.toml", &config);
    let lab = Lab::new(Path::Loopback);
    let address = lab.upstream_address(Family::V4);
    let target = |nth: u64| {
        let port = u16::try_from(nth % UPSTREAMS).unwrap_or_default();
        SocketAddr::new(address, 10_000 + port)
    };
    let agent = Agent::serve(&file);
    let load = Load::default();
    let seen = thread::scope(|scope| {
        let _ending = load.ending();
        scope.spawn(|| lab.proxy().enter(|| load.run(PER_SECOND, u64::MAX, target)));
        watched(&agent, page, duration)
    });
    let made = load.made();
    deadline::wait_until("all failures in the metrics", LIMIT, || {
        page.sum("gw502_upstream_failures_total", &[]) == made
    });
    let (cpu, peak) = agent.usage();
    let lost = page.sum("gw502_events_lost_total", &[]);
    let written = page.sum("gw502_sink_delivered_total", &["\"lines\""]);
    let (least, most) = (
        seen.iter().min().copied().unwrap_or_default(),
        seen.iter().max().copied().unwrap_or_default(),
    );
    let list = seen.iter().fold(String::new(), |mut list, kib| {
        write!(list, " {kib}").unwrap_or_default();
        list
    });
    println!(
        "{made} failures in {duration:?}: {lost} lost, {written} written; resident {least} to \
         {most} KiB, peak {peak} KiB, CPU {cpu:?}; in turn{list}"
    );
    assert_eq!(lost, 0);
    assert!(most * 10 <= least * 11, "not flat within 10 %: {list}");
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
}

/// KiB in memory, from time to time, once it is warm. The page is read as Prometheus would.
fn watched(agent: &Agent, page: Page, duration: Duration) -> Vec<u64> {
    let started = deadline::now();
    let looks = (1..=LOOKS).map(|look| {
        deadline::pause_until(started + duration * look / LOOKS);
        assert!(!page.metrics().is_empty(), "the page is there");
        agent.resident_kib()
    });
    looks
        .skip(usize::try_from(LOOKS / 10).unwrap_or_default())
        .collect()
}
