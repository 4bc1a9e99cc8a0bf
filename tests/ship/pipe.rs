//! A sink as the agent drives it: on a thread with a runtime of its own.

use std::time::Duration;

use gw502_tests::deadline;
use gw502_userspace::sink::ship::{DeliverError, Record, Sink};
use tokio::runtime::{Builder, Runtime};

/// A sink and its runtime.
pub(crate) struct Pipe<S> {
    runtime: Runtime,
    sink: S,
}

impl<S: Sink> Pipe<S> {
    pub(crate) fn new(sink: S) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        Self { runtime, sink }
    }

    /// One attempt.
    pub(crate) fn deliver(&mut self, records: &[Record]) -> Result<(), DeliverError> {
        self.runtime.block_on(self.sink.deliver(records))
    }

    /// As often as it takes.
    #[track_caller]
    pub(crate) fn insist(&mut self, records: &[Record]) {
        let mut last = None;
        let done = deadline::holds_within(Duration::from_secs(20), || {
            last = self.deliver(records).err();
            last.is_none()
        });
        assert!(done, "not delivered: {last:?}");
    }
}
