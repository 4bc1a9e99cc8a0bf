//! A connection to an upstream, over TCP or a unix socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// What an upstream needs of a connection.
pub(crate) trait Stream: Read + Write + AsFd + Send {
    /// The proxy's end; a connection that was reset has none any more, a unix socket never one.
    fn peer(&self) -> Option<SocketAddr>;
}

impl Stream for TcpStream {
    fn peer(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }
}

impl Stream for UnixStream {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

/// A socket that connections come from.
pub(super) trait Listener: AsFd + Send + 'static {
    /// What comes from it.
    type Stream: Stream;

    /// Makes [`Self::next`] an error when there is none.
    fn wait_for_none(&self) -> io::Result<()>;

    /// The next connection.
    fn next(&self) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn wait_for_none(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }

    fn next(&self) -> io::Result<TcpStream> {
        self.accept().map(|(stream, _)| stream)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn wait_for_none(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }

    fn next(&self) -> io::Result<UnixStream> {
        self.accept().map(|(stream, _)| stream)
    }
}
