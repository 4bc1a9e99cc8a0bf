//! Handshakes that find a full accept queue at their very end: to the client they have succeeded.
//!
//! On a path with a delay several SYNs are taken before the first handshake is over, by a listener
//! that has room for one more. The trial's own process is the proxy.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use gw502_tests::agent::{Agent, Event, Session};
use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::socket::{Protocol, came_out, start_connect};
use libtest_mimic::{Failed, Trial};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{self, Backlog, SockaddrStorage};

use crate::faults::queue_full;
use crate::scene::LATE;
use crate::steady;

/// Connections at once. One finds room.
const CONNECTIONS: usize = 4;
pub(crate) const WITHOUT_ROOM: usize = CONNECTIONS - 1;

/// How long the requests wait: some retransmissions.
const WAIT: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// What gw502 says when it does not see them, and when it does not see those by SYN cookie.
pub(crate) const BLIND: &str = "handshakes dropped by them";
const BLIND_TO_COOKIES: &str = "handshakes by SYN cookie";

/// How many may wait for `accept()`. So many handshakes may be under way before the kernel turns to SYN
/// cookies, which with none it does at once.
pub(crate) const LIMIT: i32 = 8;

/// How client and listener speak.
#[derive(Debug, Clone, Copy)]
enum Way {
    V4,
    V6,
    /// An IPv4 client, and a listener of both families.
    Mapped,
    /// The kernel remembers nothing of a handshake, and answers nothing that it has no room for.
    Cookie,
}

impl Way {
    const fn limit(self) -> i32 {
        match self {
            Self::Cookie => 0,
            _ => LIMIT,
        }
    }
}

/// What the upstream's host does with what it has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Nothing,
    Reset,
}

pub(crate) fn trials() -> Vec<Trial> {
    let ways = [("v4", Way::V4), ("v6", Way::V6), ("v4_on_v6", Way::Mapped)];
    let cookie = steady::trial("queues::handshake_dropped::cookie", || {
        measure(Way::Cookie, Answer::Nothing)
    });
    let trials = ways.map(|(name, way)| {
        let dropped = format!("queues::handshake_dropped::{name}");
        let reset = format!("queues::handshake_reset::{name}");
        [
            steady::trial(dropped, move || measure(way, Answer::Nothing)),
            steady::trial(reset, move || measure(way, Answer::Reset)),
        ]
    });
    trials.into_iter().flatten().chain([cookie]).collect()
}

fn measure(way: Way, answer: Answer) -> Result<(), Failed> {
    let own = std::process::id().to_string();
    let agent = Agent::trace(&["--pid", &own]);
    let lab = Lab::new(Path::Delayed);
    if answer == Answer::Reset {
        let key = "net/ipv4/tcp_abort_on_overflow";
        lab.upstream().set_sysctl(key, "1");
    }
    let listener = lab.upstream().enter(|| listen(&lab, way));
    let port = listener.local_addr().expect("a bound socket").port();
    let family = match way {
        Way::V6 => Family::V6,
        _ => Family::V4,
    };
    let address = SocketAddr::new(lab.upstream_address(family), port);
    let _waiting = lab.upstream().enter(|| fill(address, way.limit()));
    let streams = lab.proxy().enter(|| connect(address));
    let mut differences = Differences::default();
    let ended = || streams.iter().filter(|stream| has_ended(stream)).count();
    if answer == Answer::Reset {
        let reset = deadline::holds_within(LATE, || ended() == WITHOUT_ROOM);
        differences.check("all but one are reset", &true, &reset);
    } else {
        deadline::pause_until(deadline::now() + WAIT);
        differences.check("connections that ended", &0, &ended());
    }
    drop(streams);
    let netns = lab.proxy().inode();
    agent.wait_events(CONNECTIONS, LATE, |event| event.netns() == Some(netns));
    let session = agent.stop(Signal::SIGINT);
    let events = expect::events_in(&session, netns);
    compare(way, answer, &events, &session, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("{differences}{}{}", session.stdout, session.stderr).into())
}

fn compare(
    way: Way,
    answer: Answer,
    events: &[&Event],
    session: &Session,
    differences: &mut Differences,
) {
    let says = |what| session.stderr.contains(what);
    let is_blind = says(BLIND) || (matches!(way, Way::Cookie) && says(BLIND_TO_COOKIES));
    let expected = match (answer, is_blind) {
        (Answer::Nothing, false) => "timeout/accept-queue-full",
        (Answer::Reset, false) => "refused/queue-full-reset",
        (Answer::Nothing, true) => "timeout/peer-vanished",
        (Answer::Reset, true) => "reset/reset-before-response",
    };
    let found: Vec<_> = events
        .iter()
        .filter(|event| event.verdict() == expected)
        .collect();
    differences.check(expected, &WITHOUT_ROOM, &found.len());
    // That with room: its request was acknowledged, and then it was closed.
    differences.check("number of events", &CONNECTIONS, &events.len());
    for event in found {
        if !is_blind {
            let limit = u64::try_from(way.limit()).expect("a length");
            queue_full(event, limit, differences);
        }
        let abort = event.evidence("abort_on_overflow").is_some();
        let expected = answer == Answer::Reset && !is_blind;
        differences.check("tcp_abort_on_overflow", &expected, &abort);
    }
}

/// A queue that was overflown.
pub(crate) struct Overflown {
    pub(crate) lab: Lab,
    pub(crate) address: SocketAddr,
    /// Nobody accepts these.
    _all: (TcpListener, Vec<TcpStream>, Vec<TcpStream>),
}

/// A listener whose queue holds one more than `LIMIT`, and that dropped [`WITHOUT_ROOM`] handshakes at
/// least.
pub(crate) fn overflow() -> Overflown {
    let lab = Lab::new(Path::Delayed);
    let listener = lab.upstream().enter(|| listen(&lab, Way::V4));
    let address = listener.local_addr().expect("a bound socket");
    let waiting = lab.upstream().enter(|| fill(address, LIMIT));
    let without = lab.proxy().enter(|| connect(address));
    Overflown {
        lab,
        address,
        _all: (listener, waiting, without),
    }
}

/// A listener that nobody accepts from.
fn listen(lab: &Lab, way: Way) -> TcpListener {
    let address = match way {
        Way::V4 | Way::Cookie => lab.upstream_address(Family::V4),
        Way::V6 => lab.upstream_address(Family::V6),
        Way::Mapped => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = Protocol::Tcp.socket(address);
    let address = SockaddrStorage::from(SocketAddr::new(address, 0));
    socket::bind(socket.as_raw_fd(), &address).expect("a free port");
    let backlog = Backlog::new(way.limit()).expect("a usual backlog");
    socket::listen(&socket, backlog).expect("a bound socket");
    TcpListener::from(socket)
}

/// Leaves room for one.
fn fill(address: SocketAddr, limit: i32) -> Vec<TcpStream> {
    let wait = |_| {
        let stream = start_connect(address);
        assert!(came_out(&stream, LATE), "there is room");
        stream
    };
    (0..limit).map(wait).collect()
}

/// All at once, each with a request as soon as it stands.
fn connect(address: SocketAddr) -> Vec<TcpStream> {
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| start_connect(address)).collect();
    for stream in &mut streams {
        assert!(came_out(stream, LATE), "to a client they all succeed");
        stream
            .write_all(REQUEST)
            .expect("an established connection");
    }
    streams
}

/// Whether the kernel says that the connection is over.
fn has_ended(stream: &TcpStream) -> bool {
    let mut waiting = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    poll(&mut waiting, PollTimeout::ZERO).unwrap_or_default() > 0
}
