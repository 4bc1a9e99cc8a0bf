//! Connections that ended with a request outstanding, or right after the handshake.

use gw502_common::tcp::{errno, state};
use gw502_common::wire::{Connection, FailureRecord, SocketFacts, clients};

use super::waits::Waits;
use super::{Verdict, elapsed_ns, error, gave_up, payload_received};
use crate::event::{Cause, Errno, Evidence, Party, Phase, TcpState};
use crate::intake::decode::Ended;

/// RST from the upstream before any byte of an answer.
pub(super) fn reset(ended: &Ended) -> Verdict {
    let FailureRecord {
        connection, socket, ..
    } = &ended.record;
    let seen = Evidence::RstReceived {
        state: TcpState(connection.rst_state),
    };
    let cause = if socket.wrote_nothing() {
        Cause::ResetAfterAccept
    } else if raced(socket) {
        Cause::KeepaliveRace
    } else if socket.unsent_bytes > 0 || (socket.unacked_bytes > 0 && socket.untouched == 0) {
        Cause::ResetMidRequest
    } else {
        Cause::ResetBeforeResponse
    };
    let verdict = broken_off(cause, seen, ended);
    // The proxy may have taken the error away with SO_ERROR; that it was a RST is known.
    Verdict {
        errno: verdict.errno.or(Some(Errno(errno::ECONNRESET))),
        ..verdict
    }
}

/// FIN from the upstream before any byte of an answer.
pub(super) fn closed(ended: &Ended) -> Verdict {
    let socket = &ended.record.socket;
    let cause = if socket.wrote_nothing() {
        Cause::ClosedAfterAccept
    } else if raced(socket) {
        Cause::KeepaliveRace
    } else {
        Cause::ClosedBeforeResponse
    };
    broken_off(cause, Evidence::FinReceived, ended)
}

/// The upstream ended a connection before it knew of the request on it: the connection had carried
/// something before, or was spare, and
///
/// - the FIN that ended it acknowledges nothing of the request, or
/// - the FIN was here before the request left (what came then was a RST: EPIPE), or
/// - the RST came sooner than the request could have got there and back.
///
/// A RST that comes later may as well be an answer to the request, and the plain cause stands: it
/// carries an acknowledgement, but the kernel does not look at it.
const fn raced(socket: &SocketFacts) -> bool {
    let nothing_acknowledged = socket.unacked_bytes > 0 && socket.untouched != 0;
    if !nothing_acknowledged {
        return false;
    }
    if socket.old_state == state::CLOSE_WAIT {
        return true;
    }
    let too_soon =
        socket.rtt_min_us != u32::MAX && socket.since_request_ns < socket.rtt_min_us as u64 * 1000;
    payload_received(socket) > 0 && (socket.new_state == state::CLOSE_WAIT || too_soon)
}

fn broken_off(cause: Cause, seen: Evidence, ended: &Ended) -> Verdict {
    let FailureRecord {
        connection, socket, ..
    } = &ended.record;
    let errno = error(socket);
    if socket.wrote_nothing() {
        let evidence = vec![seen, Evidence::NothingSent];
        return Verdict {
            cause,
            phase: Phase::Idle,
            errno,
            evidence,
        };
    }
    let mut evidence = vec![seen, request(socket)];
    evidence.extend(retransmitted(connection));
    if payload_received(socket) > 0 {
        let idle = idle_before_ns(&ended.record);
        evidence.extend(idle.map(|ns| Evidence::IdleBefore { idle_us: ns / 1000 }));
    }
    Verdict {
        cause,
        phase: Phase::Request,
        errno,
        evidence,
    }
}

/// So long must data have been repeated, or the upstream not have read, to be trouble by itself.
const TROUBLE_NS: u64 = 1_000_000_000;

/// The proxy closed while its request had no byte of answer.
///
/// To TCP a time-out of the proxy and a client that left look alike. A path that is dead, or an
/// upstream that does not read, is trouble whoever ends it.
pub(super) fn abandoned(ended: &Ended, waits: &mut Waits) -> Verdict {
    let FailureRecord {
        connection, socket, ..
    } = &ended.record;
    let phase = Phase::Request;
    let long = elapsed_ns(phase, ended) >= TROUBLE_NS;
    let mut evidence = vec![request(socket)];
    evidence.extend(retransmitted(connection));
    if socket.unsent_bytes > 0 {
        evidence.push(Evidence::Unsent {
            bytes: socket.unsent_bytes,
        });
    }
    let cause = if long && socket.unacked_bytes > 0 && connection.data_retransmits > 0 {
        Cause::PeerVanished
    } else if long && socket.unsent_bytes > 0 && socket.clients != clients::GONE {
        Cause::SendStalled
    } else {
        let (cause, why) = gave_up(phase, Cause::ResponseTimeout, ended, waits);
        evidence.extend(why);
        cause
    };
    evidence.push(Evidence::GaveUp { by: Party::Proxy });
    Verdict {
        cause,
        phase,
        errno: error(socket),
        evidence,
    }
}

/// The kernel gave up on an established connection.
pub(super) fn vanished(connection: &Connection, socket: &SocketFacts) -> Verdict {
    let outstanding = payload_received(socket) == 0 || socket.unacked_bytes > 0;
    let mut evidence = Vec::new();
    if socket.probes_out > 0 && socket.unacked_bytes == 0 {
        evidence.push(Evidence::ProbesUnanswered {
            probes: socket.probes_out,
        });
    }
    if payload_received(socket) == 0 {
        evidence.push(request(socket));
    }
    evidence.extend(retransmitted(connection));
    evidence.extend(error(socket).map(|errno| Evidence::ConnectionError { errno }));
    evidence.push(Evidence::GaveUp { by: Party::Kernel });
    Verdict {
        cause: Cause::PeerVanished,
        phase: if outstanding {
            Phase::Request
        } else {
            Phase::Idle
        },
        errno: error(socket),
        evidence,
    }
}

/// How long nothing had arrived when the request left. The kernel keeps that moment in jiffies;
/// how long one is follows from the connection's own age, measured in both.
fn idle_before_ns(record: &FailureRecord) -> Option<u64> {
    /// `CONFIG_HZ`, `kernel/Kconfig.hz`.
    const RATES: [u64; 4] = [100, 250, 300, 1000];
    let FailureRecord {
        header,
        connection,
        socket,
        ..
    } = record;
    let ticks = socket.jiffies.checked_sub(connection.start_jiffies)?;
    let age_ns = header.at_ns.saturating_sub(connection.start_ns);
    if ticks < 25 {
        return None;
    }
    let measured = ticks.saturating_mul(1_000_000_000) / age_ns.max(1);
    let rate = RATES
        .into_iter()
        .min_by_key(|rate| rate.abs_diff(measured))?;
    let quiet_ticks = low_half(socket.jiffies).wrapping_sub(socket.received_jiffies);
    let quiet_ns = u64::from(quiet_ticks) * (1_000_000_000 / rate);
    Some(quiet_ns.saturating_sub(socket.since_request_ns))
}

/// The low 32 bits.
pub(super) const fn low_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

const fn request(socket: &SocketFacts) -> Evidence {
    Evidence::RequestSent {
        bytes: socket.bytes_sent,
        acknowledged: socket.unacked_bytes == 0,
    }
}

fn retransmitted(connection: &Connection) -> Option<Evidence> {
    let times = connection.data_retransmits;
    (times > 0).then_some(Evidence::Retransmitted { times })
}
