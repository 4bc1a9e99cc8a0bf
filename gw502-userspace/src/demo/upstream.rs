//! Upstreams on 127.0.0.1, one well and the rest each failing in a way of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};

use super::http;

/// What an upstream does once it has read a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// Answers 200.
    Answers,
    /// Sends a RST, as a process that crashes with data unread does.
    Resets,
    /// Closes without a byte of answer, as a worker that is killed does.
    Closes,
    /// Does nothing until the other side gives up.
    Stays,
}

/// Starts an upstream for as long as the process lives; returns where it listens.
pub(super) fn spawn(manner: Manner) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let accept = move || {
        for stream in listener.incoming() {
            let served = stream.and_then(|stream| {
                thread::Builder::new()
                    .name("upstream".to_owned())
                    .spawn(move || log_error(manner, serve(stream, manner)))
            });
            log_error(manner, served.map(drop));
        }
    };
    thread::Builder::new()
        .name("upstreams".to_owned())
        .spawn(accept)?;
    Ok(address)
}

fn log_error(manner: Manner, served: io::Result<()>) {
    if let Err(error) = served {
        log::debug!("upstream that {manner:?}: {error}");
    }
}

fn serve(mut stream: TcpStream, manner: Manner) -> io::Result<()> {
    http::read_head(&mut stream)?;
    match manner {
        Manner::Answers => stream.write_all(http::response(200).as_bytes()),
        Manner::Resets => {
            let at_once = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            Ok(setsockopt(&stream, sockopt::Linger, &at_once)?)
        }
        Manner::Closes => Ok(()),
        Manner::Stays => stream.read(&mut [0]).map(drop),
    }
}

/// A port where nothing listens, for as long as the socket is kept.
///
/// The socket is bound but never listens, so the kernel answers a SYN with RST. A port that is
/// merely free could become the source port of the very connection that tries it, which would
/// then connect to itself.
pub(super) fn closed_port() -> io::Result<(OwnedFd, SocketAddr)> {
    let keeper = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    bind(keeper.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
    let bound: SockaddrIn = getsockname(keeper.as_raw_fd())?;
    Ok((keeper, (bound.ip(), bound.port()).into()))
}
