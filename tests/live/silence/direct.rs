//! Connections as this process makes them itself, in ways in which none of the proxies here does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process;
use std::time::Duration;

use gw502_tests::agent::{Agent, Session, Summary};
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::firewall::{self, Verdict};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::socket::{Protocol, came_out, start_connect};
use gw502_tests::upstream::{Behaviour, Last, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use nix::sys::socket::{self, SockaddrStorage};

use super::{Counted, end, verdict};
use crate::scene::{LATE, all_are};
use crate::steady;

/// How often each of them is tried.
pub(super) const TIMES: u64 = 30;
/// Longer than a connection is new.
const SPARE: Duration = Duration::from_millis(1200);
/// RFC 8305, section 5: the other family is tried after so long.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: &str, body: fn() -> Result<(), Failed>| {
        trials.push(steady::trial(format!("silence::{name}"), body));
    };
    add("happy_eyeballs::both_at_once", || {
        happy_eyeballs(Duration::ZERO)
    });
    add("happy_eyeballs::one_after_the_other", || {
        happy_eyeballs(ATTEMPT_DELAY)
    });
    add("mapped_address_is_refused", mapped_is_refused);
    add("mapped_address_is_good", mapped_is_good);
    add("preconnected::upstream_closes", || {
        preconnected(Some(Last::Close))
    });
    add("preconnected::upstream_resets", || {
        preconnected(Some(Last::Reset))
    });
    add("preconnected::proxy_closes", || preconnected(None));
    add("begun_before_the_start", begun_before);
    trials
}

/// gw502 that watches this process, and a lab.
#[track_caller]
pub(super) fn watch_us() -> (Agent, Lab) {
    let own = process::id().to_string();
    let agent = Agent::spawn(&["--pid", &own]);
    let lab = Lab::new(Path::Veth);
    agent.wait_ready();
    (agent, lab)
}

/// One request and its answer, and the end.
pub(super) fn exchange(mut stream: TcpStream) -> bool {
    ask(&mut stream)
}

/// One request; whether the answer to it is good.
pub(super) fn ask(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
    let mut answer = [0; 4096];
    asked.is_ok()
        && stream
            .read(&mut answer)
            .is_ok_and(|length| answer.starts_with(b"HTTP/1.1 200") && length > 0)
}

/// IPv6 gets no answer; `IPv4` is tried a while later and wins. The loser is dropped while nobody
/// has answered it: it never failed.
fn happy_eyeballs(delay: Duration) -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let [v4, v6] = [Family::V4, Family::V6].map(|family| {
        Upstream::start(
            lab.upstream(),
            lab.upstream_address(family),
            Behaviour::Good,
        )
    });
    firewall::apply(lab.upstream(), v6.address().tcp().port(), Verdict::Drop);
    let answered = lab.proxy().enter(|| {
        let race = || {
            let loser = start_connect(v6.address().tcp());
            let unanswered = !came_out(&loser, delay);
            let winner = Protocol::Tcp.connect(v4.address().tcp());
            drop(loser);
            unanswered && winner.is_ok_and(exchange)
        };
        (0..TIMES).filter(|_| race()).count() as u64
    });
    let won = Counted::by_upstream(&lab, &v4);
    let session = end(agent);

    let mut differences = Differences::default();
    differences.check("answers", &TIMES, &answered);
    differences.check("accepted", &TIMES, &won.accepted);
    won.compare_failures(&session, &mut differences);
    let summary = session.summary.as_ref();
    let lost = |read: fn(&_, _, &_) -> _| {
        summary.and_then(|summary| read(summary, won.netns, &v6.address()))
    };
    differences.check(
        "attempts of the loser",
        &Some(TIMES),
        &lost(Summary::attempts),
    );
    differences.check(
        "established of the loser",
        &Some(0),
        &lost(Summary::established),
    );
    differences.check("failed of the loser", &Some(0), &lost(Summary::failed));
    let events = expect::events_in(&session, won.netns);
    differences.check("events", &TIMES, &(events.len() as u64));
    all_are(&events, "aborted/cancelled", &mut differences);
    verdict(&differences, &session)
}

