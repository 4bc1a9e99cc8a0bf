//! JSON lines on standard output.
//!
//! A reader that is slow or gone must not hold the thread up, and standard output may be shared
//! with other processes, so it cannot be made non-blocking. A pipe is opened a second time instead;
//! a socket takes a flag with each message; files and terminals are written as they are.
//!
//! A reader that went away is no reason to end: the agent has other sinks. Records wait, are shed
//! and counted, and the sink shows as stuck.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};

use nix::sys::socket::{MsgFlags, send};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::lines;
use super::ship::{DeliverError, Delivery, Record, Sink};

/// Standard output.
#[derive(Debug)]
pub struct StdoutLines {
    out: File,
    way: Option<Way>,
    /// The rest of a line of which a part was written: nothing may come between.
    rest: Vec<u8>,
}

/// How to write without waiting.
#[derive(Debug)]
enum Way {
    Pipe(AsyncFd<File>),
    Socket(AsyncFd<File>),
    Plain,
}

impl StdoutLines {
    /// Standard output of this process.
    pub fn new() -> io::Result<Self> {
        let out = nix::unistd::dup(io::stdout())?;
        Ok(Self::on(out))
    }

    /// The same on any descriptor.
    pub fn on(out: OwnedFd) -> Self {
        Self {
            out: out.into(),
            way: None,
            rest: Vec::new(),
        }
    }

    async fn write(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = self.rest.clone();
        bytes.extend(lines::of(records));
        let way = match self.way.take() {
            Some(way) => way,
            None => way(&self.out)?,
        };
        let way = self.way.insert(way);
        let mut at = 0;
        while let Some(left) = bytes.get(at..).filter(|left| !left.is_empty()) {
            let written = match way {
                Way::Plain => (&self.out).write(left)?,
                Way::Pipe(pipe) => when_writable(pipe, |mut file| file.write(left)).await?,
                Way::Socket(socket) => {
                    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                    when_writable(socket, |file| Ok(send(file.as_raw_fd(), left, flags)?)).await?
                }
            };
            at = at.saturating_add(written);
            // Should this be given up now, the line is finished next time.
            let rest = bytes.get(at..).unwrap_or_default();
            let begun = bytes.get(..at).is_some_and(|done| !done.ends_with(b"\n"));
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = end.and_then(|end| rest.get(..=end)).filter(|_| begun);
            self.rest = line.unwrap_or_default().to_vec();
        }
        Ok(())
    }
}

/// Which way there is.
fn way(out: &File) -> io::Result<Way> {
    let kind = out.metadata()?.file_type();
    if kind.is_socket() {
        return Ok(Way::Socket(registered(out.try_clone()?)?));
    }
    if kind.is_fifo() {
        let again = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(format!("/proc/self/fd/{}", out.as_raw_fd()));
        match again {
            Ok(again) => return Ok(Way::Pipe(registered(again)?)),
            // ENXIO: nobody reads. Writing says so as well, and does not block then.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Err(error) => log::debug!("stdout is written blockingly: {error}"),
        }
    }
    Ok(Way::Plain)
}

fn registered(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: the file is owned by the registration, which is dropped with it and gives nobody
    // else the descriptor.
    let registered = unsafe { AsyncFd::register_with_interest(file, Interest::WRITABLE) };
    Ok(registered?)
}

/// Does it as soon as it does not block.
async fn when_writable(
    file: &AsyncFd<File>,
    write: impl Fn(&File) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        let mut guard = file.ready(Interest::WRITABLE).await?;
        match write(file.get_ref()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                guard.clear_ready_matching(Ready::WRITABLE);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Sink for StdoutLines {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        Box::pin(async move {
            let written = self.write(records).await;
            written.map_err(|error| {
                let gone = error.kind() == io::ErrorKind::BrokenPipe;
                let why = if gone {
                    // Another reader begins with a whole line.
                    self.rest.clear();
                    self.way = None;
                    "the reader of standard output is gone".to_owned()
                } else {
                    format!("cannot write to standard output: {error}")
                };
                DeliverError::Later { why, after: None }
            })
        })
    }
}

#[cfg(test)]
mod tests;
