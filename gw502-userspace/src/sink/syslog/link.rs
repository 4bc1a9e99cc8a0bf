//! A connection to a receiver.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host};
use tokio::time::timeout;

use super::datagram::Datagram;
use super::stream::{Socket, Stream};
use super::{CONNECT, Recent, STALL, datagram, later};
use crate::config::{SyslogAddress, SyslogConfig};
use crate::sink::ship::DeliverError;

/// How long bytes may stay without acknowledgement before the kernel ends a TCP connection,
/// milliseconds: by itself it tries for a quarter of an hour.
const UNACKNOWLEDGED: u32 = 60_000;

/// Why nothing more goes over a connection.
#[derive(Debug)]
pub(super) enum Lost {
    /// The receiver has closed it.
    Closed,
    /// An error.
    Broken(io::Error),
    /// For [`STALL`] the receiver has taken nothing. The connection stands.
    Stalled,
}

impl Lost {
    /// Whether the connection is of no more use.
    pub(super) const fn is_for_good(&self) -> bool {
        !matches!(self, Self::Stalled)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => out.write_str("the receiver has closed the connection"),
            Self::Broken(error) => error.fmt(out),
            Self::Stalled => write!(out, "the receiver takes nothing for {} s", STALL.as_secs()),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Link {
    Stream(Stream),
    Datagram(Datagram),
}

impl Link {
    /// Connects; what `again` holds goes over it first.
    pub(super) async fn connect(
        config: &SyslogConfig,
        again: &Recent,
    ) -> Result<Self, DeliverError> {
        let to = shown(&config.address);
        let socket = timeout(CONNECT, open(&config.address)).await;
        let socket = socket.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        let socket = socket.map_err(|error| later(format!("cannot connect to {to}: {error}")))?;
        Ok(match socket {
            Opened::Stream(socket) => Self::Stream(Stream::new(to, socket, again)),
            Opened::Datagram(socket) => Self::Datagram(Datagram::new(to, socket, again)),
        })
    }

    /// Whether it is lost, as far as can be told without sending.
    pub(super) fn look(&self) -> Result<(), Lost> {
        match self {
            Self::Stream(stream) => stream.look(),
            Self::Datagram(datagram) => datagram.look(),
        }
    }

    /// Whether its receiver's name should be looked up again.
    pub(super) fn is_old(&self) -> bool {
        match self {
            Self::Stream(_) => false,
            Self::Datagram(datagram) => datagram.is_old(),
        }
    }

    /// Who is at the other end, as the configuration has it.
    pub(super) fn to(&self) -> &str {
        match self {
            Self::Stream(stream) => &stream.to,
            Self::Datagram(datagram) => &datagram.to,
        }
    }
}

fn shown(address: &SyslogAddress) -> String {
    match address {
        SyslogAddress::Unix(path) => format!("unix:{}", path.display()),
        SyslogAddress::Udp(host) => format!("udp:{host}"),
        SyslogAddress::Tcp(host) => format!("tcp:{host}"),
    }
}

enum Opened {
    Stream(Socket),
    Datagram(datagram::Socket),
}

async fn open(address: &SyslogAddress) -> io::Result<Opened> {
    match address {
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            match socket.connect(path) {
                Ok(()) => Ok(Opened::Datagram(datagram::Socket::Unix(socket))),
                Err(error) if is(&error, Errno::EPROTOTYPE) => {
                    let socket = UnixStream::connect(path).await?;
                    Ok(Opened::Stream(Socket::Unix(socket)))
                }
                Err(error) => Err(error),
            }
        }
        SyslogAddress::Udp(host) => {
            let socket = first(host, async |address| {
                let any: IpAddr = match address {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0)).await?;
                socket.connect(address).await?;
                Ok(socket)
            });
            Ok(Opened::Datagram(datagram::Socket::Udp(socket.await?)))
        }
        SyslogAddress::Tcp(host) => {
            let socket = first(host, TcpStream::connect).await?;
            // Each write is a whole batch: there is nothing to wait for.
            socket.set_nodelay(true)?;
            setsockopt(&socket, sockopt::TcpUserTimeout, &UNACKNOWLEDGED)?;
            Ok(Opened::Stream(Socket::Tcp(socket)))
        }
    }
}

/// The first address of a name that can be connected to.
async fn first<T, F: Future<Output = io::Result<T>>>(
    host: &str,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(host).await? {
        match connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether an error is this one of the kernel's.
pub(super) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}
