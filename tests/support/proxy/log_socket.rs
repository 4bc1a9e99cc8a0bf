//! A socket that takes a proxy's log, one line in each datagram.
//!
//! `HAProxy`'s threads share its standard output and give a line up when another one holds it for
//! too long: 1 line of 6 was missing under load. Each thread has its own sender to a socket.

use std::fs;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::capture::Capture;
use crate::netns::Namespace;
use crate::tolerate;

/// Lines that may wait to be read before the proxy has to drop one.
const QUEUE: &str = "4096";

/// A bound socket and what it received; stops receiving when dropped.
#[derive(Debug)]
pub(super) struct LogSocket {
    socket: UnixDatagram,
    path: PathBuf,
    /// The lines so far.
    pub(super) lines: Capture,
}

impl LogSocket {
    /// Binds one at `path`, with the queue of `namespace`.
    #[track_caller]
    pub(super) fn bind(namespace: &Namespace, path: PathBuf) -> Self {
        namespace.set_sysctl("net/unix/max_dgram_qlen", QUEUE);
        let socket = namespace.enter(|| UnixDatagram::bind(&path).expect("a socket of our own"));
        // The proxy does not run as root.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("our own socket");
        let reader = Datagrams(socket.try_clone().expect("a second handle"));
        Self {
            socket,
            path,
            lines: Capture::start(reader),
        }
    }

    /// Where a proxy sends to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LogSocket {
    fn drop(&mut self) {
        // Wakes the reader, which sees an end.
        tolerate(self.socket.shutdown(Shutdown::Both));
    }
}

/// Datagrams as one stream of lines.
struct Datagrams(UnixDatagram);

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.recv(buffer)?;
        let ends = buffer
            .get(..length)
            .is_some_and(|line| line.is_empty() || line.ends_with(b"\n"));
        match buffer.get_mut(length) {
            Some(next) if !ends => {
                *next = b'\n';
                Ok(length + 1)
            }
            _ => Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::Shutdown;
    use std::os::unix::net::UnixDatagram;

    use super::Datagrams;

    #[test]
    fn each_datagram_is_a_line_and_a_shutdown_is_the_end() {
        let (sender, receiver) = UnixDatagram::pair().expect("a socket pair");
        sender.send(b"one").expect("sent");
        sender.send(b"two\n").expect("sent");
        let stopper = receiver.try_clone().expect("a second handle");
        let mut datagrams = Datagrams(receiver);
        let mut buffer = [0; 16];
        assert_eq!(datagrams.read(&mut buffer).ok(), Some(4));
        assert_eq!(datagrams.read(&mut buffer).ok(), Some(4));
        stopper.shutdown(Shutdown::Both).expect("ours");
        assert_eq!(datagrams.read(&mut buffer).ok(), Some(0));
    }
}
