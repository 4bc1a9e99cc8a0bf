//! Unix sockets that take no connection.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::{fs, process};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

use crate::address::Address;
use crate::scratch::Scratch;

/// What is wrong with a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// There is no such file.
    Missing,
    /// The file is left over: nobody listens any more.
    Stale,
    /// Somebody listens, and the file is root's alone.
    Forbidden,
    /// Somebody listens and never accepts, and the queue is full.
    BacklogFull,
    /// A name without a file, that nobody has.
    Nameless,
}

/// Such a socket.
#[derive(Debug)]
pub struct DeadSocket {
    address: Address,
    // The listener, and what fills its queue.
    held: Vec<OwnedFd>,
}

impl DeadSocket {
    /// Makes one in `scratch`.
    #[must_use]
    #[track_caller]
    pub fn new(scratch: &Scratch, dead: Dead) -> Self {
        let path = scratch.join("upstream.sock");
        let held = match dead {
            Dead::Missing | Dead::Nameless => Vec::new(),
            Dead::Stale => {
                drop(listen(&path));
                Vec::new()
            }
            Dead::Forbidden => {
                let listener = listen(&path);
                allow(&path, 0o600);
                vec![listener.into()]
            }
            Dead::BacklogFull => full(&path),
        };
        let address = match dead {
            Dead::Nameless => Address::Abstract(format!("gw502t-nobody-{}", process::id())),
            _ => Address::Unix(path),
        };
        Self { address, held }
    }

    /// Where it is, or would be.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Closes the listener and what is queued: who waits in `connect()` is sent away.
    pub fn close(&mut self) {
        self.held.clear();
    }
}

/// A listener that everybody may connect to.
#[track_caller]
pub(super) fn listen(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).expect("a socket in our own directory");
    allow(path, 0o666);
    listener
}

#[track_caller]
fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a socket of our own");
}

/// A listener with the shortest queue there is, and connections until no more fit.
#[track_caller]
fn full(path: &Path) -> Vec<OwnedFd> {
    let address = UnixAddr::new(path).expect("a path that fits into an address");
    let listener = stream_socket(SockFlag::SOCK_CLOEXEC);
    socket::bind(listener.as_raw_fd(), &address).expect("a socket in our own directory");
    allow(path, 0o666);
    let shortest = Backlog::new(0).expect("a usual backlog");
    socket::listen(&listener, shortest).expect("a bound socket listens");
    let mut held = vec![listener];
    loop {
        let next = stream_socket(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        match socket::connect(next.as_raw_fd(), &address) {
            Ok(()) => held.push(next),
            Err(Errno::EAGAIN) => return held,
            Err(error) => panic!("cannot fill the queue of {}: {error}", path.display()),
        }
    }
}

#[track_caller]
fn stream_socket(flags: SockFlag) -> OwnedFd {
    socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a unix socket")
}
