//! One connection to the proxy, step by step: requests in turn, an upload, an early leave.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::Linger};

use crate::client::{Answer, status};
use crate::tolerate;

/// Longer than any proxy of the suite waits for its upstream.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// FIN.
    Close,
    /// RST.
    Reset,
}

/// A client's connection to the proxy.
#[derive(Debug)]
pub struct Dialogue {
    stream: TcpStream,
    goes_on: bool,
}

impl Dialogue {
    /// Connects from the network namespace of the calling thread.
    #[must_use]
    #[track_caller]
    pub fn open(target: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&target, PATIENCE).expect("the proxy listens");
        // Only a zero duration is refused.
        tolerate(stream.set_read_timeout(Some(PATIENCE)));
        tolerate(stream.set_write_timeout(Some(PATIENCE)));
        tolerate(stream.set_nodelay(true));
        Self {
            stream,
            goes_on: true,
        }
    }

    /// Sends a request without a body. The other side may be gone: the answer says so.
    pub fn ask(&mut self, method: &str, path: &str) {
        let length = if method == "POST" {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\n{length}\r\n"
        ));
    }

    /// Sends anything. The other side may be gone: the answer says so.
    pub fn send(&mut self, text: &str) {
        tolerate(self.stream.write_all(text.as_bytes()));
    }

    /// Sends nothing more; the other side sees the end of what it reads.
    pub fn shut_down(&self) {
        tolerate(self.stream.shutdown(Shutdown::Write));
    }

    /// Whether another request can follow the last answer on this connection.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Reads one answer with its body.
    pub fn answer(&mut self) -> Answer {
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        while !is_whole(&answer) {
            match self.stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => answer.extend(chunk.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Answer::Nothing;
                }
                Err(_) => break,
            }
        }
        self.goes_on = is_whole(&answer) && !says_close(&answer);
        status(&answer).map_or(Answer::Closed, Answer::Status)
    }

    /// Uploads a body of so many bytes, and reads the answer meanwhile: it may come early.
    pub fn upload(&mut self, bytes: usize) -> Answer {
        let head =
            format!("POST /upload HTTP/1.1\r\nHost: bench\r\nContent-Length: {bytes}\r\n\r\n");
        let mut writer = self.stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            scope.spawn(move || {
                let body = [b'x'; 16384];
                let mut left = bytes;
                let mut goes_on = writer.write_all(head.as_bytes()).is_ok();
                while goes_on && left > 0 {
                    let part = left.min(body.len());
                    goes_on = writer
                        .write_all(body.get(..part).unwrap_or_default())
                        .is_ok();
                    left -= part;
                }
            });
            let answer = self.answer();
            // Ends a write that still waits.
            tolerate(self.stream.shutdown(Shutdown::Both));
            answer
        })
    }

    /// Leaves, whatever is outstanding.
    pub fn leave(self, how: Leave) {
        if how == Leave::Reset {
            let at_once = libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            tolerate(setsockopt(&self.stream, Linger, &at_once));
        }
    }
}

/// Whether the bytes are a head and as much of a body as it announces.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.split_once("\r\n\r\n")
        .is_some_and(|(head, body)| body.len() >= content_length(head))
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or_default()
}

/// Whether the head of an answer announces the end of the connection.
fn says_close(answer: &[u8]) -> bool {
    let head = String::from_utf8_lossy(answer).to_ascii_lowercase();
    head.contains("\r\nconnection: close")
}

#[cfg(test)]
mod tests {
    use super::{is_whole, says_close};

    #[test]
    fn an_answer_says_when_the_connection_ends() {
        assert!(says_close(b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n"));
        assert!(!says_close(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"
        ));
    }

    #[test]
    fn an_answer_is_whole_with_the_last_byte_of_its_body() {
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"));
        assert!(is_whole(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
        ));
        assert!(is_whole(b"HTTP/1.1 204 No Content\r\n\r\n"));
    }
}
