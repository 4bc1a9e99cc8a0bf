//! Upstreams on unix sockets beside the table of faults: good ones, and a `connect()` that waits.

use std::fs;
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{Agent, Session};
use gw502_tests::client::{self, Answer, Answers, Request};
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Lab, Path};
use gw502_tests::proxy::{Kind, Proxy};
use gw502_tests::report::{self, Row};
use gw502_tests::upstream::{Behaviour, Dead, DeadSocket, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{LATE, settings};
use crate::steady;

/// A `connect()` that has not come back after so long is reported.
const STUCK: Duration = Duration::from_secs(3);

/// How late that may be: it is looked for from time to time.
const STUCK_LATE: Duration = Duration::from_secs(2);

/// Sooner than that.
const A_WHILE: Duration = Duration::from_secs(1);

/// What those are called.
const STUCK_IS: &str = "refused/socket-backlog-full";

const GOOD_REQUESTS: usize = 500;
const STUCK_REQUESTS: usize = 6;

pub(crate) fn trials() -> Vec<Trial> {
    let silent = [Kind::Nginx, Kind::Haproxy, Kind::Apache].map(|kind| {
        let trial = |name, body: fn(Kind) -> Result<(), Failed>| {
            steady::trial(format!("sockets::{name}::{kind}"), move || body(kind))
        };
        [
            trial("good_is_silent", good_is_silent),
            trial("start_is_silent", start_is_silent),
        ]
    });
    let waits = [
        steady::trial("sockets::apache_waits_a_while", apache_waits_a_while),
        steady::trial("sockets::apache_hangs", || apache_hangs("unix_hang", false)),
        steady::trial("sockets::apache_hangs_and_is_stopped", || {
            apache_hangs("unix_hang_stopped", true)
        }),
    ];
    silent.into_iter().flatten().chain(waits).collect()
}

/// No event, and a summary that counts each connection once.
fn good_is_silent(kind: Kind) -> Result<(), Failed> {
    let lab = Lab::new(Path::Loopback);
    let upstream = Upstream::start_unix(&lab.scratch().join("good.sock"), Behaviour::Good);
    let proxy = Proxy::start(&lab, &settings(kind, upstream.address()));
    let agent = Agent::trace(&["--proxy", kind.program()]);
    let target = proxy.target();
    let answers = client::send(lab.proxy(), target, Request::Get, GOOD_REQUESTS, 16);
    let logged = proxy.wait_log(GOOD_REQUESTS).requests;
    let accepted = upstream.counts().accepted;
    agent.wait_events(1, Duration::from_millis(300), |_| true);
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    differences.check("requests in the proxy's log", &GOOD_REQUESTS, &logged);
    let requests = GOOD_REQUESTS as u64;
    differences.check("connections the upstream accepted", &requests, &accepted);
    all_good(GOOD_REQUESTS, &answers, &mut differences);
    silent(&lab, &upstream, GOOD_REQUESTS, &session, &mut differences);
    verdict(&differences, &proxy, &session)
}

/// A proxy that starts asks for the numbers of its user: the C library looks for a name service
/// cache, on a unix socket that is not there. That is no upstream.
fn start_is_silent(kind: Kind) -> Result<(), Failed> {
    let agent = Agent::trace(&["--proxy", kind.program()]);
    let lab = Lab::new(Path::Loopback);
    let upstream = Upstream::start_unix(&lab.scratch().join("good.sock"), Behaviour::Good);
    let proxy = Proxy::start(&lab, &settings(kind, upstream.address()));
    let answers = client::send(lab.proxy(), proxy.target(), Request::Get, 1, 1);
    agent.wait_events(1, Duration::from_millis(300), |_| true);
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    all_good(1, &answers, &mut differences);
    silent(&lab, &upstream, 1, &session, &mut differences);
    let known = session
        .summary
        .as_ref()
        .map(|summary| summary.upstreams(lab.proxy().inode()));
    differences.check(
        "upstreams in the summary",
        &Some(vec![upstream.address()]),
        &known,
    );
    verdict(&differences, &proxy, &session)
}

/// A queue that is full for a second and then moves on: all is well.
fn apache_waits_a_while() -> Result<(), Failed> {
    let kind = Kind::Apache;
    let lab = Lab::new(Path::Loopback);
    let socket = DeadSocket::new(lab.scratch(), Dead::BacklogFull);
    let proxy = Proxy::start(&lab, &settings(kind, socket.address().clone()));
    let agent = Agent::trace(&["--proxy", kind.program()]);
    let mut differences = Differences::default();
    let (upstream, answers) = thread::scope(|scope| {
        let clients = scope.spawn(|| send_at_once(&lab, &proxy));
        let all_wait = deadline::holds_within(LATE, || waiting(&proxy) == STUCK_REQUESTS);
        differences.check("all of Apache's threads wait", &true, &all_wait);
        deadline::pause_until(deadline::now() + A_WHILE);
        let upstream = socket.revive(Behaviour::Good);
        (upstream, clients.join().expect("a client never panics"))
    });
    agent.wait_events(1, STUCK, |_| true);
    let session = agent.stop(Signal::SIGINT);

    all_good(STUCK_REQUESTS, &answers, &mut differences);
    silent(&lab, &upstream, STUCK_REQUESTS, &session, &mut differences);
    verdict(&differences, &proxy, &session)
}

fn all_good(requests: usize, answers: &Answers, differences: &mut Differences) {
    let answered = answers.count(Answer::Status(200));
    differences.check("requests answered with 200", &requests, &answered);
}

/// Checks that nothing was reported, and so many connections to the upstream were counted.
fn silent(
    lab: &Lab,
    upstream: &Upstream,
    connections: usize,
    session: &Session,
    differences: &mut Differences,
) {
    let netns = lab.proxy().inode();
    let address = upstream.address();
    differences.check("events", &Vec::new(), &expect::events_in(session, netns));
    let summary = session.summary.as_ref();
    let attempts = summary.and_then(|summary| summary.attempts(netns, &address));
    let established = summary.and_then(|summary| summary.established(netns, &address));
    let failed = summary.and_then(|summary| summary.failed(netns, &address));
    let connections = Some(connections as u64);
    differences.check("attempts in the summary", &connections, &attempts);
    differences.check("established in the summary", &connections, &established);
    differences.check("failed in the summary", &Some(0), &failed);
    differences.check("exit code", &0, &session.code);
}

fn send_at_once(lab: &Lab, proxy: &Proxy) -> Answers {
    let (count, parallel) = (STUCK_REQUESTS, STUCK_REQUESTS);
    client::send(lab.proxy(), proxy.target(), Request::Get, count, parallel)
}

/// Apache's `connect()` waits for a place in the queue, for ever: no log line, no status. One
/// event for each while it waits, and none when it fails in the end. Being stopped and continued
/// makes no second attempt of it, although the kernel starts the call again.
fn apache_hangs(fault: &'static str, is_stopped: bool) -> Result<(), Failed> {
    let kind = Kind::Apache;
    let lab = Lab::new(Path::Loopback);
    let mut socket = DeadSocket::new(lab.scratch(), Dead::BacklogFull);
    let address = socket.address().clone();
    let proxy = Proxy::start(&lab, &settings(kind, address.clone()));
    let agent = Agent::trace(&["--proxy", kind.program()]);
    let netns = lab.proxy().inode();
    let mut differences = Differences::default();
    let answers = thread::scope(|scope| {
        let clients = scope.spawn(|| send_at_once(&lab, &proxy));
        let all_wait = deadline::holds_within(LATE, || waiting(&proxy) == STUCK_REQUESTS);
        differences.check("all of Apache's threads wait", &true, &all_wait);
        agent.wait_events(STUCK_REQUESTS, STUCK + STUCK_LATE, |event| {
            event.netns() == Some(netns)
        });
        let still = waiting(&proxy);
        differences.check("threads that still wait", &STUCK_REQUESTS, &still);
        if is_stopped {
            proxy.pause();
            proxy.resume();
            agent.wait_events(STUCK_REQUESTS + 1, STUCK + STUCK_LATE, |event| {
                event.netns() == Some(netns)
            });
        }
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
        fault,
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
    proxy
        .threads()
        .filter(|thread| {
            let call = fs::read_to_string(thread.join("syscall"));
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
