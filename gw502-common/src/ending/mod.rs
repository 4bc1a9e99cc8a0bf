//! The rules that say, at a TCP state change, whether a connection of a proxy failed.
//!
//! Pure functions over [`SocketFacts`]: the kernel side calls [`judge`] and writes a record only
//! when it answers; tests call it with facts measured on real kernels. What comes out is the
//! *shape* of the end ([`Ending`]); naming a cause from it is the user side's work.

#![expect(
    clippy::inline_always,
    reason = "a BPF function that calls another passes structs through a stack of 512 bytes"
)]

use crate::tcp::{SHUTDOWN_BOTH, errno, state};
use crate::wire::{CONNECT_FAILED, Connection, SocketFacts, flag, last_word};

/// Number of slots an array needs that is indexed by [`Ending`] and [`CONNECT_FAILED`]; slot 0 is
/// unused.
pub const ENDINGS: usize = CONNECT_FAILED as usize + 1;

/// A FIN or RST this soon after the handshake, before any request byte, is the upstream turning a
/// connection away. Later it is the idle end of a pool's spare connection, which is no failure.
pub const AFTER_ACCEPT_NS: u64 = 1_000_000_000;

/// A TLS record with an alert is no longer: 5 bytes of header, 8 of nonce, 2 of alert, 16 of tag (TLS 1.2,
/// AES-GCM, RFC 5288; others are shorter). A request in TLS is longer, and so is one of HTTP/1.1 but the
/// shortest that can be written.
const ALERT_BYTES: u32 = 31;
/// A proxy that writes `close_notify` closes within so long.
const GOODBYE_NS: u64 = 20_000_000;

/// The shape of a connection's end, as the kernel sees it.
///
/// Also the `kind` of a record. Ids are never reused.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// RST answered the SYN.
    Refused = 1,
    /// An ICMP error answered the SYN.
    Icmp = 2,
    /// The kernel gave up on the SYN (`ETIMEDOUT`).
    SynTimedOut = 3,
    /// The proxy closed the socket while the SYN was unanswered.
    SynAbandoned = 4,
    /// No local port was free for the connect.
    NoLocalPort = 5,
    /// RST before any byte of an answer.
    Reset = 6,
    /// FIN before any byte of an answer.
    Closed = 7,
    /// The proxy closed while its request had no byte of answer.
    Abandoned = 8,
    /// The kernel gave up on an established connection.
    Vanished = 9,
}

impl Ending {
    /// Every ending, by number.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Icmp,
        Self::SynTimedOut,
        Self::SynAbandoned,
        Self::NoLocalPort,
        Self::Reset,
        Self::Closed,
        Self::Abandoned,
        Self::Vanished,
    ];
}

/// A record's `kind` that no version of the rules has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEnding(pub u8);

impl TryFrom<u8> for Ending {
    type Error = UnknownEnding;

    fn try_from(kind: u8) -> Result<Self, UnknownEnding> {
        Self::ALL
            .into_iter()
            .find(|ending| *ending as u8 == kind)
            .ok_or(UnknownEnding(kind))
    }
}

/// Whether a state change needs a look at all: the cheap test that runs for every TCP state change
/// of the host, before any map is touched.
///
/// The start of connections that came in (SYN_RECV, NEW_SYN_RECV) and the steps of a close that tell
/// nothing new (FIN_WAIT1 -> FIN_WAIT2, …) are not looked at.
#[inline(always)]
pub const fn matters(old: u8, new: u8) -> bool {
    match new {
        state::SYN_SENT | state::LISTEN => old == state::CLOSE,
        state::ESTABLISHED => old == state::SYN_SENT,
        state::FIN_WAIT1 | state::CLOSE_WAIT => old == state::ESTABLISHED,
        state::LAST_ACK => old == state::CLOSE_WAIT,
        state::CLOSE => matches!(
            old,
            state::SYN_SENT
                | state::ESTABLISHED
                | state::CLOSE_WAIT
                | state::FIN_WAIT1
                | state::FIN_WAIT2
                | state::CLOSING
                | state::LAST_ACK
                | state::LISTEN
        ),
        _ => false,
    }
}

