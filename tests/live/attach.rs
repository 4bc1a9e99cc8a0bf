//! Attached and taken out again, many times, while a proxy is busy: nothing is missed meanwhile, and
//! nothing stays in the kernel.
#![expect(clippy::print_stdout, reason = "what it took is worth to be seen")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Event, Summary};
use gw502_tests::client::{self, Answer, Request};
use gw502_tests::expect::Differences;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::{Kind, Proxy};
use gw502_tests::scratch::Scratch;
use gw502_tests::upstream::{Behaviour, Upstream};
use gw502_tests::{bpf, deadline};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{LATE, settings};
use crate::steady;

const ROUNDS: usize = 200;

/// After so many rounds the kernel has set aside what it keeps for the next.
const WARM: usize = 20;

/// Kernel memory may grow by so much between the first rounds and the last, in KiB: a map or a
/// program that stayed each time would take more.
const GROWTH: u64 = 16 * 1024;

/// Two requests in this time: a busy proxy, and no storm, of which the ring may lose some.
const PACE: Duration = Duration::from_millis(10);

/// Between two calls: as many as go would leave an emulator's processor nothing else to do.
const CALLS: Duration = Duration::from_millis(1);

/// What the kernel takes back a moment later.
const MOMENT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    vec![steady::trial("attach::two_hundred_times", many)]
}

/// nginx in front of a good upstream and of one that refuses, with clients of both.
struct Busy {
    lab: Lab,
    good: Proxy,
    bad: Proxy,
    // Ends after the proxies.
    _upstreams: [Upstream; 2],
}

impl Busy {
    fn new() -> Self {
        let lab = Lab::new(Path::Loopback);
        let address = lab.upstream_address(Family::V4);
        let start = |behaviour| Upstream::start(lab.upstream(), address, behaviour);
        let (answers, refuses) = (start(Behaviour::Good), start(Behaviour::Refuse));
        let nginx =
            |upstream: &Upstream| Proxy::start(&lab, &settings(Kind::Nginx, upstream.address()));
        Self {
            good: nginx(&answers),
            bad: nginx(&refuses),
            _upstreams: [answers, refuses],
            lab,
        }
    }

    /// Sends requests until it is `over`, and counts those that were answered as they should be.
    fn requests(&self, proxy: &Proxy, status: u16, over: &AtomicBool, done: &AtomicUsize) {
        while !over.load(Ordering::Relaxed) {
            let next = deadline::now() + PACE;
            let answers = client::send(self.lab.proxy(), proxy.target(), Request::Get, 2, 2);
            done.fetch_add(answers.count(Answer::Status(status)), Ordering::Relaxed);
            deadline::pause_until(next);
        }
    }
}

/// Connects to a unix socket of its own, one time after another: calls that only their return tells
/// of. The programs come and go while one is under way.
fn call(over: &AtomicBool) {
    let scratch = Scratch::new();
    let path = scratch.join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    while !over.load(Ordering::Relaxed) {
        UnixStream::connect(&path).expect("it listens");
        listener.accept().expect("somebody has connected");
        deadline::pause_until(deadline::now() + CALLS);
    }
}

/// Ends the clients, also when a round panics.
struct OverOnDrop<'a>(&'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn many() -> Result<(), Failed> {
    let busy = Busy::new();
    let before = bpf::unheld();
    let (over, good, bad) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let mut differences = Differences::default();
    let started = deadline::now();
    let warm = thread::scope(|scope| {
        let _over = OverOnDrop(&over);
        scope.spawn(|| busy.requests(&busy.good, 200, &over, &good));
        scope.spawn(|| busy.requests(&busy.bad, 502, &over, &bad));
        scope.spawn(|| call(&over));
        let mut warm = None;
        for round in 1..=ROUNDS {
            once(&busy, round, &mut differences);
            if round == WARM {
                warm = Some(kernel_memory());
            }
            if round % WARM == 0 {
                println!("{round} of {ROUNDS}"); // in an emulator it takes a quarter of an hour or more
            }
        }
        warm
    });
    let took = deadline::now().duration_since(started);
    let warm = warm.expect("more rounds than it takes to be warm");

    let left = || &bpf::unheld() - &before;
    if !deadline::holds_within(MOMENT, || left().is_empty()) {
        differences.note(format!("left in the kernel: {:?}", left()));
    }
    let grown = || kernel_memory().saturating_sub(warm);
    if !deadline::holds_within(MOMENT, || grown() <= GROWTH) {
        differences.note(format!(
            "kernel memory grew by {} KiB in {} rounds",
            grown(),
            ROUNDS - WARM
        ));
    }
    let (good, bad) = (good.into_inner(), bad.into_inner());
    println!(
        "\n\n{ROUNDS} times attached and taken out in {took:.1?}, beside {good} good requests and \
         {bad} failures; kernel memory grew by {} KiB\n",
        grown()
    );
    for (what, count) in [("good requests", good), ("failing requests", bad)] {
        if count < ROUNDS {
            differences.note(format!("{what} meanwhile: {count}, that is no traffic"));
        }
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.to_string().into())
    }
}

/// Starts gw502, makes a failure once it is ready, and ends it.
fn once(busy: &Busy, round: usize, differences: &mut Differences) {
    // Nobody has a listener there, and nobody else comes by: an address for each round.
    let octet = u8::try_from(round % 200 + 2).expect("a small number");
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 9, 9, octet)), 9);
    let own = process::id().to_string();
    let agent = Agent::trace(&["--proxy", "nginx", "--pid", &own]);
    let refused = busy.lab.proxy().enter(|| TcpStream::connect(nobody));
    refused.expect_err("nobody listens there");
    let is_it = |event: &Event| event.upstream() == Some(nobody.into());
    agent.wait_lines(
        deadline::patient(LATE),
        |line| Event::parse(line).is_some_and(|event| is_it(&event)),
        1,
    );
    let session = agent.stop(Signal::SIGINT);
    let seen = session.events.iter().filter(|event| is_it(event)).count();
    let what = |what: &str| format!("round {round}: {what}");
    differences.check(&what("events of its failure"), &1, &seen);
    differences.check(&what("exit code"), &0, &session.code);
    let lost = session.summary.as_ref().and_then(Summary::lost);
    differences.check(&what("lost"), &Some(&json!({})), &lost);
    if seen != 1 {
        let attempts = session.summary.as_ref();
        let attempts =
            attempts.and_then(|summary| summary.attempts(busy.lab.proxy().inode(), &nobody.into()));
        differences.note(what(&format!(
            "{} events, attempts counted to {nobody}: {attempts:?}; {}",
            session.events.len(),
            session.stderr
        )));
    }
}

/// What eBPF takes of the kernel's memory, among others, in KiB (proc(5), `meminfo`).
fn kernel_memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").expect("procfs is mounted");
    let fields = ["Percpu:", "SUnreclaim:", "VmallocUsed:"];
    let values = info.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let field = words.next()?;
        let value = words.next()?.parse::<u64>().ok()?;
        fields.contains(&field).then_some(value)
    });
    values.sum()
}
