//! Accept queues in the metrics: how full they are, and what they dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process;

use gw502_tests::agent::{Agent, Page, sum};
use gw502_tests::deadline;
use gw502_tests::scratch::Scratch;
use gw502_tests::socket::Protocol;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, Backlog, SockaddrStorage};

use super::{LIMIT, watch};
use crate::queues::{self, WITHOUT_ROOM, overflow};

const ROOM: i32 = 5;

pub(super) fn measured() {
    let scratch = Scratch::new();
    let page = Page::free();
    let config = format!(
        "{}[metrics]\nlisten = \"{page}\"\n",
        watch(&[process::id()])
    );
    let agent = Agent::serve(&scratch.write("agent.toml", &config));

    let (listener, address) = listen();
    let label = format!("listener=\"{address}\"");
    let labels = [label.as_str()];
    let connect = |_| TcpStream::connect(address).expect("there is room");
    let waiting: Vec<_> = (0..3).map(connect).collect();
    let is = |family: &str, value: u64| {
        deadline::wait_until(family, LIMIT, || page.sum(family, &labels) == value);
    };
    is("gw502_listener_queue_length", 3);
    is("gw502_listener_queue_limit", 5);
    for _ in &waiting {
        drop(listener.accept().expect("one waits"));
    }
    is("gw502_listener_queue_length", 0);
    drop(listener);
    let gone = || !page.metrics().contains(&label);
    deadline::wait_until("it is gone", LIMIT, gone);

    let overflown = overflow();
    let at = format!("listener=\"{}\"", overflown.address);
    let netns = format!("netns=\"{}\"", overflown.lab.upstream().inode());
    let labels = [at.as_str(), netns.as_str()];
    let least = u64::try_from(WITHOUT_ROOM).expect("a small number");
    let limit = u64::try_from(queues::LIMIT).expect("a small number");
    let read = || {
        let metrics = page.metrics();
        let of = |family| sum(&metrics, family, &labels);
        let overflows = of("gw502_listener_overflows_total");
        let length = of("gw502_listener_queue_length");
        (overflows, length, of("gw502_listener_queue_limit"))
    };
    let mut last = (0, 0, 0);
    let seen = deadline::holds_within(LIMIT, || {
        last = read();
        last.0 >= least
    });
    drop(overflown);
    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
    if session.stderr.contains(queues::BLIND) {
        assert_eq!(last, (0, 0, 0), "what is not seen is not told");
    } else {
        assert!(seen, "{last:?}");
        assert!((1..=limit + 1).contains(&last.1), "{last:?}");
        assert_eq!(last.2, limit);
    }
}

/// A listener of this host that has room for one more than [`ROOM`].
fn listen() -> (TcpListener, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = Protocol::Tcp.socket(address.ip());
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).expect("a free port");
    let room = Backlog::new(ROOM).expect("a usual backlog");
    socket::listen(&socket, room).expect("a bound socket");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("a bound socket");
    (listener, address)
}
