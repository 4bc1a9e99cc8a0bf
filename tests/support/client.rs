//! Requests through the proxy, many at a time, and what came back.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::dialogue::Dialogue;
use crate::netns::Namespace;
use crate::tolerate;

/// Longer than any proxy of the suite waits for its upstream.
const PATIENCE: Duration = Duration::from_secs(30);

/// How one request ended, as the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// An HTTP answer with this status.
    Status(u16),
    /// The connection ended without an answer.
    Closed,
    /// Nothing came until the client's patience ended.
    Nothing,
    /// The proxy itself could not be reached.
    NoProxy,
}

/// How often each answer came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(pub BTreeMap<Answer, usize>);

impl Answers {
    /// How often this answer came.
    #[must_use]
    pub fn count(&self, answer: Answer) -> usize {
        self.0.get(&answer).copied().unwrap_or_default()
    }

    /// Adds those of another client.
    pub fn add(&mut self, other: &Self) {
        for (answer, count) in &other.0 {
            *self.0.entry(*answer).or_default() += count;
        }
    }

    /// The status that every client got; `None` when they did not all get the same.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.0.keys().collect::<Vec<_>>()[..] {
            [Answer::Status(status)] => Some(*status),
            _ => None,
        }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (answer, count)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match answer {
                Answer::Status(status) => write!(formatter, "{separator}{count}x {status}")?,
                other => write!(formatter, "{separator}{count}x {other:?}")?,
            }
        }
        Ok(())
    }
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// `GET /`, then the end of the connection.
    Get,
    /// `GET` of this path, then the end of the connection.
    Ask(&'static str),
    /// `GET /`, and gone before a slow answer can come.
    Leave,
    /// Nothing: it connects and waits for the other side.
    Silence,
}

impl Request {
    /// How long the client waits for the answer.
    const fn patience(self) -> Duration {
        match self {
            Self::Get | Self::Ask(_) | Self::Silence => PATIENCE,
            Self::Leave => Duration::from_millis(200),
        }
    }
}

/// Sends `count` requests from `namespace` to the proxy at `target`, `parallel` at a time.
#[track_caller]
pub fn send(
    namespace: &Namespace,
    target: SocketAddr,
    request: Request,
    count: usize,
    parallel: usize,
) -> Answers {
    let started = AtomicUsize::new(0);
    let answers = Mutex::new(Answers::default());
    namespace.enter(|| {
        thread::scope(|scope| {
            for _ in 0..parallel.min(count) {
                scope.spawn(|| {
                    while started.fetch_add(1, Ordering::Relaxed) < count {
                        let answer = exchange(target, request);
                        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                        *answers.0.entry(answer).or_default() += 1;
                    }
                });
            }
        });
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Sends `count` requests one after another on each of `parallel` connections, which are opened again
/// when the proxy ends them: as many as possible in as little time.
#[track_caller]
pub fn load(namespace: &Namespace, target: SocketAddr, count: usize, parallel: usize) -> Answers {
    let started = AtomicUsize::new(0);
    let answers = Mutex::new(Answers::default());
    namespace.enter(|| {
        thread::scope(|scope| {
            for _ in 0..parallel {
                scope.spawn(|| {
                    let mut got = Answers::default();
                    let mut dialogue = None;
                    while started.fetch_add(1, Ordering::Relaxed) < count {
                        let on = dialogue.get_or_insert_with(|| Dialogue::open(target));
                        on.ask("GET", "/");
                        *got.0.entry(on.answer()).or_default() += 1;
                        dialogue = dialogue.filter(Dialogue::goes_on);
                    }
                    answers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .add(&got);
                });
            }
        });
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One request on a connection of its own.
fn exchange(target: SocketAddr, request: Request) -> Answer {
    let Ok(mut stream) = TcpStream::connect_timeout(&target, PATIENCE) else {
        return Answer::NoProxy;
    };
    // Only a zero duration is refused.
    tolerate(stream.set_read_timeout(Some(request.patience())));
    tolerate(stream.set_write_timeout(Some(PATIENCE)));
    if request != Request::Silence {
        let path = match request {
            Request::Ask(path) => path,
            _ => "/",
        };
        let get = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        if stream.write_all(get.as_bytes()).is_err() {
            return Answer::Closed;
        }
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Answer::Nothing
        }
        // A reset after the answer is still an answer.
        Ok(_) | Err(_) => status(&answer).map_or(Answer::Closed, Answer::Status),
    }
}

/// The status of an HTTP answer, if its first line is one.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let head = String::from_utf8_lossy(answer);
    head.strip_prefix("HTTP/")?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_status_is_the_second_word() {
        assert_eq!(status(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), Some(502));
        assert_eq!(status(b"HTTP/1.0 200 OK\r\n"), Some(200));
        assert_eq!(status(b""), None);
        assert_eq!(status(b"garbage 200"), None);
    }
}
