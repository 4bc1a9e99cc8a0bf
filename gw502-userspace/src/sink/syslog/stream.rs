//! A connection that carries bytes: TCP with octet counting (RFC 6587, section 3.4.1), a unix stream
//! socket with a line feed after each message (3.4.2), which is what receivers expect there.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::link::Lost;
use super::{Batch, Recent, STALL};

/// How often to ask whether all has arrived, at first and at last: the kernel does not tell by itself.
const ASK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

nix::ioctl_read_bad!(
    /// `SIOCOUTQ`. TCP: bytes that the other kernel has not acknowledged. A unix socket: memory of what
    /// the other process has not read.
    queued,
    libc::TIOCOUTQ,
    libc::c_int
);

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Asks the kernel: tokio would answer what it knew when it last waited.
    fn read(&self, into: &mut [u8]) -> nix::Result<usize> {
        recv(self.fd(), into, MsgFlags::MSG_DONTWAIT)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.writable().await,
            Self::Unix(socket) => socket.writable().await,
        }
    }

    fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }

    /// What has not arrived.
    fn queued(&self) -> io::Result<i32> {
        let mut left = 0;
        // SAFETY: the descriptor is open as long as `self`, and the request writes one int.
        unsafe { queued(self.fd(), &raw mut left) }?;
        Ok(left)
    }
}

/// A connection, and what is on its way. A delivery that is given up, or stalls, goes on with the
/// next one where it was: half a message in the stream would spoil all that follow.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) to: String,
    socket: Socket,
    /// What our kernel has not taken.
    unsent: BytesMut,
    /// The records that are on their way, by their JSON.
    under_way: BTreeSet<Bytes>,
    /// The same as messages.
    messages: Vec<Bytes>,
}

impl Stream {
    pub(super) fn new(to: String, socket: Socket, again: &Recent) -> Self {
        let mut stream = Self {
            to,
            socket,
            unsent: BytesMut::new(),
            under_way: BTreeSet::new(),
            messages: Vec::new(),
        };
        for message in &again.messages {
            stream.frame(message);
        }
        stream
    }

    /// Whether the other side has closed. A receiver says nothing; if it does, nobody cares what.
    pub(super) fn look(&self) -> Result<(), Lost> {
        let mut words = [0; 512];
        loop {
            match self.socket.read(&mut words) {
                Ok(0) => return Err(Lost::Closed),
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(Lost::Broken(error.into())),
            }
        }
    }

    /// Sends what is not yet under way and waits until all has arrived. Returns the messages.
    pub(super) async fn send(&mut self, batch: &Batch<'_>) -> Result<Vec<Bytes>, Lost> {
        // First what is left: a receiver that takes nothing must not make it grow.
        self.write().await?;
        for record in batch.records {
            if self.under_way.insert(record.json.clone()) {
                let message = Bytes::from(batch.message(record, usize::MAX)?.bytes);
                self.frame(&message);
                self.messages.push(message);
            }
        }
        self.write().await?;
        self.arrived().await?;
        self.under_way.clear();
        Ok(std::mem::take(&mut self.messages))
    }

    fn frame(&mut self, message: &[u8]) {
        match self.socket {
            Socket::Tcp(_) => {
                let length = format!("{} ", message.len());
                self.unsent.extend_from_slice(length.as_bytes());
                self.unsent.extend_from_slice(message);
            }
            Socket::Unix(_) => {
                self.unsent.extend_from_slice(message);
                self.unsent.extend_from_slice(b"\n");
            }
        }
    }

    async fn write(&mut self) -> Result<(), Lost> {
        while !self.unsent.is_empty() {
            match self.socket.try_write(&self.unsent) {
                Ok(written) => self.unsent.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = timeout(STALL, self.socket.writable()).await;
                    ready
                        .map_err(|_elapsed| Lost::Stalled)?
                        .map_err(Lost::Broken)?;
                }
                Err(error) => return Err(Lost::Broken(error)),
            }
        }
        Ok(())
    }

    /// Waits until nothing is queued any more.
    async fn arrived(&self) -> Result<(), Lost> {
        let (mut pause, longest) = ASK;
        let mut left = i32::MAX;
        let mut waited = Duration::ZERO;
        loop {
            let now = self.socket.queued().map_err(Lost::Broken)?;
            // Asked after the queue: what was dropped with the connection did not arrive.
            self.look()?;
            if now == 0 {
                return Ok(());
            }
            if now < left {
                (left, waited) = (now, Duration::ZERO);
            }
            if waited >= STALL {
                return Err(Lost::Stalled);
            }
            sleep(pause).await;
            waited += pause;
            pause = longest.min(pause * 2);
        }
    }
}
