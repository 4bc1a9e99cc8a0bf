//! The ring buffer of failure records, as something to wait for.

use std::io;

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::decode::{DecodeError, Decoded, decode};

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

    /// Waits until there may be records, and calls `take` for each. Its error ends the drain.
    pub async fn ready<E: From<io::Error>>(
        &mut self,
        take: impl FnMut(Result<Decoded, DecodeError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut ready = self.inner.readable_mut().await?;
        // Cleared first: a record that comes while we drain raises it again.
        ready.clear_ready();
        drain(ready.get_inner_mut(), take)
    }

    /// Calls `take` for each record that is there now.
    pub fn drain<E>(
        &mut self,
        take: impl FnMut(Result<Decoded, DecodeError>) -> Result<(), E>,
    ) -> Result<(), E> {
        drain(self.inner.get_mut(), take)
    }
}

fn drain<E>(
    ring: &mut RingBuf<MapData>,
    mut take: impl FnMut(Result<Decoded, DecodeError>) -> Result<(), E>,
) -> Result<(), E> {
    while let Some(bytes) = ring.next() {
        take(decode(&bytes))?;
    }
    Ok(())
}
