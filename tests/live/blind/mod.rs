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
mod int80;
mod mptcp;
mod uring;

use std::time::Duration;

use gw502_tests::agent::{Agent, Session};
use gw502_tests::expect;
use gw502_tests::lab::{Lab, Path};
use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::scene::LATE;

/// An unusual way to connect.
struct Spot {
    name: &'static str,
    /// Makes a `connect()` that fails; `None` when this kernel or processor has no such way.
    connect: fn(&Lab) -> Option<Errno>,
    fails_with: Errno,
    /// Whether trampolines and kprobes are blind to it; programs on system calls always are.
    for_functions: bool,
}

const SPOTS: [Spot; 4] = [
    Spot {
        name: "io_uring",
        connect: uring::connect,
        fails_with: Errno::ENOENT,
        for_functions: false,
    },
    Spot {
        name: "process_of_32_bits",
        connect: int80::connect,
        fails_with: Errno::ENOENT,
        for_functions: false,
    },
    Spot {
        name: "mptcp_socket",
        connect: mptcp::connect,
        fails_with: Errno::EACCES,
        for_functions: true,
    },
    Spot {
        name: "fast_open_by_sendto",
        connect: fastopen::connect,
        fails_with: Errno::EACCES,
        for_functions: true,
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |spot: Spot| Trial::test(format!("blind::{}", spot.name), move || look(&spot));
    SPOTS.into_iter().map(trial).collect()
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
    match (is_blind(spot, &session), seen) {
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

/// Whether the backend that gw502 said it uses is declared blind to it.
fn is_blind(spot: &Spot, session: &Session) -> bool {
    spot.for_functions || session.stderr.contains("syscall-tracepoint")
}
