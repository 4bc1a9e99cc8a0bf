//! The ring buffer of failure records, as something to wait for.

use std::io;

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::decode::{DecodeError, Decoded, decode};

/// Records read in one go. Then it is the turn of signals and of the clock: where failures come faster
/// than they are read, the ring is never empty.
pub const BATCH: usize = 4096;

/// The reading end of the ring.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Ring {
    inner: AsyncFd<RingBuf<MapData>>,
}

impl Ring {
    /// Registers the ring with the running event loop.
    pub fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring owns its descriptor and keeps it open and unchanged as long as it
        // lives, which is as long as the registration.
        let inner = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        Ok(Self {
            inner: inner.map_err(io::Error::from)?,
        })
    }

    /// Waits until there may be records, and calls `take` for each, [`BATCH`] at most. Its error ends
    /// the drain.
    pub async fn ready<E: From<io::Error>>(
        &mut self,
        take: impl FnMut(Result<Decoded, DecodeError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut ready = self.inner.readable_mut().await?;
        if drain(ready.get_inner_mut(), BATCH, take)? < BATCH {
            // A record that comes now raises it again: the event loop has not looked meanwhile.
            ready.clear_ready();
        } else {
            // Still raised, for the kernel wakes only a reader that has read everything.
            drop(ready);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Calls `take` for each record that is there now, `most` at most.
    pub fn drain<E>(
        &mut self,
        most: usize,
        take: impl FnMut(Result<Decoded, DecodeError>) -> Result<(), E>,
    ) -> Result<(), E> {
        drain(self.inner.get_mut(), most, take).map(drop)
    }
}

/// How many there were.
fn drain<E>(
    ring: &mut RingBuf<MapData>,
    most: usize,
    mut take: impl FnMut(Result<Decoded, DecodeError>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut count = 0;
    while count < most
        && let Some(bytes) = ring.next()
    {
        take(decode(&bytes))?;
        count += 1;
    }
    Ok(count)
}
