//! Unix sockets that take no connection.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::{fs, process};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

use super::{Behaviour, Upstream};
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
    listener: Option<OwnedFd>,
    // What fills its queue.
    _queued: Vec<OwnedFd>,
}

impl DeadSocket {
    /// Makes one in `scratch`.
    #[must_use]
    #[track_caller]
    pub fn new(scratch: &Scratch, dead: Dead) -> Self {
        let path = scratch.join("upstream.sock");
        let (listener, queued) = match dead {
            Dead::Missing | Dead::Nameless => (None, Vec::new()),
            Dead::Stale => {
                drop(listen(&path));
                (None, Vec::new())
            }
            Dead::Forbidden => {
                let listener = listen(&path);
                allow(&path, 0o600);
                (Some(listener.into()), Vec::new())
            }
            Dead::BacklogFull => {
                let (listener, queued) = full(&path);
                (Some(listener), queued)
            }
        };
        let address = match dead {
            Dead::Nameless => Address::Abstract(format!("gw502t-nobody-{}", process::id())),
            _ => Address::Unix(path),
        };
        Self {
            address,
            listener,
            _queued: queued,
        }
    }

    /// Where it is, or would be.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Closes the listener: who waits in `connect()` is sent away.
    pub fn close(&mut self) {
        self.listener = None;
    }

    /// Serves after all, first those that fill the queue and have nothing to ask.
    #[must_use]
    #[track_caller]
    pub fn revive(mut self, behaviour: Behaviour) -> Upstream {
        let listener = self.listener.take().expect("somebody listens");
        Upstream::serve(self.address, UnixListener::from(listener), behaviour)
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
fn full(path: &Path) -> (OwnedFd, Vec<OwnedFd>) {
    let address = UnixAddr::new(path).expect("a path that fits into an address");
    let listener = stream_socket(SockFlag::SOCK_CLOEXEC);
    socket::bind(listener.as_raw_fd(), &address).expect("a socket in our own directory");
    allow(path, 0o666);
    let shortest = Backlog::new(0).expect("a usual backlog");
    socket::listen(&listener, shortest).expect("a bound socket listens");
    let mut queued = Vec::new();
    loop {
        let next = stream_socket(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        match socket::connect(next.as_raw_fd(), &address) {
            Ok(()) => queued.push(next),
            Err(Errno::EAGAIN) => return (listener, queued),
            Err(error) => panic!("cannot fill the queue of {}: {error}", path.display()),
        }
    }
}

#[track_caller]
fn stream_socket(flags: SockFlag) -> OwnedFd {
    socket::socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a unix socket")
}
