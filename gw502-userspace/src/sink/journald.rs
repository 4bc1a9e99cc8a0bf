//! The journal's native protocol: an entry a datagram, or a sealed memory file where that is too small
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! Fields: `MESSAGE` (the line for people), `PRIORITY`, `SYSLOG_IDENTIFIER`, `SYSLOG_FACILITY` (3,
//! daemon), `MESSAGE_ID` (one a kind, see below), `GW502_TIME`, and each field of a record as
//! `GW502_CLASS`, `GW502_CAUSE`, `GW502_UPSTREAM`…; `GW502_JSON` is the whole record. Values are what
//! they are, byte by byte: the protocol knows their length.
//!
//! An entry that was sent is in the queue of a socket that systemd keeps open while journald starts
//! anew. What the journal then drops by its own limit on rates, it counts and says itself.
//!
//! No crate: those that speak the protocol send to one fixed socket and block.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use super::fields::Fields;
use super::ship::{DeliverError, Delivery, Kind, Record, Sink};
use crate::config::JournaldConfig;

/// `MESSAGE_ID` of a failure: `journalctl MESSAGE_ID=…` finds them all.
pub const FAILURE_ID: &str = "e69d467086bd4870ab796af63ac808fe";

/// `MESSAGE_ID` of a change of an upstream's state.
pub const DIAGNOSIS_ID: &str = "b09f350db575426fb1cffad4ada53029";

/// How long the journal may take nothing before we say so.
const STALL: Duration = Duration::from_secs(8);

/// The journal of this host.
#[derive(Debug)]
pub struct Journald {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journald {
    /// Connects with the first delivery.
    pub fn new(config: JournaldConfig) -> Self {
        Self {
            path: config.socket,
            socket: None,
        }
    }

    async fn send(&mut self, records: &[Record]) -> Result<(), DeliverError> {
        for record in records {
            // A journal without systemd makes a socket anew when it starts anew.
            if let Err(error) = self.one(record).await {
                self.socket = None;
                return Err(DeliverError::Later {
                    why: format!("{}: {error}", self.path.display()),
                    after: None,
                });
            }
        }
        Ok(())
    }

    async fn one(&mut self, record: &Record) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.path)?;
                none.insert(socket)
            }
        };
        let entry = entry(record);
        let sent = async {
            match socket.send(&entry).await {
                Err(error) if is_too_long(&error) => in_a_file(socket, &entry).await,
                other => other.map(drop),
            }
        };
        let sent = timeout(STALL, sent).await;
        sent.unwrap_or_else(|_elapsed| Err(io::Error::other("the journal takes nothing for 8 s")))
    }
}

impl Sink for Journald {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        Box::pin(self.send(records))
    }
}

/// Of a unix socket the limit is its send buffer; the kernel has either word for that.
fn is_too_long(error: &io::Error) -> bool {
    [Errno::EMSGSIZE, Errno::ENOBUFS]
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// Sends a memory file with the entry in it; sealed, or journald would not read it.
async fn in_a_file(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let mut file = File::from(memfd_create("gw502-journal", flags)?);
    file.write_all(entry)?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
    let files = [file.as_raw_fd()];
    socket
        .async_io(Interest::WRITABLE, || {
            let rights = [ControlMessage::ScmRights(&files)];
            let nothing: [IoSlice<'_>; 0] = [];
            sendmsg::<()>(
                socket.as_raw_fd(),
                &nothing,
                &rights,
                MsgFlags::MSG_NOSIGNAL,
                None,
            )
            .map_err(io::Error::from)
        })
        .await
        .map(drop)
}

/// A record as an entry.
fn entry(record: &Record) -> Vec<u8> {
    let fields = Fields::of(record);
    let mut bytes = Vec::with_capacity(1024 + record.json.len());
    let mut add = |name: &str, value: &[u8]| field(&mut bytes, name, value);
    add("MESSAGE", fields.line.as_bytes());
    add("PRIORITY", fields.severity.number().to_string().as_bytes());
    add("SYSLOG_IDENTIFIER", b"gw502");
    add("SYSLOG_FACILITY", b"3");
    let id = match record.kind {
        Kind::Failure => FAILURE_ID,
        Kind::Diagnosis => DIAGNOSIS_ID,
    };
    add("MESSAGE_ID", id.as_bytes());
    if let Some(time) = fields.time {
        add("GW502_TIME", format!("{time:.9}").as_bytes());
    }
    for (name, value) in &fields.pairs {
        let name = format!("GW502_{}", name.to_ascii_uppercase());
        add(&name, value.as_bytes());
    }
    let json = record.json.strip_suffix(b"\n").unwrap_or(&record.json);
    add("GW502_JSON", json);
    bytes
}

/// Plain where that is clear, else with the length before it.
fn field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        bytes.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sink::conformance;
    use crate::sink::far_end::FarEnd;

    const JSON: &str = "{\"time\":\"2026-11-22T23:40:12.5Z\",\"id\":\"01\",\"class\":\"reset\",\
                        \"proxy\":{\"comm\":\"a\\nb\"}}";

    fn record() -> Record {
        Record {
            kind: Kind::Failure,
            json: Bytes::from_static(JSON.as_bytes()),
        }
    }

    #[test]
    fn an_entry_is_this_to_the_byte() {
        let expected = format!(
            "MESSAGE=reset a?b -> other upstreams\nPRIORITY=3\nSYSLOG_IDENTIFIER=gw502\n\
             SYSLOG_FACILITY=3\nMESSAGE_ID={FAILURE_ID}\nGW502_TIME=2026-11-22T23:40:12.500000000Z\n\
             GW502_ID=01\nGW502_CLASS=reset\nGW502_PROXY\n\u{3}\0\0\0\0\0\0\0a\nb\nGW502_JSON={JSON}\n"
        );
        assert_eq!(String::from_utf8(entry(&record())).unwrap(), expected);
    }

    #[tokio::test]
    async fn it_does_what_every_sink_must() {
        let mut end = FarEnd::datagrams("journald");
        end.start();
        let mut sink = Journald::new(JournaldConfig {
            socket: end.path().to_owned(),
        });
        conformance::check(&mut sink, &mut end).await.unwrap();
    }

    #[test]
    fn names_of_fields_are_such_as_the_journal_takes() {
        let entry = String::from_utf8(entry(&record())).unwrap();
        for name in entry
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
        {
            assert!(name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_uppercase()));
            assert!(
                name.bytes()
                    .all(|one| one.is_ascii_uppercase() || one.is_ascii_digit() || one == b'_')
            );
        }
    }
}
