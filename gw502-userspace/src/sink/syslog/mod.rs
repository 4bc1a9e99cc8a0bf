//! RFC 5424 over a unix socket, UDP (RFC 5426) or TCP (RFC 6587).
//!
//! # What "at least once" can mean here
//!
//! Syslog has no acknowledgement, so a delivery counts as done when the kernel can say no more:
//!
//! - TCP: the receiver's *kernel* has acknowledged every byte, and the connection still stands.
//! - A unix stream socket: the receiver's *process* has read every byte.
//! - UDP and unix datagrams: they were sent, and no refusal has come back.
//!
//! What a receiver's kernel held when its process ended is lost to it. So the last messages are kept
//! ([`Recent`]: the last batch, and up to 256 KiB), and once a connection turns out to be lost they go
//! first over the next one: the receiver may get them twice, which `id` shows. What stays beyond us:
//! a receiver that ends with more than that unread, one that had read and not yet stored them, the
//! last batch before gw502 itself ends, and UDP's packets that nobody refuses.
//!
//! - `message`: a record as bytes (pure).
//! - `link`: a connection, whichever; `stream` and `datagram` are the two sorts.

mod datagram;
mod link;
mod message;
mod stream;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use syslog_fmt::Facility;

use self::link::{Link, Lost};
use self::message::{Form, Message};
use super::ship::{DeliverError, Delivery, Record, Sink};
use crate::config::SyslogConfig;

/// How long a connect, with the look-up of the name, may take.
const CONNECT: Duration = Duration::from_secs(8);

/// How long a receiver may take nothing at all before we say so.
const STALL: Duration = Duration::from_secs(8);

/// Of how many bytes we remember that they were sent.
const RECENT: usize = 256 << 10;

/// A facility that RFC 5424 does not have, or leaves to the clocks and audits of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syslog facility {0} is none to send with: take 0 to 11 or 16 to 23")]
pub struct BadFacility(u8);

/// A syslog receiver.
#[derive(Debug)]
pub struct Syslog {
    config: SyslogConfig,
    form: Form,
    link: Option<Link>,
    recent: Recent,
    cut: Arc<AtomicU64>,
}

impl Syslog {
    /// Connects with the first delivery.
    pub fn new(config: SyslogConfig) -> Result<Self, BadFacility> {
        // Its error says the same, of an `i32`.
        let Ok(facility) = Facility::try_from(config.facility) else {
            return Err(BadFacility(config.facility));
        };
        let form = Form {
            facility,
            pid: std::process::id(),
            message: config.message,
        };
        Ok(Self {
            config,
            form,
            link: None,
            recent: Recent::default(),
            cut: Arc::default(),
        })
    }

    /// Counts the messages that were too long for a datagram and lost their end.
    pub fn cut(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.cut)
    }

    async fn send(&mut self, records: &[Record]) -> Result<(), DeliverError> {
        if let Some(link) = &self.link
            && let Err(lost) = link.look()
        {
            log::debug!("{}: {lost}", link.to());
            self.link = None;
        }
        if self.link.as_ref().is_some_and(Link::is_old) {
            // Nothing was refused, so nothing is sent again.
            self.link = Some(Link::connect(&self.config, &Recent::default()).await?);
        }
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(Link::connect(&self.config, &self.recent).await?),
        };
        let batch = Batch {
            records,
            form: self.form,
            cut: &self.cut,
        };
        let sent = match link {
            Link::Stream(stream) => stream.send(&batch).await,
            Link::Datagram(datagram) => datagram.send(&batch, &self.config).await,
        };
        match sent {
            Ok(messages) => {
                self.recent.add(messages);
                Ok(())
            }
            Err(lost) => {
                let why = format!("{}: {lost}", link.to());
                if lost.is_for_good() {
                    self.link = None;
                }
                Err(later(why))
            }
        }
    }
}

impl Sink for Syslog {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        Box::pin(self.send(records))
    }
}

const fn later(why: String) -> DeliverError {
    DeliverError::Later { why, after: None }
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
struct Batch<'a> {
    records: &'a [Record],
    form: Form,
    cut: &'a AtomicU64,
}

impl Batch<'_> {
    /// One of its records, in at most `limit` bytes.
    fn message(&self, record: &Record, limit: usize) -> Result<Message, Lost> {
        self.form.message(record, limit).map_err(Lost::Broken)
    }

    /// A message is sent.
    fn count(&self, message: &Message) {
        if message.cut {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The last messages that were sent, without what frames them.
#[derive(Debug, Default)]
struct Recent {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Recent {
    /// Remembers a batch, and forgets the oldest for it.
    fn add(&mut self, batch: Vec<Bytes>) {
        let size: usize = batch.iter().map(Bytes::len).sum();
        self.bytes += size;
        self.messages.extend(batch);
        while self.bytes > RECENT.max(size) {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests;
