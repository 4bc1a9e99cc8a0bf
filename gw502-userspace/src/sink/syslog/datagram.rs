//! A message a datagram: UDP (RFC 5426) and unix datagram sockets.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use nix::errno::Errno;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::{Instant, sleep, timeout};

use super::link::{Lost, is};
use super::{Batch, Recent, STALL};
use crate::config::SyslogConfig;

/// What every receiver takes: RFC 5426, section 3.2.
const SHORTEST: usize = 480;

/// After how long the name of a receiver is looked up again: datagrams go to an address that nobody
/// has any more without an error.
const AGE: Duration = Duration::from_mins(1);

/// UDP: so many at once, then a pause, or the receiver's socket would overflow by our own speed
/// (RFC 5426, section 4.3): by default it holds less than 200. This is 16,000 a second.
const BURST: (u32, Duration) = (32, Duration::from_millis(2));

#[derive(Debug)]
pub(super) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    async fn send(&self, message: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(message).await,
            Self::Unix(socket) => socket.send(message).await,
        }
    }

    /// A refusal that came back.
    fn error(&self) -> io::Result<()> {
        let error = match self {
            Self::Udp(socket) => socket.take_error()?,
            Self::Unix(socket) => socket.take_error()?,
        };
        error.map_or(Ok(()), Err)
    }
}

/// A socket that knows where to.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) to: String,
    socket: Socket,
    made: Instant,
    /// What goes first.
    again: VecDeque<Bytes>,
    /// How many went since the last pause.
    burst: u32,
}

impl Datagram {
    pub(super) fn new(to: String, socket: Socket, again: &Recent) -> Self {
        Self {
            to,
            socket,
            made: Instant::now(),
            again: again.messages.clone(),
            burst: 0,
        }
    }

    /// Whether nobody received the last ones.
    pub(super) fn look(&self) -> Result<(), Lost> {
        self.socket.error().map_err(Lost::Broken)
    }

    /// Whether the name should be looked up again.
    pub(super) fn is_old(&self) -> bool {
        matches!(self.socket, Socket::Udp(_)) && self.made.elapsed() >= AGE
    }

    /// Sends each record, cut to what goes. Returns the messages.
    pub(super) async fn send(
        &mut self,
        batch: &Batch<'_>,
        config: &SyslogConfig,
    ) -> Result<Vec<Bytes>, Lost> {
        while let Some(message) = self.again.front().cloned() {
            self.one(&message).await?;
            self.again.pop_front();
        }
        let mut limit = match self.socket {
            Socket::Udp(_) => usize::try_from(config.max_datagram).unwrap_or(usize::MAX),
            // The kernel knows.
            Socket::Unix(_) => usize::MAX,
        };
        let mut messages = Vec::with_capacity(batch.records.len());
        for record in batch.records {
            loop {
                let message = batch.message(record, limit)?;
                match self.one(&message.bytes).await {
                    Err(Lost::Broken(error))
                        if is(&error, Errno::EMSGSIZE) && message.bytes.len() > SHORTEST =>
                    {
                        limit = SHORTEST.max(message.bytes.len() / 2);
                    }
                    other => {
                        other?;
                        batch.count(&message);
                        messages.push(message.bytes.into());
                        break;
                    }
                }
            }
        }
        // On this host a refusal is there at once.
        self.look()?;
        Ok(messages)
    }

    async fn one(&mut self, message: &[u8]) -> Result<(), Lost> {
        if matches!(self.socket, Socket::Udp(_)) {
            let (most, pause) = BURST;
            if self.burst >= most {
                sleep(pause).await;
                self.burst = 0;
            }
            self.burst += 1;
        }
        let sent = timeout(STALL, self.socket.send(message)).await;
        let sent = sent.map_err(|_elapsed| Lost::Stalled)?;
        sent.map(drop).map_err(Lost::Broken)
    }
}
