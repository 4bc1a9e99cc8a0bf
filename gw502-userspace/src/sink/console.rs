//! Standard output, line by line.

use std::io::{self, Stdout, Write as _};

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The reader went away (`… | head`): the end of the run, but no error of it.
    #[error("the reader of standard output is gone")]
    Gone,
    /// Anything else.
    #[error("cannot write to standard output")]
    Failed(#[source] io::Error),
}

/// Standard output.
#[derive(Debug)]
pub struct Console {
    out: Stdout,
}

impl Default for Console {
    fn default() -> Self {
        Self { out: io::stdout() }
    }
}

impl Console {
    /// Writes all of `bytes` and flushes: a person or a pipe waits for it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let mut out = self.out.lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => SinkError::Gone,
                _ => SinkError::Failed(error),
            })
    }
}
