//! What an upstream does with a connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::{Counters, readable};
use crate::tolerate;

const ANSWER_AND_CLOSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
const ANSWER_AND_STAY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const HALF_AN_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";

/// How an upstream treats those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers 200 and closes.
    Good,
    /// Answers 200 to every request on a connection.
    GoodKeepAlive,
    /// Holds the port without listening: the kernel answers RST.
    Refuse,
    /// Listens and never accepts.
    NeverAccept,
    /// RST right after the handshake, nothing read.
    ResetOnAccept,
    /// FIN right after the handshake, nothing read.
    CloseOnAccept,
    /// Reads the request, then RST.
    ResetAfterRequest,
    /// Reads the request, then FIN.
    CloseAfterRequest,
    /// Closes with the request unread: the kernel makes it a RST.
    CloseUnread,
    /// Reads the request and never answers.
    Hang,
    /// Answers the head and a part of the body, then FIN.
    BreakOff,
}

impl Behaviour {
    /// Whether the connection ends before anything is read.
    pub(crate) const fn ends_on_accept(self) -> bool {
        matches!(self, Self::ResetOnAccept | Self::CloseOnAccept)
    }

    /// Treats one connection, to its end or until told to stop.
    pub(crate) fn serve(self, stream: TcpStream, counters: &Counters, stopped: &UnixStream) {
        // A failed read or write is the peer's end of the connection: nothing is left to do, and
        // the counters have what happened before.
        let mut connection = Connection {
            stream,
            counters,
            stopped,
        };
        match self {
            Self::Refuse | Self::NeverAccept | Self::CloseOnAccept => {}
            Self::ResetOnAccept => connection.reset(),
            Self::CloseUnread => {
                readable(&connection.stream, stopped);
            }
            Self::Good => {
                if connection.read_request() {
                    connection.write(ANSWER_AND_CLOSE);
                }
            }
            Self::GoodKeepAlive => {
                while connection.read_request() {
                    connection.write(ANSWER_AND_STAY);
                }
            }
            Self::CloseAfterRequest => {
                connection.read_request();
            }
            Self::ResetAfterRequest => {
                connection.read_request();
                connection.reset();
            }
            Self::Hang => while connection.read_request() {},
            Self::BreakOff => {
                if connection.read_request() {
                    connection.write(HALF_AN_ANSWER);
                }
            }
        }
    }
}

/// One accepted connection; closed when dropped.
struct Connection<'a> {
    stream: TcpStream,
    counters: &'a Counters,
    stopped: &'a UnixStream,
}

impl Connection<'_> {
    /// Reads up to the empty line that ends a request without a body; `false` at the end of the
    /// connection.
    fn read_request(&mut self) -> bool {
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !request.ends_with(b"\r\n\r\n") {
            if !readable(&self.stream, self.stopped) {
                return false;
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => {
                    request.extend(chunk.iter().take(length));
                    self.counters
                        .bytes
                        .fetch_add(length as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn write(&mut self, answer: &[u8]) {
        tolerate(self.stream.write_all(answer));
    }

    /// Makes the coming close a RST.
    fn reset(&self) {
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        tolerate(setsockopt(&self.stream, Linger, &at_once));
    }
}