/// A connect that nobody saw begin, and that a second `connect()` asks about, as `HAProxy` does: what it
/// says is of the first, and no answer of this host's routing table.
fn begun_before() -> Result<(), Failed> {
    let lab = Lab::new(Path::Veth);
    let nobody = SocketAddr::new(lab.nobodys_address(Family::V4), 8080);
    let mut differences = Differences::default();
    let session = lab.proxy().enter(|| {
        // Its neighbour is looked for, which takes three seconds.
        let stream = start_connect(nobody);
        let agent = Agent::spawn(&["--pid", &process::id().to_string()]);
        agent.wait_ready();
        let early = came_out(&stream, Duration::ZERO);
        differences.check("it was under way when gw502 was ready", &false, &early);
        let late = came_out(&stream, 5 * LATE);
        differences.check("it came out", &true, &late);
        let asked = socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(nobody));
        differences.check("what it came to", &Err(Errno::EHOSTUNREACH), &asked);
        end(agent)
    });
    let events = expect::events_in(&session, lab.proxy().inode());
    differences.check("events", &Vec::new(), &events);
    verdict(&differences, &session)
}

/// The address of an `IPv4` upstream as an IPv6 socket has it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        SocketAddr::V6(_) => address,
    }
}

fn mapped_is_good() -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let address = lab.upstream_address(Family::V4);
    let upstream = Upstream::start(lab.upstream(), address, Behaviour::Good);
    let target = mapped(upstream.address().tcp());
    let answered = lab.proxy().enter(|| {
        let good = |_: &u64| Protocol::Tcp.connect(target).is_ok_and(exchange);
        (0..TIMES).filter(good).count() as u64
    });
    let counted = Counted::by_upstream(&lab, &upstream);
    let session = end(agent);
    let mut differences = Differences::default();
    differences.check("answers", &TIMES, &answered);
    differences.check("accepted", &TIMES, &counted.accepted);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

fn mapped_is_refused() -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let address = lab.upstream_address(Family::V4);
    let upstream = Upstream::start(lab.upstream(), address, Behaviour::Refuse);
    let target = mapped(upstream.address().tcp());
    let refused = lab.proxy().enter(|| {
        (0..TIMES)
            .filter(|_| Protocol::Tcp.connect(target).is_err())
            .count() as u64
    });
    let session = wait_refusals(agent, &lab);
    let mut differences = Differences::default();
    differences.check("refused", &TIMES, &refused);
    check_refusals(&session, &lab, upstream.address().tcp(), &mut differences);
    verdict(&differences, &session)
}

#[track_caller]
pub(super) fn wait_refusals(agent: Agent, lab: &Lab) -> Session {
    let netns = lab.proxy().inode();
    let count = usize::try_from(TIMES).unwrap_or_default();
    agent.wait_events(count, LATE, |event| event.netns() == Some(netns));
    end(agent)
}

/// Checks that there is one event for each attempt, as many in the summary, and all of `upstream`.
pub(super) fn check_refusals(
    session: &Session,
    lab: &Lab,
    upstream: SocketAddr,
    differences: &mut Differences,
) {
    let netns = lab.proxy().inode();
    let events = expect::events_in(session, netns);
    differences.check("events", &TIMES, &(events.len() as u64));
    all_are(&events, "refused/no-listener", differences);
    for event in &events {
        differences.check("upstream", &Some(upstream.into()), &event.upstream());
        let local = event.local().map(|local| local.is_ipv4());
        differences.check(
            "local is of the same family",
            &Some(upstream.is_ipv4()),
            &local,
        );
    }
    let summary = session.summary.as_ref();
    let count = |read: fn(&_, _, &_) -> _| {
        summary.and_then(|summary| read(summary, netns, &upstream.into()))
    };
    differences.check("attempts", &Some(TIMES), &count(Summary::attempts));
    differences.check("established", &Some(0), &count(Summary::established));
    differences.check("failed", &Some(TIMES), &count(Summary::failed));
}

/// A pool's spare connections: opened, unused for longer than a connection is new, and ended by
/// either side.
fn preconnected(by_upstream: Option<Last>) -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let address = lab.upstream_address(Family::V4);
    let behaviour = by_upstream.map_or(Behaviour::Listen, |last| Behaviour::TurnAway(SPARE, last));
    let upstream = Upstream::start(lab.upstream(), address, behaviour);
    let target = upstream.address().tcp();
    lab.proxy().enter(|| {
        let connect = |_| Protocol::Tcp.connect(target).expect("it listens");
        let mut pool: Vec<_> = (0..TIMES).map(connect).collect();
        if by_upstream.is_some() {
            for spare in &mut pool {
                // Until its end, whichever that is.
                let ended = spare.read(&mut [0; 1]).is_ok_and(|length| length == 0);
                assert_eq!(ended, by_upstream == Some(Last::Close));
            }
        } else {
            deadline::pause_until(deadline::now() + SPARE);
        }
    });
    let counted = Counted::by_upstream(&lab, &upstream);
    let session = end(agent);
    let mut differences = Differences::default();
    differences.check("accepted", &TIMES, &counted.accepted);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}
