//! Connects by TCP fast open: the SYN leaves with the first data, and not before.
//!
//! The trial's own process is the proxy. Its kernel sends data in a SYN without having been given a
//! cookie (`net.ipv4.tcp_fastopen`), so that each trial's first connect is one.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use gw502_tests::agent::{Agent, Session};
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::firewall::{self, Verdict};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::socket::Protocol;
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use nix::sys::socket::{self, MsgFlags, SockaddrStorage};

use crate::scene::LATE;
use crate::steady;

/// As client (1), without a cookie (4).
const CLIENT_WITHOUT_COOKIE: &str = "5";

/// How long a client waits for an answer to its SYN: a retransmission, and a whole number of seconds.
const WAIT: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

const QUEUE_FULL: &str = "timeout/accept-queue-full";
const DROPPED: &str = "timeout/firewall-dropped";
const UNANSWERED: &str = "timeout/syn-unanswered";
/// Why nobody listens is what the host knows: other trials are about that.
const REFUSED: &str = "refused/refused";

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `TCP_FASTOPEN_CONNECT`: `connect()` as always.
    Connect,
    /// `sendto(MSG_FASTOPEN)`: no `connect()` at all.
    Send,
}

/// What meets the SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meets {
    Behaviour(Behaviour),
    Firewall,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Refused,
    Nothing,
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, way) in [("connect", Way::Connect), ("sendto", Way::Send)] {
        let mut add = |fault: &str, meets, verdict| {
            let name = format!("fastopen::{fault}::{name}");
            trials.push(steady::trial(name, move || measure(way, meets, verdict)));
        };
        add(
            "refused",
            Meets::Behaviour(Behaviour::Refuse),
            Some(REFUSED),
        );
        add("dropped", Meets::Firewall, Some(DROPPED));
        add(
            "queue_full",
            Meets::Behaviour(Behaviour::QueueFull),
            Some(QUEUE_FULL),
        );
        add("good_is_silent", Meets::Behaviour(Behaviour::Good), None);
    }
    trials.push(steady::trial("fastopen::unused_is_silent", unused));
    trials
}

/// One connect with its request, and one event of this verdict, or none.
fn measure(way: Way, meets: Meets, verdict: Option<&str>) -> Result<(), Failed> {
    let own = std::process::id().to_string();
    let agent = Agent::trace(&["--pid", &own]);
    let lab = lab();
    let behaviour = match meets {
        Meets::Behaviour(behaviour) => behaviour,
        Meets::Firewall => Behaviour::Good,
    };
    let address = lab.upstream_address(Family::V4);
    let upstream = Upstream::start(lab.upstream(), address, behaviour);
    let address = upstream.address().tcp();
    if meets == Meets::Firewall {
        firewall::apply(lab.upstream(), address.port(), Verdict::Drop);
    }
    let mut differences = Differences::default();
    let end = lab.proxy().enter(|| ask(way, address));
    let expected = match meets {
        Meets::Behaviour(Behaviour::Good) => End::Answered,
        Meets::Behaviour(Behaviour::Refuse) => End::Refused,
        _ => End::Nothing,
    };
    differences.check("what the client got", &expected, &end);
    let session = stop(agent, &lab, usize::from(verdict.is_some()));
    compare(verdict, &lab, &upstream, &session, differences)
}

/// Nothing is sent, so no SYN leaves: that a pool never used a connection is no failure.
fn unused() -> Result<(), Failed> {
    let own = std::process::id().to_string();
    let agent = Agent::trace(&["--pid", &own]);
    let lab = lab();
    let address = lab.upstream_address(Family::V4);
    let upstream = Upstream::start(lab.upstream(), address, Behaviour::Good);
    lab.proxy().enter(|| {
        let address = upstream.address().tcp();
        let socket = open(address).expect("a socket with the option");
        socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))
            .expect("nothing has left that could fail");
        deadline::pause_until(deadline::now() + WAIT);
        drop(socket);
    });
    let session = stop(agent, &lab, 0);
    let mut differences = Differences::default();
    differences.check("accepted", &0, &upstream.counts().accepted);
    compare(None, &lab, &upstream, &session, differences)
}

#[track_caller]
fn lab() -> Lab {
    let lab = Lab::new(Path::Veth);
    let key = "net/ipv4/tcp_fastopen";
    lab.proxy().set_sysctl(key, CLIENT_WITHOUT_COOKIE);
    lab
}

fn stop(agent: Agent, lab: &Lab, events: usize) -> Session {
    let netns = lab.proxy().inode();
    let limit = if events == 0 {
        Duration::from_millis(500)
    } else {
        LATE
    };
    agent.wait_events(events.max(1), limit, |event| event.netns() == Some(netns));
    agent.stop(Signal::SIGINT)
}

fn compare(
    verdict: Option<&str>,
    lab: &Lab,
    upstream: &Upstream,
    session: &Session,
    mut differences: Differences,
) -> Result<(), Failed> {
    let netns = lab.proxy().inode();
    let events = expect::events_in(session, netns);
    let seen: Vec<_> = events.iter().map(|event| event.verdict()).collect();
    let is_blind_to = |what: &str| session.stderr.contains(what);
    let verdict = match verdict {
        // Where the drop itself is not seen, the look at the listener afterwards may not tell either.
        Some(QUEUE_FULL)
            if is_blind_to("SYNs dropped by full accept queues") && seen == [UNANSWERED] =>
        {
            Some(UNANSWERED)
        }
        Some(DROPPED) if is_blind_to("netfilter drops") => Some(UNANSWERED),
        Some(REFUSED) if seen == ["refused/no-listener"] => Some("refused/no-listener"),
        verdict => verdict,
    };
    let expected: Vec<_> = verdict.iter().map(ToString::to_string).collect();
    differences.check("events", &expected, &seen);
    let summary = session.summary.as_ref();
    let attempts = summary.and_then(|summary| summary.attempts(netns, &upstream.address()));
    differences.check("attempts counted", &Some(1), &attempts);
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("{differences}{}{}", session.stdout, session.stderr).into())
}

/// Sends a request and waits for the first byte of the answer.
fn ask(way: Way, address: SocketAddr) -> End {
    let answer = match way {
        Way::Connect => open(address).and_then(|socket| {
            socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
            let mut stream = TcpStream::from(socket);
            stream.write_all(REQUEST)?;
            stream.read_exact(&mut [0])
        }),
        Way::Send => open(address).and_then(|socket| {
            let to = SockaddrStorage::from(address);
            let flags = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
            socket::sendto(socket.as_raw_fd(), REQUEST, &to, flags)?;
            TcpStream::from(socket).read_exact(&mut [0])
        }),
    };
    match answer {
        Ok(()) => End::Answered,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => End::Refused,
        Err(_timed_out) => End::Nothing,
    }
}

/// A socket that waits as long as a proxy does, and whose `connect()` leaves the SYN for the data.
fn open(address: SocketAddr) -> Result<OwnedFd, Error> {
    let socket = Protocol::Tcp.socket(address.ip());
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(WAIT))?;
    stream.set_read_timeout(Some(WAIT))?;
    let on: libc::c_int = 1;
    // SAFETY: the option takes an `int`, which lives as long as the call.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN_CONNECT,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on)).map_err(Error::other)?,
        )
    };
    if result == 0 {
        Ok(stream.into())
    } else {
        Err(Error::last_os_error())
    }
}
