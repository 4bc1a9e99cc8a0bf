//! Words that the sentences share.

use std::fmt;

use gw502_common::tcp::state;

use crate::event::{Evidence, Exit, Failure, Owner, TcpState};

/// Microseconds, for a sentence: `0.2 ms`, `60.0 s`.
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us @ 0..1_000_000 => write!(f, "{}.{} ms", us / 1000, us % 1000 / 100),
            us => write!(f, "{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        }
    }
}

/// A process in a sentence: `php-fpm8.2[4090]`, with its unit where that is known.
pub(super) fn who(owner: &Owner) -> String {
    match &owner.unit {
        Some(unit) => printable(&format!("{owner} ({unit})")),
        None => printable(&owner.to_string()),
    }
}

/// The proxy's name.
pub(super) fn proxy(failure: &Failure) -> String {
    printable(&failure.proxy.comm)
}

/// The upstream's address.
pub(super) fn upstream(failure: &Failure) -> String {
    printable(&failure.upstream.to_string())
}

/// How long the failure took.
pub(super) const fn took(failure: &Failure) -> Time {
    Time(failure.elapsed_us)
}

/// The first fact of a kind.
pub(super) fn find<'a, T>(
    failure: &'a Failure,
    fact: impl Fn(&'a Evidence) -> Option<T>,
) -> Option<T> {
    failure.evidence.iter().find_map(fact)
}

/// Whether there is a fact of a kind.
pub(super) fn has(failure: &Failure, is: impl Fn(&Evidence) -> bool) -> bool {
    failure.evidence.iter().any(is)
}

/// Names may hold any byte; a terminal must not obey them.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// No evidence is more telling than another.
pub(super) const fn none(_: &Evidence) -> bool {
    false
}

/// Whether RST answered the SYN.
pub(super) fn answered_by_rst(failure: &Failure) -> bool {
    has(failure, |fact| {
        matches!(
            fact,
            Evidence::RstReceived {
                state: TcpState(state::SYN_SENT)
            }
        )
    })
}

/// How a process ended: `was killed by SIGKILL (OOM)`.
pub(super) fn ended(exit: &Exit) -> String {
    if exit.signal.is_some() {
        printable(&format!("was {exit}"))
    } else {
        exit.to_string()
    }
}
