//! What gw502 declares not to see: each made on purpose, by a process that it watches.
//!
//! A trial makes a `connect()` that fails at once, in an unusual way. Where the backend in use is
//! declared blind to it (`gw502 doctor`), no event may come; else exactly one. A spot that is
//! declared and seen after all fails, too.
#![expect(
    clippy::print_stdout,
    reason = "`cargo xtask vm-test` reads the result in these words"
)]

mod fastopen;
mod http2;
mod int80;
mod mptcp;
mod seccomp;
mod uring;

use std::time::Duration;

use gw502_tests::agent::{self, Agent};
use gw502_tests::expect;
use gw502_tests::lab::{Lab, Path};
use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::scene::LATE;
use crate::steady;

/// An unusual way to connect.
struct Spot {
    name: &'static str,
    /// Makes a `connect()` that fails; `None` when this kernel or processor has no such way.
    connect: fn(&Lab) -> Option<Errno>,
    fails_with: Errno,
    /// What `gw502 doctor` calls it where it is not seen.
    id: &'static str,
}

const SPOTS: [Spot; 5] = [
    Spot {
        name: "io_uring",
        connect: uring::connect,
        fails_with: Errno::ENOENT,
        id: "io_uring",
    },
    Spot {
        name: "process_of_32_bits",
        connect: int80::connect,
        fails_with: Errno::ENOENT,
        id: "32-bit",
    },
    Spot {
        name: "mptcp_socket",
        connect: mptcp::connect,
        fails_with: Errno::EACCES,
        id: "mptcp-socket",
    },
    Spot {
        name: "fast_open_by_sendto",
        connect: fastopen::connect,
        fails_with: Errno::EACCES,
        id: "fast-open-by-sendto",
    },
    Spot {
        name: "forbidden_by_seccomp",
        connect: seccomp::connect,
        fails_with: Errno::EPERM,
        id: "seccomp",
    },
];

/// Spots that other trials make.
const MADE_ELSEWHERE: [(&str, &str); 10] = [
    ("netfilter-drops", "faults::syn_dropped"),
    ("many-connects-wait", "sockets::apache_waits_a_while"),
    ("http2-cancel", "blind::http2_cancel"),
    ("failed-neighbours", "faults::no_neighbour"),
    ("unix-sockets", "filters::"),
    ("refused-by-this-host", "filters::"),
    ("syns-at-full-queues", "faults::accept_queue_full"),
    ("handshakes-at-full-queues", "queues::"),
    ("cookies-at-full-queues", "queues::"),
    ("icmpv6-codes", "faults::icmp6_"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |spot: Spot| steady::trial(format!("blind::{}", spot.name), move || look(&spot));
    let more = [
        steady::trial("blind::http2_cancel", http2::cancel),
        steady::trial("blind::every_spot_has_a_trial", all_are_made),
    ];
    SPOTS.into_iter().map(trial).chain(more).collect()
}

/// What doctor declares and nobody ever made could be wrong.
fn all_are_made() -> Result<(), Failed> {
    let declared = agent::blind_spots();
    let made = |id: &String| {
        SPOTS.iter().any(|spot| spot.id == id)
            || MADE_ELSEWHERE.iter().any(|(known, _)| known == id)
    };
    let unknown: Vec<_> = declared.iter().filter(|id| !made(id)).collect();
    if unknown.is_empty() && !declared.is_empty() {
        return Ok(());
    }
    Err(format!("declared {declared:?}; no trial makes {unknown:?}").into())
}

fn look(spot: &Spot) -> Result<(), Failed> {
    let own = std::process::id().to_string();
    let agent = Agent::trace(&["--pid", &own]);
    let lab = Lab::new(Path::Loopback);
    let netns = lab.proxy().inode();
    let result = lab.proxy().enter(|| (spot.connect)(&lab));
    // As long as an event could take, if one is not to come.
    agent.wait_events(1, LATE.min(Duration::from_millis(500)), |_| true);
    let session = agent.stop(Signal::SIGINT);
    let Some(errno) = result else {
        println!("not there: this kernel has no such way to connect");
        return Ok(());
    };
    if errno != spot.fails_with {
        return Err(format!("connect() failed with {errno}, not {}", spot.fails_with).into());
    }
    let seen = expect::events_in(&session, netns).len();
    match (agent::blind_spots().contains(spot.id), seen) {
        (true, 0) => {
            println!("blind, as declared");
            Ok(())
        }
        (false, 1) => Ok(()),
        (declared, seen) => Err(format!(
            "declared blind: {declared}; {seen} events seen\n{}{}",
            session.stdout, session.stderr
        )
        .into()),
    }
}
