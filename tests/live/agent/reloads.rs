//! The configuration is read anew a hundred times while failures come.

use std::process;
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Page};
use gw502_tests::deadline;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::load::Load;
use gw502_tests::scratch::Scratch;
use nix::sys::signal::Signal;

use super::{LIMIT, numbers, records, reloaded, watch};

const RELOADS: u64 = 100;
const PER_SECOND: u64 = 500;
/// Failures before the first reload.
const FIRST: u64 = 50;
/// Longer than the agent keeps what it looks failures up with.
const LOOK: Duration = Duration::from_secs(1);

/// Each reload changes one sink, and begins or ends another that nobody answers.
pub(super) fn hundred() {
    let scratch = Scratch::new();
    let (lines, page) = (scratch.join("failures.jsonl"), Page::free());
    let config = |number: u64| {
        let odd = number % 2 == 1;
        let dead = format!(
            "[sink.dead{}]\ntype = \"otlp\"\nendpoint = \"http://127.0.0.1:1\"\n",
            number % 20
        );
        format!(
            "{}[limits]\nstorm = 100000\n[metrics]\nlisten = \"{page}\"\n[spool]\ndirectory = \"{}\"\n\
             [sink.lines]\ntype = \"file\"\npath = \"{}\"\nqueue = \"{}MiB\"\n{}",
            watch(&[process::id()]),
            scratch.join("spool").display(),
            lines.display(),
            if odd { 4 } else { 8 },
            if odd { &dead } else { "" }
        )
    };
    let file = scratch.write("agent.toml", &config(0));
    let lab = Lab::new(Path::Loopback);
    let target = (lab.upstream_address(Family::V4), 10_000).into();
    let agent = Agent::serve(&file);
    let load = Load::default();
    // What the first failures are looked up with is given back once they are written.
    lab.proxy()
        .enter(|| load.run(PER_SECOND, FIRST, |_| target));
    deadline::wait_until("the first failures", LIMIT, || {
        records(&lines, "gw502.failure/1").len() as u64 == FIRST
    });
    let mut held = agent.holds();
    deadline::wait_until("the agent to hold what it always does", LIMIT, || {
        deadline::pause_until(deadline::now() + LOOK);
        let before = std::mem::replace(&mut held, agent.holds());
        before == held
    });
    thread::scope(|scope| {
        let ending = load.ending();
        scope.spawn(|| {
            let proxy = lab.proxy();
            proxy.enter(|| load.run(PER_SECOND, u64::MAX, |_| target));
        });
        for number in 1..=RELOADS {
            let before = load.made();
            scratch.write("agent.toml", &config(number));
            agent.signal(Signal::SIGHUP);
            reloaded(page, "ok", number);
            deadline::wait_until("more failures", LIMIT, || load.made() > before);
        }
        drop(ending);
    });
    let made = load.made();
    let given_back = deadline::holds_within(LIMIT, || agent.holds() == held);
    let holds = agent.holds();
    assert!(
        given_back,
        "descriptors and threads: {held:?}, now {holds:?}"
    );
    assert_eq!(page.sum("gw502_events_lost_total", &[]), 0);
    assert_eq!(page.sum("gw502_sink_shed_total", &["\"lines\""]), 0);
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let shipped = records(&lines, "gw502.failure/1");
    assert_eq!(
        numbers(&shipped, "sequence"),
        (1..=made).collect::<Vec<_>>(),
        "all of them, in their order, none twice"
    );
}