/// What the state change in `facts` means for `connection`: an ending to report, or `None` when
/// nothing failed. `now_ns` is `CLOCK_BOOTTIME`.
///
/// Each rule stands with the trap that shaped it; the measurements are from Linux 5.10 to 7.2.
#[inline(always)]
pub fn judge(connection: &Connection, facts: &SocketFacts, now_ns: u64) -> Option<Ending> {
    if connection.flags & flag::REPORTED != 0 {
        return None;
    }
    match (facts.old_state, facts.new_state) {
        (state::SYN_SENT, state::CLOSE) => connecting(connection, facts),
        (state::ESTABLISHED, state::CLOSE_WAIT) => peer_closed(connection, facts, now_ns),
        (state::ESTABLISHED, state::FIN_WAIT1) => proxy_closed(facts),
        // The FIN was here, a request was sent all the same, and the proxy read the end of the
        // connection before the RST that its request meets.
        (state::CLOSE_WAIT, state::LAST_ACK) => {
            (outstanding(facts, 1) && !says_goodbye(facts)).then_some(Ending::Closed)
        }
        (_, state::CLOSE) => ended(connection, facts, now_ns),
        _ => None,
    }
}

/// SYN_SENT -> CLOSE: the connect did not succeed.
#[inline(always)]
const fn connecting(connection: &Connection, facts: &SocketFacts) -> Option<Ending> {
    Some(match unconnected(connection, facts) {
        // By TCP fast open the SYN waits for the first data, and none came: nobody was asked. (One
        // that waits for a neighbour's address counts as sent.)
        Ending::SynAbandoned if facts.segs_out == 0 => return None,
        ending => ending,
    })
}

/// How the connect did not succeed.
#[inline(always)]
const fn unconnected(connection: &Connection, facts: &SocketFacts) -> Ending {
    // connect() found no free source port: CLOSE -> SYN_SENT -> CLOSE within microseconds, no
    // segment out, no error on the socket (the errno goes straight to the caller).
    if facts.error == 0 && facts.segs_out == 0 && facts.sport == 0 {
        return Ending::NoLocalPort;
    }
    // A RST is a segment: it counts in segs_in. An ICMP port-unreachable sets the same errno and
    // does not.
    if connection.flags & flag::RST_RECEIVED != 0
        || (facts.error == errno::ECONNREFUSED && facts.segs_in > 0)
    {
        return Ending::Refused;
    }
    // The error queue first. When the ICMP error arrives while connect() still holds the socket
    // (always so on one host), sk_err stays 0 and the soft error is gone as soon as the proxy
    // asks SO_ERROR; only the queue still knows. ICMPv6 never fills the queue, so there the soft
    // or the hard error has to do.
    if facts.icmp_origin != 0 {
        return Ending::Icmp;
    }
    match facts.error {
        errno::ETIMEDOUT => Ending::SynTimedOut,
        // Closed by the proxy, or destroyed by `ss -K`: nobody answered up to then.
        0 | errno::ECONNABORTED if facts.soft_error == 0 => Ending::SynAbandoned,
        _ => Ending::Icmp,
    }
}

/// ESTABLISHED -> CLOSE_WAIT: the upstream's FIN arrived. It is already counted in
/// `bytes_received`, as one.
#[inline(always)]
const fn peer_closed(connection: &Connection, facts: &SocketFacts, now_ns: u64) -> Option<Ending> {
    let turned_away = facts.wrote_nothing() && just_accepted(connection, now_ns);
    if outstanding(facts, 1) || (turned_away && facts.bytes_received <= 1) {
        Some(Ending::Closed)
    } else {
        None
    }
}

/// ESTABLISHED -> FIN_WAIT1: the proxy closed, or shut down its sending side.
///
/// A half-close after the request is how some clients say "that was all": healthy, and told from
/// a close by `sk_shutdown`.
#[inline(always)]
const fn proxy_closed(facts: &SocketFacts) -> Option<Ending> {
    if facts.shutdown == SHUTDOWN_BOTH && outstanding(facts, 0) && !says_goodbye(facts) {
        Some(Ending::Abandoned)
    } else {
        None
    }
}

