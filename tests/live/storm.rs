//! More failures than can be reported: what is lost is counted, to the last one.
#![expect(clippy::print_stdout, reason = "how much was lost is worth to be seen")]

use std::net::TcpStream;
use std::process;
use std::thread;

use gw502_tests::agent::Agent;
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::steady;

const STORM: u64 = 100_000;
const THREADS: u64 = 4;

pub(crate) fn trials() -> Vec<Trial> {
    vec![steady::trial(
        "storm::every_refusal_is_written_or_counted",
        storm,
    )]
}

fn storm() -> Result<(), Failed> {
    let own = process::id().to_string();
    let agent = Agent::trace(&["--pid", &own, "--ring-size", "64"]);
    let lab = Lab::new(Path::Loopback);
    let address = lab.upstream_address(Family::V4);
    let upstream = Upstream::start(lab.upstream(), address, Behaviour::Refuse);
    let address = upstream.address();
    let target = address.tcp();
    let (cpu_before, _) = agent.usage();
    let started = deadline::now();
    let refused: u64 = lab.proxy().enter(|| {
        thread::scope(|scope| {
            let connecting: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let refused =
                            (0..STORM / THREADS).filter(|_| TcpStream::connect(target).is_err());
                        refused.count() as u64
                    })
                })
                .collect();
            connecting
                .into_iter()
                .map(|refused| refused.join().expect("a connect never panics"))
                .sum()
        })
    });
    let took = deadline::now().duration_since(started);
    let (cpu, peak_kib) = agent.usage();
    let session = agent.stop(Signal::SIGINT);

    let netns = lab.proxy().inode();
    let events = expect::events_in(&session, netns);
    let mut differences = Differences::default();
    differences.check("connects refused", &STORM, &refused);
    differences.check("exit code", &0, &session.code);
    let Some(summary) = session.summary.as_ref() else {
        return Err(format!("no summary:\n{}", session.stderr).into());
    };
    let attempts = summary.attempts(netns, &address);
    differences.check("attempts in the summary", &Some(STORM), &attempts);
    let failed = summary.failed(netns, &address);
    differences.check("failed in the summary", &Some(STORM), &failed);
    let lost: u64 = summary
        .lost()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(_, count)| count.as_u64())
        .sum();
    let ring_full = summary
        .lost()
        .and_then(|lost| lost.get("ring_full")?.as_u64());
    differences.check("lost.ring_full", &lost, &ring_full.unwrap_or_default());
    let written = events.len() as u64;
    differences.check("written and lost", &STORM, &(written + lost));
    let lost_before: u64 = events
        .iter()
        .filter_map(|event| event.number("/lost_before"))
        .sum();
    if lost_before > lost {
        differences.note(format!(
            "lost_before adds up to {lost_before} of {lost} lost"
        ));
    }
    println!(
        "\n\nof {STORM} refusals {written} were written, {lost} lost and {lost_before} of them noted at the next event; \
         in {took:.2?} gw502 used {:.2?} of CPU, and {peak_kib} KiB at most\n",
        cpu.saturating_sub(cpu_before)
    );
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the storm differs:\n{differences}\nsummary: {summary}\n{}",
        session.stderr
    )
    .into())
}
