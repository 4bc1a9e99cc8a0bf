//! A path with delay: two TUN devices and a relay that holds each packet back.
//!
//! Over loopback and veth an answer is processed while the caller still is inside `connect()`,
//! with the socket locked. Over a network it arrives later, when nobody holds the lock, and the
//! kernel takes another way. The relay makes that second way happen on one machine, on kernels
//! without netem too.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::deadline;
use crate::netns::Namespace;
use crate::tolerate;

/// How long a packet is held back, each way.
pub const DELAY: Duration = Duration::from_millis(20);

/// Larger than any packet: the devices keep their default MTU of 1500.
const PACKET_BYTES: usize = 2048;

/// Joins two devices of the same name in two namespaces until it is dropped.
#[derive(Debug)]
pub struct Relay {
    stop: Option<UnixStream>,
    pumps: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Makes the device `name` in both namespaces and starts carrying packets between them.
    #[must_use]
    #[track_caller]
    pub fn join(name: &str, left: &Namespace, right: &Namespace) -> Self {
        let left = Arc::new(left.enter(|| open_tun(name)));
        let right = Arc::new(right.enter(|| open_tun(name)));
        let (stop, stopped) = UnixStream::pair().expect("a socket pair");
        let pumps = [(Arc::clone(&left), Arc::clone(&right)), (right, left)]
            .into_iter()
            .map(|(from, to)| {
                let stopped = stopped.try_clone().expect("a second handle");
                thread::spawn(move || pump(&from, &to, &stopped))
            })
            .collect();
        Self {
            stop: Some(stop),
            pumps,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Closing our end wakes both pumps.
        drop(self.stop.take());
        for pump in self.pumps.drain(..) {
            tolerate(pump.join());
        }
    }
}

/// Carries packets one way until `stopped` is hung up.
fn pump(mut from: &File, mut to: &File, stopped: &UnixStream) {
    let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut packet = [0; PACKET_BYTES];
    loop {
        let mut waiting = [
            PollFd::new(from.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        let timeout = held
            .front()
            .map_or(PollTimeout::NONE, |(due, _)| until(*due));
        if poll(&mut waiting, timeout).is_err() || waiting[1].any() == Some(true) {
            return;
        }
        while let Ok(length) = from.read(&mut packet) {
            held.push_back((
                deadline::now() + DELAY,
                packet.iter().copied().take(length).collect(),
            ));
        }
        while held.front().is_some_and(|(due, _)| *due <= deadline::now()) {
            if let Some((_, due)) = held.pop_front() {
                // A device that is going down refuses packets: a lost packet, as on any path.
                tolerate(to.write_all(&due));
            }
        }
    }
}

/// The poll timeout that ends at `due`, rounded up to a millisecond.
fn until(due: Instant) -> PollTimeout {
    let left = due.saturating_duration_since(deadline::now());
    PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::ZERO)
}

/// Opens the TUN device `name` in the network namespace of the calling thread.
#[track_caller]
fn open_tun(name: &str) -> File {
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .expect("/dev/net/tun (modprobe tun) opened by root");
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).expect("two low flags"),
        },
    };
    // The last byte stays zero: the name ends there at the latest.
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from.cast_signed();
    }
    // SAFETY: TUNSETIFF reads and writes one ifreq, which `request` is and which outlives the call;
    // the descriptor is open.
    let answer = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(
        answer,
        0,
        "cannot make {name}: {}",
        std::io::Error::last_os_error()
    );
    tun
}
