//! What an upstream does with a connection.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::Linger};

use super::stream::Stream;
use super::{Counters, Visit, readable, readable_within};
use crate::deadline;
use crate::tolerate;

const ANSWER_AND_CLOSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
const ANSWER_AND_STAY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
const HALF_AN_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";

/// Long enough for everything under way to arrive and be acknowledged.
const SETTLE: Duration = Duration::from_millis(300);

/// How an upstream lets a connection down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// RST.
    Reset,
    /// FIN.
    Close,
    /// It does nothing any more.
    Hang,
}

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
    /// The same, and its queue is full: the kernel drops every SYN.
    QueueFull,
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
    /// Answers so many requests on a connection, reads one more, and lets it down.
    AnswerThen(u32, Last),
    /// Answers every request, and closes a connection that was idle for so long.
    CloseIdle(Duration),
    /// The same, and ends such a connection by RST.
    ResetIdle(Duration),
    /// Reads so many bytes of a request and its body, waits until no more can come, and lets it
    /// down.
    Swallow(usize, Last),
    /// Never answers requests for `/hang…`; answers others and closes.
    HangOnDemand,
    /// Answers requests for `/after/<ms>…` after so long, in two parts with as much time between
    /// them; others at once. Keeps its connections.
    WaitOnDemand,
    /// Ends a connection on which nothing came for so long after the handshake.
    TurnAway(Duration, Last),
    /// Answers 200 after the end of what it is sent, and closes.
    AnswerTheEnd,
    /// Reads what comes, never answers, and closes after the peer did.
    Listen,
}

impl Behaviour {
    /// Whether the connection ends before anything is read.
    pub(crate) const fn ends_on_accept(self) -> bool {
        matches!(self, Self::ResetOnAccept | Self::CloseOnAccept)
    }

    /// Treats one connection, to its end or until told to stop.
    pub(crate) fn serve(self, stream: impl Stream, counters: &Counters, stopped: &UnixStream) {
        // A failed read or write is the peer's end of the connection: nothing is left to do, and
        // the counters have what happened before.
        let mut connection = Connection {
            stream,
            counters,
            stopped,
            asked: String::new(),
        };
        match self {
            Self::Refuse | Self::NeverAccept | Self::QueueFull | Self::CloseOnAccept => {}
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
            Self::AnswerThen(good, last) => {
                for _ in 0..good {
                    if !connection.read_request() {
                        return;
                    }
                    connection.write(ANSWER_AND_STAY);
                }
                if connection.read_request() {
                    connection.let_down(last);
                }
            }
            Self::CloseIdle(limit) => connection.answer_until_idle(limit, Last::Close),
            Self::ResetIdle(limit) => connection.answer_until_idle(limit, Last::Reset),
            Self::WaitOnDemand => {
                while connection.read_request() {
                    connection.answer_in_time();
                }
            }
            Self::TurnAway(limit, last) => {
                if readable_within(&connection.stream, stopped, limit).is_none() {
                    connection.let_down(last);
                }
            }
            Self::AnswerTheEnd => connection.read_to_end(ANSWER_AND_CLOSE),
            Self::Listen => connection.read_to_end(b""),
            Self::Swallow(bytes, last) => {
                if connection.read_bytes(bytes) {
                    deadline::pause_until(deadline::now() + SETTLE);
                    connection.let_down(last);
                }
            }
            Self::HangOnDemand => {
                if connection.read_request() {
                    if connection.asked.starts_with("/hang") {
                        connection.let_down(Last::Hang);
                    } else {
                        connection.write(ANSWER_AND_CLOSE);
                    }
                }
            }
        }
    }
}

/// One accepted connection; closed when dropped.
struct Connection<'a, S> {
    stream: S,
    counters: &'a Counters,
    stopped: &'a UnixStream,
    /// The path of the last request.
    asked: String,
}

impl<S: Stream> Connection<'_, S> {
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
        self.note_visit(&request);
        true
    }

    fn note_visit(&mut self, request: &[u8]) {
        let head = String::from_utf8_lossy(request);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        path.clone_into(&mut self.asked);
        if let Some(peer) = self.stream.peer() {
            let path = self.asked.clone();
            let mut visits = self
                .counters
                .visits
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            visits.push(Visit { peer, path });
        }
    }

    /// Reads so many bytes and not one more; `false` at the end of the connection.
    fn read_bytes(&mut self, bytes: usize) -> bool {
        let mut left = bytes;
        let mut chunk = [0; 4096];
        while left > 0 {
            if !readable(&self.stream, self.stopped) {
                return false;
            }
            let wanted = left.min(chunk.len());
            match self
                .stream
                .read(chunk.get_mut(..wanted).unwrap_or_default())
            {
                Ok(0) | Err(_) => return false,
                Ok(length) => {
                    left -= length;
                    self.counters
                        .bytes
                        .fetch_add(length as u64, Ordering::Relaxed);
                }
            }
        }
        true
    }

    fn answer_until_idle(&mut self, limit: Duration, last: Last) {
        // One that nobody has used yet is idle as well: a proxy may open one and use another.
        loop {
            match readable_within(&self.stream, self.stopped, limit) {
                Some(true) if self.read_request() => self.write(ANSWER_AND_STAY),
                Some(_) => return,
                None => return self.let_down(last),
            }
        }
    }

    /// `/after/<ms>…`: half of the answer after so long, the rest after as long again.
    fn answer_in_time(&mut self) {
        let words = self.asked.strip_prefix("/after/");
        let wait = words.and_then(|words| words.split('/').next()?.parse().ok());
        let wait = wait.map(Duration::from_millis);
        let Some(wait) = wait else {
            return self.write(ANSWER_AND_STAY);
        };
        let (begin, rest) = ANSWER_AND_STAY.split_at(ANSWER_AND_STAY.len() / 2);
        for part in [begin, rest] {
            // Ends early when told to stop.
            readable_within(&self.stopped, self.stopped, wait);
            self.write(part);
        }
    }

    /// Reads until the peer has sent its last byte, and then answers.
    fn read_to_end(&mut self, answer: &[u8]) {
        let mut chunk = [0; 4096];
        while readable(&self.stream, self.stopped) {
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.write(answer),
                Ok(length) => {
                    self.counters
                        .bytes
                        .fetch_add(length as u64, Ordering::Relaxed);
                }
                Err(_) => return,
            }
        }
    }

    fn let_down(&mut self, last: Last) {
        self.note_broken();
        match last {
            Last::Reset => self.reset(),
            Last::Close => {}
            Last::Hang => {
                // Until told to stop; nothing is read, so that a full window stays full.
                readable(&self.stopped, self.stopped);
            }
        }
    }

    fn note_broken(&self) {
        if let Some(peer) = self.stream.peer() {
            self.counters
                .broken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(peer);
        }
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