/// Any state after the handshake -> CLOSE.
#[inline(always)]
fn ended(connection: &Connection, facts: &SocketFacts, now_ns: u64) -> Option<Ending> {
    // The FIN that led to CLOSE_WAIT counts in bytes_received and is no answer.
    let fin = u64::from(facts.old_state == state::CLOSE_WAIT);
    // `tcp_done_with_error()` sets sk_err a moment before the state changes, and a proxy that asks
    // SO_ERROR on another CPU takes it away in between. That a RST came is remembered all the same.
    let error = match facts.error {
        0 if connection.flags & flag::RST_RECEIVED != 0 => errno::ECONNRESET,
        error => error,
    };
    match error {
        // HAProxy ends a connection with SO_LINGER 0, by RST and straight to CLOSE: after an
        // exchange that is its way to say goodbye, before any answer it gave up waiting.
        0 if facts.old_state == state::ESTABLISHED => {
            (outstanding(facts, 0) && !says_goodbye(facts)).then_some(Ending::Abandoned)
        }
        // The same after the upstream's FIN: it reads the end with its request unanswered.
        0 => (facts.old_state == state::CLOSE_WAIT
            && outstanding(facts, fin)
            && !says_goodbye(facts))
        .then_some(Ending::Closed),
        // EPIPE is a RST that met a socket in CLOSE_WAIT (tcp_reset()).
        errno::ECONNRESET | errno::EPIPE => {
            let turned_away = facts.bytes_received <= fin
                && facts.wrote_nothing()
                && just_accepted(connection, now_ns);
            let goodbye = facts.old_state == state::CLOSE_WAIT && says_goodbye(facts);
            (turned_away || (outstanding(facts, fin) && !goodbye)).then_some(Ending::Reset)
        }
        // `ss -K`: an administrator ended it. The proxy lost its answer all the same, but neither
        // it nor the upstream failed.
        errno::ECONNABORTED => None,
        // Retransmissions or keep-alive probes went unanswered (ETIMEDOUT), or an ICMP error was
        // noted meanwhile and is reported in its place. A connection that was idle, nothing in
        // flight and its request answered, takes no request down with it.
        _ => (facts.unacked_bytes > 0 || outstanding(facts, fin)).then_some(Ending::Vanished),
    }
}

/// A request is out and no byte of its answer has come. `fin` is 1 when `bytes_received` counts a
/// FIN.
///
/// A connection that never received anything answers by itself. On a reused one it is the order of
/// the last data in either direction that tells ([`SocketFacts::last_word`]).
#[inline(always)]
const fn outstanding(facts: &SocketFacts, fin: u64) -> bool {
    !facts.wrote_nothing() && (facts.bytes_received <= fin || facts.last_word == last_word::OURS)
}

/// What the proxy said last, after an answer, may be the end of a TLS session and no request: proxies
/// write a `close_notify` (RFC 8446 section 6.1) and close in the same moment.
///
/// After the upstream's FIN an alert is all that is in flight, one record of at most
/// [`ALERT_BYTES`]. Before it the time tells, for an alert may be acknowledged at once: nobody gives up on a
/// request that has just left.
#[inline(always)]
const fn says_goodbye(facts: &SocketFacts) -> bool {
    let fin = (facts.old_state == state::CLOSE_WAIT) as u64;
    let in_flight = facts.unacked_bytes.wrapping_add(facts.unsent_bytes);
    let is_short = in_flight <= ALERT_BYTES;
    let is_alert = if fin != 0 {
        in_flight > 0
    } else {
        facts.since_request_ns < GOODBYE_NS
    };
    facts.bytes_received > fin && is_short && is_alert
}

#[inline(always)]
const fn just_accepted(connection: &Connection, now_ns: u64) -> bool {
    now_ns.saturating_sub(connection.established_ns) < AFTER_ACCEPT_NS
}

#[cfg(test)]
mod tests;
