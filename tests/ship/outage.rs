//! The whole agent: its receiver is away for a minute while failures go on, and in the middle of it the
//! agent is killed.
#![expect(clippy::print_stdout, reason = "what it took is worth to be seen")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process;
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Page};
use gw502_tests::deadline;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::load::Load;
use gw502_tests::scratch::Scratch;
use gw502_userspace::config::OtlpProtocol;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::otlp::receiver::{Receiver, Way};
use crate::trial;

const PER_SECOND: u64 = 500;
/// How long the receiver is away before the agent is killed, and after.
const HALF: Duration = Duration::from_secs(30);
/// How long it is there before and after.
const SETTLED: Duration = Duration::from_secs(3);
/// More than anything else may take.
const LIMIT: Duration = Duration::from_mins(1);
/// Records that may be between the kernel and the disk when the agent is killed: what it sees in
/// 100 ms.
const UNDER_WAY: u64 = PER_SECOND / 10;
/// The first port, and how many failures have the same.
const FIRST: u16 = 10_000;
const OF_A_PORT: u64 = 50;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "outage_of_a_minute_with_a_kill_in_it_loses_nothing",
        outage,
    )]
}

const WAY: Way = Way::new(OtlpProtocol::Http, false);

fn outage() {
    let scratch = Scratch::new();
    let page = Page::free();
    let before = Receiver::start_at(0, WAY, "");
    let port = before.port();
    let config = format!(
        "[watch]\npid = [{}]\nupstream = [\"127.0.0.0/8\"]\n[limits]\nstorm = 100000\n\
         [metrics]\nlisten = \"{page}\"\n[spool]\ndirectory = \"{}\"\n\
         [sink.pipeline]\ntype = \"otlp\"\nprotocol = \"http\"\nrecords = [\"failures\"]\n\
         endpoint = \"http://127.0.0.1:{port}/otlp\"\n",
        process::id(),
        scratch.join("spool").display(),
    );
    let config = scratch.write("agent.toml", &config);
    let lab = Lab::new(Path::Loopback);
    let address = lab.upstream_address(Family::V4);
    let target = |nth: u64| {
        let slice = u16::try_from(nth / OF_A_PORT).expect("few enough");
        SocketAddr::new(address, FIRST + slice)
    };
    let load = Load::default();
    let mut requests = Vec::new();
    let mut blind = 0..0;
    let (agent, after) = thread::scope(|scope| {
        let first = Agent::serve(&config);
        let _ending = load.ending();
        scope.spawn(|| lab.proxy().enter(|| load.run(PER_SECOND, u64::MAX, target)));
        pause(SETTLED);
        requests.extend(before.end());
        pause(HALF);
        blind.start = load.made();
        first.signal(Signal::SIGKILL);
        let killed = first.wait(LIMIT);
        assert_eq!(killed.code, 128 + 9, "{}", killed.stderr);
        let second = Agent::serve(&config);
        blind.end = load.made() + 1;
        pause(HALF);
        let after = Receiver::start_at(port, WAY, "");
        pause(SETTLED);
        (second, after)
    });
    let made = load.made();
    let waiting = |family| page.sum(family, &[]);
    deadline::wait_until("the spool is empty", LIMIT, || {
        waiting("gw502_sink_spool_records") + waiting("gw502_sink_queue_records") == 0
    });
    let killed = page.sum("gw502_previous_run_killed", &[]);
    assert_eq!(killed, 1, "it is said that the first one was");
    let (_, peak) = agent.usage();
    let promised = page.sum("gw502_memory_limit_bytes", &[]) / 1024;
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
    requests.extend(after.end());

    let arrived = Arrived::of(&requests);
    arrived.gapless();
    let missing: u64 = (0..made / OF_A_PORT)
        .filter(|slice| {
            let (start, end) = (slice * OF_A_PORT, (slice + 1) * OF_A_PORT);
            end + UNDER_WAY <= blind.start || start >= blind.end
        })
        .map(|slice| OF_A_PORT - arrived.at(slice))
        .sum();
    println!(
        "{made} failures, {} arrived in {} records; {} were made while no agent was there; peak {peak} KiB",
        arrived.ids.len(),
        arrived.records,
        blind.end - blind.start
    );
    assert_eq!(missing, 0, "of those made while an agent was there");
    assert!(peak < promised, "{peak} of {promised} KiB");
}

fn pause(duration: Duration) {
    deadline::pause_until(deadline::now() + duration);
}

/// What the receiver took.
#[derive(Default)]
struct Arrived {
    records: usize,
    ids: BTreeSet<String>,
    /// Failures by upstream port, without those that came again.
    ports: BTreeMap<u64, u64>,
    /// Sequence numbers of each run.
    runs: BTreeMap<String, BTreeSet<u64>>,
}

impl Arrived {
    fn of(requests: &[Value]) -> Self {
        let mut arrived = Self::default();
        let logs = requests.iter().filter(|one| one["signal"] == "logs");
        let scopes = logs.flat_map(|request| request["said"].as_array().expect("scopes"));
        for item in scopes.flat_map(|scope| scope["items"].as_array().expect("items")) {
            let fields = &item["attributes"];
            let text = |key: &str| fields[key].as_str().expect("a text").to_owned();
            let number = |key: &str| fields[key].as_u64().expect("a number");
            arrived.records += 1;
            if arrived.ids.insert(text("log.record.uid")) {
                *arrived.ports.entry(number("server.port")).or_default() += 1;
                let run = arrived.runs.entry(text("gw502.run")).or_default();
                assert!(run.insert(number("gw502.sequence")), "two ids, one number");
            }
        }
        arrived
    }

    fn at(&self, slice: u64) -> u64 {
        let port = u64::from(FIRST) + slice;
        self.ports.get(&port).copied().unwrap_or(0)
    }

    /// Each run's numbers are there from the first to the last.
    fn gapless(&self) {
        assert_eq!(self.runs.len(), 2, "the agent was started twice");
        for (run, numbers) in &self.runs {
            let last = numbers.last().copied().unwrap_or(0);
            let count = u64::try_from(numbers.len()).expect("a count");
            assert_eq!(count, last, "run {run} has a gap");
        }
    }
}
