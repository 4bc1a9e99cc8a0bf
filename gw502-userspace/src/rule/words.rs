//! Words that the sentences share.

use std::fmt;

use gw502_common::tcp::state;

use crate::event::{Evidence, Exit, Failure, Owner, Party, TcpState};

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

/// An ICMP error, as far as it is known.
pub(super) const fn is_icmp(fact: &Evidence) -> bool {
    matches!(
        fact,
        Evidence::IcmpError { .. } | Evidence::IcmpErrno { .. }
    )
}

/// The ICMP error that answered, in words.
pub(super) fn icmp(failure: &Failure) -> Option<String> {
    find(failure, |fact| is_icmp(fact).then(|| fact.to_string()))
}

/// That the one who listened there does not any more.
pub(super) const fn is_listeners_end(fact: &Evidence) -> bool {
    matches!(
        fact,
        Evidence::ListenerExited { .. } | Evidence::ListenerClosed { .. }
    )
}

/// A sentence, and what became of who listened there.
pub(super) fn with_listeners_end(failure: &Failure, sentence: String) -> String {
    let end = find(failure, |fact| match fact {
        Evidence::ListenerExited {
            owner,
            exit,
            ago_us,
        } => Some(format!(
            "{}, which listened here, {} {} before",
            who(owner),
            ended(exit),
            Time(*ago_us)
        )),
        Evidence::ListenerClosed {
            owner,
            ago_us,
            ended,
        } => Some(format!(
            "{} stopped listening {} before, and {}",
            who(owner),
            Time(*ago_us),
            if *ended { "has ended" } else { "still ran" }
        )),
        _ => None,
    });
    match end {
        Some(end) => format!("{sentence}: {end}."),
        None => sentence + ".",
    }
}

/// Whether the accept queue overflowed, by this connection or while it waited.
pub(super) fn queue_overflowed(failure: &Failure) -> bool {
    has(
        failure,
        |fact| matches!(fact, Evidence::AcceptQueueFull { drops, .. } if *drops > 0),
    )
}

/// Whether the upstream's kernel took nothing of the connection, although it was established.
pub(super) fn never_taken(failure: &Failure) -> bool {
    failure.bytes_received == 0
        && has(failure, |fact| {
            matches!(
                fact,
                Evidence::NothingSent
                    | Evidence::RequestSent {
                        acknowledged: false,
                        ..
                    }
            )
        })
}

/// Who gave up: the proxy, by its name, or the kernel.
pub(super) fn who_gave_up(failure: &Failure) -> String {
    let by_kernel = has(failure, |fact| {
        matches!(fact, Evidence::GaveUp { by: Party::Kernel })
    });
    if by_kernel {
        "the kernel".to_owned()
    } else {
        proxy(failure)
    }
}

/// What is known of the upstream's side of a connection.
pub(super) const fn is_upstreams_side(fact: &Evidence) -> bool {
    matches!(
        fact,
        Evidence::UpstreamExited { .. }
            | Evidence::UpstreamReset { .. }
            | Evidence::UpstreamProcess { .. }
    )
}

/// The same at the end of a sentence.
pub(super) fn upstreams_side(failure: &Failure) -> String {
    let process = find(failure, |fact| match fact {
        Evidence::UpstreamProcess { owner } => Some(who(owner)),
        _ => None,
    });
    let did = find(failure, |fact| match fact {
        Evidence::UpstreamReset { reason } => Some(reset_reason(reason)),
        _ => None,
    });
    match (process, did) {
        (Some(process), Some(did)) => format!(": {process} {did}"),
        (None, Some(did)) => format!(": its process {did}"),
        (Some(process), None) => format!(": {process} held the other end"),
        (None, None) => String::new(),
    }
}

/// What a program did that made its kernel send RST (`enum sk_rst_reason`, `include/net/rstreason.h`).
fn reset_reason(reason: &str) -> String {
    match reason {
        "TCP_ABORT_ON_CLOSE" => "closed it with data unread".to_owned(),
        "TCP_ABORT_ON_DATA" => "had closed it when data came".to_owned(),
        "TCP_TIMEWAIT_SOCKET" => "had closed it before".to_owned(),
        "TCP_STATE" | "TCP_ABORT_ON_LINGER" => "aborted it".to_owned(),
        other => printable(&format!("reset it ({other})")),
    }
}

/// Who it was that said that there is no way.
pub(super) const fn is_routing(fact: &Evidence) -> bool {
    matches!(fact, Evidence::OwnRouting) || is_icmp(fact)
}

/// Whether this host's own routing said so.
pub(super) fn by_own_routing(failure: &Failure) -> bool {
    has(failure, |fact| matches!(fact, Evidence::OwnRouting))
}

/// The errno in brackets, after a blank.
pub(super) fn errno(failure: &Failure) -> String {
    failure
        .errno
        .map(|errno| format!(" ({errno})"))
        .unwrap_or_default()
}
