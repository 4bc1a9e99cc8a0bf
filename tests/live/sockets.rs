//! Upstreams on unix sockets beside the table of faults: good ones, and a `connect()` that never
//! comes back.

use std::fs;
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Session};
use gw502_tests::client::{self, Answer, Request};
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Lab, Path};
use gw502_tests::proxy::{Kind, Proxy};
use gw502_tests::report::{self, Row};
use gw502_tests::upstream::{Behaviour, Dead, DeadSocket, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{LATE, settings};

/// A `connect()` that has not come back after so long is reported.
const STUCK: Duration = Duration::from_secs(3);

/// How late that may be: it is looked for from time to time.
const STUCK_LATE: Duration = Duration::from_secs(2);

/// What those are called.
const STUCK_IS: &str = "refused/socket-backlog-full";

const GOOD_REQUESTS: usize = 500;
const STUCK_REQUESTS: usize = 6;

pub(crate) fn trials() -> Vec<Trial> {
    let good = [Kind::Nginx, Kind::Haproxy, Kind::Apache].map(|kind| {
        let name = format!("sockets::good_is_silent::{kind}");
        Trial::test(name, move || good(kind))
    });
    let hangs = Trial::test("sockets::apache_hangs", apache_hangs);
    good.into_iter().chain([hangs]).collect()
}

/// No event, and a summary that counts each connection once.
fn good(kind: Kind) -> Result<(), Failed> {
    let lab = Lab::new(Path::Loopback);
    let upstream = Upstream::start_unix(&lab.scratch().join("good.sock"), Behaviour::Good);
    let proxy = Proxy::start(&lab, &settings(kind, upstream.address()));
    let agent = Agent::trace(&["--proxy", kind.program()]);
    let answers = client::send(lab.proxy(), proxy.target(), Request::Get, GOOD_REQUESTS, 16);
    let logged = proxy.wait_log(GOOD_REQUESTS).requests;
    let accepted = upstream.counts().accepted;
    agent.wait_events(1, Duration::from_millis(300), |_| true);
    let session = agent.stop(Signal::SIGINT);

    let netns = lab.proxy().inode();
    let mut differences = Differences::default();
    let answered = answers.count(Answer::Status(200));
    differences.check("requests answered with 200", &GOOD_REQUESTS, &answered);
    differences.check("requests in the proxy's log", &GOOD_REQUESTS, &logged);
    let requests = GOOD_REQUESTS as u64;
    differences.check("connections the upstream accepted", &requests, &accepted);
    differences.check("events", &Vec::new(), &expect::events_in(&session, netns));
    let address = upstream.address();
    let summary = session.summary.as_ref();
    let attempts = summary.and_then(|summary| summary.attempts(netns, &address));
    let established = summary.and_then(|summary| summary.established(netns, &address));
    let failed = summary.and_then(|summary| summary.failed(netns, &address));
    differences.check("attempts in the summary", &Some(accepted), &attempts);
    differences.check("established in the summary", &Some(accepted), &established);
    differences.check("failed in the summary", &Some(0), &failed);
    differences.check("exit code", &0, &session.code);
    verdict(&differences, &proxy, &session)
}

/// Apache's `connect()` waits for a place in the queue, for ever: no log line, no status. One
/// event for each while it waits, and none when it fails in the end.
fn apache_hangs() -> Result<(), Failed> {
    let kind = Kind::Apache;
    let lab = Lab::new(Path::Loopback);
    let mut socket = DeadSocket::new(lab.scratch(), Dead::BacklogFull);
    let address = socket.address().clone();
    let proxy = Proxy::start(&lab, &settings(kind, address.clone()));
    let agent = Agent::trace(&["--proxy", kind.program()]);
    let netns = lab.proxy().inode();
    let mut differences = Differences::default();
    let answers = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let (namespace, target) = (lab.proxy(), proxy.target());
            client::send(
                namespace,
                target,
                Request::Get,
                STUCK_REQUESTS,
                STUCK_REQUESTS,
            )
        });
        let all_wait = deadline::holds_within(LATE, || waiting(&proxy) == STUCK_REQUESTS);
        differences.check("all of Apache's threads wait", &true, &all_wait);
        agent.wait_events(STUCK_REQUESTS, STUCK + STUCK_LATE, |event| {
            event.netns() == Some(netns)
        });
        let still = waiting(&proxy);
        differences.check("threads that still wait", &STUCK_REQUESTS, &still);
        let logged = proxy.text();
        if logged.contains("AH02454") || logged.contains("request ") {
            differences.note("Apache has logged something".to_owned());
        }
        socket.close();
        clients.join().expect("a client never panics")
    });
    let log = proxy.wait_log(STUCK_REQUESTS);
    agent.wait_events(STUCK_REQUESTS + 1, Duration::from_millis(300), |_| true);
    let session = agent.stop(Signal::SIGINT);

    differences.check("status", &Some(503), &answers.status());
    differences.check("complaints", &STUCK_REQUESTS, &log.complaints.len());
    let events = expect::events_in(&session, netns);
    differences.check("number of events", &STUCK_REQUESTS, &events.len());
    for (index, event) in events.iter().enumerate() {
        let field = |name: &str| format!("event {index}, {name}");
        let verdict = event.verdict();
        differences.check(&field("class/cause"), STUCK_IS, verdict.as_str());
        let upstream = event.upstream();
        differences.check(&field("upstream"), &Some(&address), &upstream.as_ref());
        let seen = (event.text("/phase"), event.text("/errno"), event.local());
        let expected = (Some("connect"), None, None);
        differences.check(&field("phase, errno and local"), &expected, &seen);
        let comm = event.text("/proxy/comm");
        differences.check(&field("proxy.comm"), &Some(kind.program()), &comm);
        let pid = event.number("/proxy/pid");
        let is_worker = |worker: &u32| pid == Some(u64::from(*worker));
        differences.check(
            &field("proxy.pid is a worker"),
            &true,
            &proxy.workers().iter().any(is_worker),
        );
        let elapsed = event.number("/elapsed_us").map(Duration::from_micros);
        if !elapsed.is_some_and(|elapsed| (STUCK..=STUCK + STUCK_LATE).contains(&elapsed)) {
            differences.note(format!("{}: seen {elapsed:?}", field("elapsed_us")));
        }
    }
    let summary = session.summary.as_ref();
    let attempts = summary.and_then(|summary| summary.attempts(netns, &address));
    let requests = STUCK_REQUESTS as u64;
    differences.check("attempts in the summary", &Some(requests), &attempts);
    differences.check("exit code", &0, &session.code);
    report::add(Row {
        fault: "unix_hang",
        proxy: kind,
        path: lab.path(),
        failed: STUCK_REQUESTS,
        events: events.len(),
        expected: STUCK_IS,
        seen: expect::verdicts(&events),
        log_lines: 0,
        agrees: differences.is_empty(),
    });
    verdict(&differences, &proxy, &session)
}

/// How many threads of a proxy are inside `connect()`, as the kernel says.
fn waiting(proxy: &Proxy) -> usize {
    let here = format!("{} ", libc::SYS_connect);
    let threads = proxy.workers().iter().flat_map(|worker| {
        let threads = fs::read_dir(format!("/proc/{worker}/task"));
        threads.into_iter().flatten().flatten()
    });
    threads
        .filter(|thread| {
            let call = fs::read_to_string(thread.path().join("syscall"));
            call.is_ok_and(|call| call.starts_with(&here))
        })
        .count()
}

fn verdict(differences: &Differences, proxy: &Proxy, session: &Session) -> Result<(), Failed> {
    if differences.is_empty() {
        return Ok(());
    }
    let Session { stdout, stderr, .. } = session;
    let log = proxy.text();
    Err(format!(
        "{differences}\nthe proxy's log:\n{log}\n\
         gw502 on standard output:\n{stdout}\ngw502 on standard error:\n{stderr}"
    )
    .into())
}
