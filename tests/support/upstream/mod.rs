//! Servers that misbehave in a chosen way and count what they did.
//!
//! An upstream is a listener inside a namespace, on a port the kernel chose, and threads that
//! handle its connections. Dropping it stops and joins them all.

mod behaviour;
mod dead;
mod stream;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, SockaddrStorage, setsockopt, sockopt::ReuseAddr};

pub use self::behaviour::{Behaviour, Last};
pub use self::dead::{Dead, DeadSocket};
use self::stream::Listener;
use crate::address::Address;
use crate::netns::Namespace;
use crate::socket::Protocol;
use crate::tolerate;

/// What an upstream did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections it accepted.
    pub accepted: u64,
    /// Whole requests it read.
    pub requests: u64,
    /// Bytes it read.
    pub bytes: u64,
}

/// A request an upstream read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The proxy's end of the connection.
    pub peer: SocketAddr,
    /// The path it asked for.
    pub path: String,
}

/// The same, as the threads keep it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    visits: Mutex<Vec<Visit>>,
    broken: Mutex<Vec<SocketAddr>>,
}

/// A server inside a namespace.
#[derive(Debug)]
pub struct Upstream {
    address: Address,
    counters: Arc<Counters>,
    // A listener that nobody accepts from with its queue, or a port that is only kept.
    _idle: Vec<OwnedFd>,
    stop: Option<UnixStream>,
    acceptor: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts one at `address`, on a free port.
    #[must_use]
    #[track_caller]
    pub fn start(namespace: &Namespace, address: IpAddr, behaviour: Behaviour) -> Self {
        Self::start_at(namespace, (address, 0).into(), behaviour, Protocol::Tcp)
    }

    /// Starts one at `address`, on a free port if it has none, that speaks `protocol`.
    #[must_use]
    #[track_caller]
    pub fn start_at(
        namespace: &Namespace,
        address: SocketAddr,
        behaviour: Behaviour,
        protocol: Protocol,
    ) -> Self {
        let socket = namespace.enter(|| bind(address, protocol));
        let address = local_address(&socket);
        if behaviour != Behaviour::Refuse {
            let long = if behaviour == Behaviour::QueueFull {
                0
            } else {
                4096
            };
            let backlog = socket::Backlog::new(long).expect("a usual backlog");
            socket::listen(&socket, backlog).expect("a bound socket listens");
        }
        let mut idle = Vec::new();
        if behaviour == Behaviour::QueueFull {
            // A queue of no length has room for one.
            let first = namespace.enter(|| TcpStream::connect(address.tcp()));
            idle.push(first.expect("an empty queue has room").into());
        }
        if matches!(
            behaviour,
            Behaviour::Refuse | Behaviour::NeverAccept | Behaviour::QueueFull
        ) {
            idle.push(socket);
            return Self {
                address,
                counters: Arc::default(),
                _idle: idle,
                stop: None,
                acceptor: None,
            };
        }
        let listener = TcpListener::from(socket);
        Self::serve(address, listener, behaviour)
    }

    /// Starts one on a unix socket at `path`, which everybody may connect to.
    #[must_use]
    #[track_caller]
    pub fn start_unix(path: &Path, behaviour: Behaviour) -> Self {
        let listener = dead::listen(path);
        Self::serve(path.into(), listener, behaviour)
    }

    #[track_caller]
    fn serve(address: Address, listener: impl Listener, behaviour: Behaviour) -> Self {
        listener.wait_for_none().expect("our own socket");
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = UnixStream::pair().expect("a socket pair");
        let acceptor = thread::spawn({
            let counters = Arc::clone(&counters);
            move || accept(&listener, behaviour, &counters, &stopped)
        });
        Self {
            address,
            counters,
            _idle: Vec::new(),
            stop: Some(stop),
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens, or would.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            accepted: self.counters.accepted.load(Ordering::Relaxed),
            requests: self.counters.requests.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
        }
    }

    /// The requests it read, in order.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.counters
            .visits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The proxy's ends of the connections it broke off as its [`Behaviour`] says, in order.
    #[must_use]
    pub fn broken(&self) -> Vec<SocketAddr> {
        self.counters
            .broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Closing our end wakes every thread that waits.
        drop(self.stop.take());
        if let Some(acceptor) = self.acceptor.take() {
            tolerate(acceptor.join());
        }
    }
}

/// Accepts until told to stop, one thread for each connection, and joins them.
fn accept(
    listener: &impl Listener,
    behaviour: Behaviour,
    counters: &Counters,
    stopped: &UnixStream,
) {
    thread::scope(|scope| {
        while readable(listener, stopped) {
            let Ok(stream) = listener.next() else {
                continue;
            };
            counters.accepted.fetch_add(1, Ordering::Relaxed);
            if behaviour.ends_on_accept() {
                // Not through a thread: the sooner, the closer to the handshake.
                behaviour.serve(stream, counters, stopped);
                continue;
            }
            scope.spawn(move || behaviour.serve(stream, counters, stopped));
        }
    });
}

/// Waits until `socket` can be read, at most `limit`: then `None`; `false` when told to stop before.
pub(crate) fn readable_within(
    socket: &impl AsFd,
    stopped: &UnixStream,
    limit: Duration,
) -> Option<bool> {
    let mut waiting = [
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
    ];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let ready = poll(&mut waiting, limit).unwrap_or_default();
    (ready > 0).then(|| waiting[1].any() == Some(false))
}

/// Waits until `socket` can be read; `false` when told to stop before.
pub(crate) fn readable(socket: &impl AsFd, stopped: &UnixStream) -> bool {
    let mut waiting = [
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
    ];
    poll(&mut waiting, PollTimeout::NONE).is_ok() && waiting[1].any() == Some(false)
}

/// A bound socket, on a port the kernel chose if `address` has none, in the namespace of the calling thread.
#[track_caller]
fn bind(address: SocketAddr, protocol: Protocol) -> OwnedFd {
    let socket = protocol.socket(address.ip());
    // A server that starts again finds connections of the one before. (With a port to be chosen the
    // kernel might share one that another socket only keeps.)
    if address.port() != 0 {
        setsockopt(&socket, ReuseAddr, &true).expect("our own socket");
    }
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .unwrap_or_else(|error| panic!("cannot bind {address}: {error}"));
    socket
}

#[track_caller]
fn local_address(socket: &OwnedFd) -> Address {
    let copy = socket.try_clone().expect("a second handle");
    TcpListener::from(copy)
        .local_addr()
        .expect("a bound socket has an address")
        .into()
}
