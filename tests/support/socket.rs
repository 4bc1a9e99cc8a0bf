//! TCP sockets as the standard library does not make them: not yet connected, or of MPTCP.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, SockaddrStorage};

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// Multipath TCP, which is a TCP connection for each path.
    Mptcp,
}

impl Protocol {
    /// A socket that reaches `address`.
    #[must_use]
    #[track_caller]
    pub fn socket(self, address: IpAddr) -> OwnedFd {
        let family = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let protocol = match self {
            Self::Tcp => libc::IPPROTO_TCP,
            Self::Mptcp => libc::IPPROTO_MPTCP,
        };
        // SAFETY: the call takes numbers and touches no memory of ours.
        let socket =
            unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, protocol) };
        assert!(
            socket >= 0,
            "no {self:?} socket: {} (MPTCP: sysctl net.mptcp.enabled=1)",
            io::Error::last_os_error()
        );
        // SAFETY: the kernel just made this descriptor, and nobody else has it.
        unsafe { OwnedFd::from_raw_fd(socket) }
    }

    /// Connects and waits for the result.
    pub fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(address.ip());
        socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
        Ok(TcpStream::from(socket))
    }
}

/// Starts to connect by TCP and does not wait.
#[must_use]
#[track_caller]
pub fn start_connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::from(Protocol::Tcp.socket(address.ip()));
    stream.set_nonblocking(true).expect("our own socket");
    match socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => stream,
        Err(error) => panic!("cannot even start to connect to {address}: {error}"),
    }
}

/// Waits until a connect has come out one way or the other, at most `limit`; whether it did.
#[must_use]
pub fn came_out(stream: &TcpStream, limit: Duration) -> bool {
    let mut waiting = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    poll(&mut waiting, limit).unwrap_or_default() > 0
}
