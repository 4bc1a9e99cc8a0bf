//! What the agent's sinks have in common: records go in, and are delivered or not.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A failure: `gw502.failure/1`.
    Failure,
    /// The state of an upstream has changed: `gw502.diagnosis/1`.
    Diagnosis,
}

/// What is shipped. The line of JSON is the record; whatever else a sink sends is made of it, so
/// that a record from the spool of an older gw502 is as good as one of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it tells.
    pub kind: Kind,
    /// One object without line feeds. It has `id` (the same again in each duplicate), and `run` and
    /// `sequence`, which counts from 1 in each run: what is missing was shed.
    pub json: Bytes,
}

/// Why records were not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// It may be better later: the receiver is gone, slow or full. Some may have arrived.
    #[error("{why}")]
    Later {
        /// What went wrong, in a line.
        why: String,
        /// How long the receiver asks to be left alone.
        after: Option<Duration>,
    },
    /// The receiver has understood, and does not want so many of them. The others have arrived.
    #[error("{refused} refused: {why}")]
    Never {
        /// How many.
        refused: u64,
        /// Its words, in a line.
        why: String,
    },
}

/// A delivery under way. Dropping it gives it up: the records are delivered again.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), DeliverError>> + Send + 'a>>;

/// Somewhere that records are shipped to. Each has a thread of its own: it may block.
pub trait Sink: Send {
    /// Delivers records in their order. `Ok` once the receiver has them, as far as its protocol can
    /// tell.
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a>;

    /// SIGHUP: somebody may have moved the file away.
    fn reopen(&mut self) {}
}

/// An error with its reasons, in a line.
pub fn in_a_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !line.contains(&more) {
            line = format!("{line}: {more}");
        }
        source = error.source();
    }
    line
}
