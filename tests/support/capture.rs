//! The lines a process writes, collected while it runs.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::deadline::Deadline;

/// The lines read from one pipe so far; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Capture(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Capture {
    /// Reads `pipe` line by line on a thread of its own until it ends.
    pub fn start(pipe: impl Read + Send + 'static) -> Self {
        let capture = Self::default();
        let shared = Arc::clone(&capture.0);
        drop(thread::spawn(move || shared.collect(pipe)));
        capture
    }

    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .clone()
    }

    /// Every line so far, as it was written.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines()
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }

    /// Waits until the lines are `enough`, or the pipe has ended, or `limit` has passed, and says
    /// whether they are enough.
    pub fn wait(&self, limit: Duration, enough: impl Fn(&[String]) -> bool) -> bool {
        let deadline = Deadline::after(limit);
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !enough(&state.lines) && !state.ended && !deadline.passed() {
            state = self
                .0
                .changed
                .wait_timeout(state, deadline.left())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        enough(&state.lines)
    }

    /// Waits until nothing new was written for `quiet`, at most `limit`.
    pub fn settle(&self, quiet: Duration, limit: Duration) {
        let deadline = Deadline::after(limit);
        loop {
            let seen = self.lines().len();
            let grew = self.wait(quiet.min(deadline.left()), |lines| lines.len() > seen);
            if !grew || deadline.passed() {
                return;
            }
        }
    }

    /// Waits until the writer has closed its end; `false` when `limit` passed first.
    pub fn wait_end(&self, limit: Duration) -> bool {
        self.wait(limit, |_| false);
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended
    }
}

impl Shared {
    fn collect(&self, pipe: impl Read) {
        let mut reader = BufReader::new(pipe);
        let mut raw = Vec::new();
        // A read error is an end too: there is nobody to tell but the reader of the lines.
        while matches!(reader.read_until(b'\n', &mut raw), Ok(1..)) {
            let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
            self.state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .lines
                .push(line);
            self.changed.notify_all();
            raw.clear();
        }
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::Capture;

    const LONG: Duration = Duration::from_secs(5);

    #[test]
    fn lines_arrive_while_the_writer_lives() {
        let (mut writer, reader) = UnixStream::pair().expect("a socket pair");
        let capture = Capture::start(reader);
        writer.write_all(b"one\ntwo\nthr").expect("written");
        assert!(capture.wait(LONG, |lines| lines.len() == 2));
        assert_eq!(capture.text(), "one\ntwo\n");
    }

    #[test]
    fn the_end_stops_a_wait_and_keeps_the_last_half_line() {
        let capture = Capture::start(&b"only"[..]);
        assert!(!capture.wait(LONG, |lines| lines.len() == 2));
        assert!(capture.wait_end(LONG));
        assert_eq!(capture.lines(), ["only"]);
    }
}
