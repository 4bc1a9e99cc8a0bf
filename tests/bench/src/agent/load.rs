//! The loops themselves.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::getppid;

use crate::clock;
use crate::statistics::Dice;

/// The clock is looked at after so many, so that looking costs nothing.
pub(super) const BATCH: u64 = 64;

/// Part of each burst that warms up and is not counted.
const WARM_UP: Duration = Duration::from_millis(20);

/// What the loops need, made once.
#[derive(Debug)]
pub(super) struct Loops {
    listener: TcpListener,
    address: SocketAddr,
    dice: Dice,
}

/// An address at which nobody listens, another one for each number.
pub(crate) const fn nobody(number: u32) -> SocketAddrV4 {
    let [.., high, low] = number.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), 9)
}

impl Loops {
    pub(super) fn new() -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        let address = listener.local_addr().context("cannot read our own port")?;
        Ok(Self {
            listener,
            address,
            dice: Dice(1),
        })
    }

    /// Does what the order says and returns the numbers of the answer.
    pub(super) fn serve(&mut self, order: &str) -> Result<Vec<i64>> {
        let words: Vec<&str> = order.split(' ').collect();
        match words.as_slice() {
            ["connect", time] => {
                let time = Duration::from_millis(time.parse()?);
                repeat(WARM_UP.min(time), || self.connection())?;
                repeat(time, || self.connection())
            }
            ["syscalls", time] => {
                let time = Duration::from_millis(time.parse()?);
                let call = || {
                    // Nothing in the C library answers it from memory.
                    std::hint::black_box(getppid());
                    Ok(())
                };
                repeat(WARM_UP.min(time), call)?;
                repeat(time, call)
            }
            ["refused", count, gap] => self.refused(count.parse()?, gap.parse()?),
            _ => bail!("`{order}` is no order"),
        }
    }

    /// One healthy connection from its start to its end.
    ///
    /// The client closes first, as one that is content. It does so in two steps, because the kernel
    /// makes a TIME_WAIT socket of one that is closed whole, and here it may not make any.
    fn connection(&self) -> Result<()> {
        let client = TcpStream::connect(self.address).context("cannot connect")?;
        let (server, _) = self.listener.accept().context("cannot accept")?;
        client
            .shutdown(Shutdown::Write)
            .context("cannot shut down")?;
        drop(server);
        drop(client);
        Ok(())
    }

    /// Connects that are refused, `gap_ms` apart on average: never in step with anybody's timer.
    fn refused(&mut self, count: u32, gap_ms: usize) -> Result<Vec<i64>> {
        let mut times = Vec::new();
        for number in 0..count {
            match TcpStream::connect(nobody(number)) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    times.push(clock::now()?);
                }
                Err(error) => return Err(error).context("a connect failed otherwise than refused"),
                Ok(_) => bail!("somebody listens at {}", nobody(number)),
            }
            let pause = self.dice.below(2000 * gap_ms).unwrap_or(0);
            std::thread::sleep(Duration::from_micros(u64::try_from(pause)?));
        }
        Ok(times)
    }
}

/// How often, in how many nanoseconds, and in how many the batch of the middle.
fn repeat(time: Duration, mut once: impl FnMut() -> Result<()>) -> Result<Vec<i64>> {
    let start = clock::now()?;
    let end = start + i64::try_from(time.as_nanos())?;
    let mut batches = Vec::with_capacity(1 << 14);
    let mut before = start;
    while before < end {
        for _ in 0..BATCH {
            once()?;
        }
        let now = clock::now()?;
        batches.push(now - before);
        before = now;
    }
    let count = u64::try_from(batches.len())? * BATCH;
    batches.sort_unstable();
    let typical = batches.get(batches.len() / 2).copied().unwrap_or(0);
    Ok(vec![i64::try_from(count)?, before - start, typical])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_many_addresses() {
        assert_eq!(nobody(0).to_string(), "127.1.0.0:9");
        assert_eq!(nobody(258).to_string(), "127.1.1.2:9");
    }

    #[test]
    fn a_burst_lasts_as_long_as_ordered() {
        let numbers = Loops::new().unwrap().serve("syscalls 5").unwrap();
        assert!(numbers[0] >= 64 && numbers[1] >= 5_000_000, "{numbers:?}");
    }

    #[test]
    fn connections_are_made_and_closed() {
        let numbers = Loops::new().unwrap().serve("connect 1").unwrap();
        assert!(numbers[0] >= 64, "{numbers:?}");
    }

    #[test]
    fn an_order_that_makes_no_sense_is_refused() {
        let mut loops = Loops::new().unwrap();
        assert!(loops.serve("sing").is_err());
        assert!(loops.serve("connect soon").is_err());
    }
}
