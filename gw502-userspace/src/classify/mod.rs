//! Pure: what a decoded record means. The kernel side found the shape of the end; here it gets a
//! cause, and each fact that led to it is put down as evidence.
//!
//! A cause needs its evidence. Without it the plain cause of the class stands.

mod calls;
mod established;
mod icmp;
mod queues;
mod waits;

use gw502_common::ending::Ending;
use gw502_common::hooks::Backend;
use gw502_common::tcp::{errno, state};
use gw502_common::wire::{Connection, FailureRecord, RecordHeader, SocketFacts, clients};

use crate::event::{
    Cause, Class, Endpoint, Errno, Evidence, Failure, Party, Phase, Proxy, TcpState, Upstream,
    address,
};
use crate::intake::decode::{Decoded, Ended};

pub use waits::whole_seconds;

use waits::Waits;

/// What a record means.
struct Verdict {
    cause: Cause,
    phase: Phase,
    errno: Option<Errno>,
    evidence: Vec<Evidence>,
}

impl Verdict {
    /// The class: that of the cause, but for the one cause that belongs to two.
    const fn class(&self, ending: Ending) -> Class {
        match (self.cause, ending) {
            (Cause::KeepaliveRace, Ending::Closed) => Class::Closed,
            (cause, _) => cause.class(),
        }
    }
}

/// Names causes, record by record, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classifier {
    waits: Waits,
}

impl Classifier {
    /// Names the cause of a record. `lost_before` is the number of records missing before it.
    pub fn classify(&mut self, decoded: &Decoded, lost_before: u64) -> Failure {
        match decoded {
            Decoded::Ended(ended) => {
                let verdict = queues::behind(verdict(ended, &mut self.waits), ended);
                failure(ended, verdict, lost_before)
            }
            Decoded::Call(call) => calls::failure(call, lost_before),
        }
    }
}

fn failure(ended: &Ended, verdict: Verdict, lost_before: u64) -> Failure {
    let FailureRecord {
        header,
        connection,
        socket,
        ..
    } = &ended.record;
    Failure {
        class: verdict.class(ended.ending),
        local: (socket.sport != 0).then(|| Endpoint {
            address: address(socket.saddr),
            port: socket.sport,
        }),
        elapsed_us: elapsed_ns(verdict.phase, ended) / 1000,
        syn_retransmits: connection.syn_retransmits,
        rtt_us: (socket.rtt_us != 0).then_some(socket.rtt_us),
        bytes_sent: socket.bytes_sent,
        bytes_received: payload_received(socket),
        lost_before,
        ..never_connected(header, connection, verdict)
    }
}

/// What is known of every attempt, also of one that nothing was sent for.
fn never_connected(header: &RecordHeader, connection: &Connection, verdict: Verdict) -> Failure {
    let Verdict {
        cause,
        phase,
        errno,
        evidence,
    } = verdict;
    Failure {
        at_ns: header.at_ns,
        cpu: header.cpu,
        class: cause.class(),
        cause,
        errno,
        phase,
        upstream: Upstream::Tcp(Endpoint {
            address: address(connection.daddr),
            port: connection.dport,
        }),
        upstream_name: None,
        local: None,
        netns: connection.netns,
        proxy: Proxy {
            pid: connection.tgid,
            comm: comm(connection.comm),
            exe: None,
            cgroup: None,
            container: None,
        },
        proxy_started_ns: connection.leader_start_ns,
        elapsed_us: header.at_ns.saturating_sub(connection.start_ns) / 1000,
        syn_retransmits: 0,
        rtt_us: None,
        bytes_sent: 0,
        bytes_received: 0,
        evidence,
        hook: Backend::Tracepoint.name().into(),
        lost_before: 0,
    }
}

fn verdict(ended: &Ended, waits: &mut Waits) -> Verdict {
    let FailureRecord {
        connection, socket, ..
    } = &ended.record;
    let connect = |cause, errno: Option<i32>, evidence| Verdict {
        cause,
        phase: Phase::Connect,
        errno: errno.map(Errno),
        evidence,
    };
    match ended.ending {
        Ending::Refused => connect(
            Cause::Refused,
            Some(errno::ECONNREFUSED),
            [
                vec![Evidence::RstReceived {
                    state: TcpState(state::SYN_SENT),
                }],
                filtered(socket),
            ]
            .concat(),
        ),
        Ending::Icmp => icmp::verdict(connection, socket),
        Ending::SynTimedOut => connect(
            Cause::SynUnanswered,
            Some(errno::ETIMEDOUT),
            [
                unanswered(connection, socket),
                vec![Evidence::GaveUp { by: Party::Kernel }],
            ]
            .concat(),
        ),
        Ending::SynAbandoned => syn_abandoned(ended, waits),
        Ending::NoLocalPort => connect(
            Cause::PortExhaustion,
            Some(errno::EADDRNOTAVAIL),
            vec![Evidence::NoLocalPort],
        ),
        Ending::Reset => established::reset(ended),
        Ending::Closed => established::closed(ended),
        Ending::Abandoned => established::abandoned(ended, waits),
        Ending::Vanished => established::vanished(connection, socket),
    }
}

/// The proxy closed while its SYN was unanswered.
///
/// A repeated SYN is trouble, whoever ends it. Before Linux repeats it, after 1 s (RFC 6298
/// section 2.1), there is nothing to tell trouble from impatience but the wait itself.
fn syn_abandoned(ended: &Ended, waits: &mut Waits) -> Verdict {
    let FailureRecord {
        connection, socket, ..
    } = &ended.record;
    let mut evidence = unanswered(connection, socket);
    let cause = if connection.syn_retransmits > 0 {
        Cause::SynUnanswered
    } else {
        let (cause, why) = gave_up(Phase::Connect, Cause::SynUnanswered, ended, waits);
        evidence.extend(why);
        cause
    };
    evidence.push(Evidence::GaveUp { by: Party::Proxy });
    Verdict {
        cause,
        phase: Phase::Connect,
        errno: error(socket),
        evidence,
    }
}

/// Why the proxy gave up, and what says so: `timed_out`, because its client left, or nobody can
/// tell.
fn gave_up(
    phase: Phase,
    timed_out: Cause,
    ended: &Ended,
    waits: &mut Waits,
) -> (Cause, Option<Evidence>) {
    let FailureRecord {
        connection, socket, ..
    } = &ended.record;
    if socket.clients == clients::GONE {
        return (Cause::ClientGone, Some(Evidence::ClientLeft));
    }
    let wait_us = elapsed_ns(phase, ended) / 1000;
    let clients_stayed = socket.clients == clients::STAYED;
    if waits.is_timers(connection.comm, phase, wait_us, clients_stayed) {
        return (timed_out, Some(Evidence::WaitRecurs));
    }
    (Cause::Cancelled, None)
}

/// That nothing answered the SYN, and whether it, or its answer, was seen to be dropped.
fn unanswered(connection: &Connection, socket: &SocketFacts) -> Vec<Evidence> {
    let no_answer = Evidence::NoAnswer {
        syns_sent: connection.syn_retransmits.saturating_add(1),
    };
    [vec![no_answer], filtered(socket)].concat()
}

/// That netfilter on this host dropped the SYN, or the answer to it.
fn filtered(socket: &SocketFacts) -> Vec<Evidence> {
    let dropped = (socket.filtered != 0).then(|| Evidence::DroppedHere {
        reason: "NETFILTER_DROP".to_owned(),
    });
    dropped.into_iter().collect()
}

/// The error on the socket, the hard one first.
fn error(socket: &SocketFacts) -> Option<Errno> {
    [socket.error, socket.soft_error]
        .into_iter()
        .find(|errno| *errno != 0)
        .map(Errno)
}

/// `bytes_received` counts the FIN of the peer as one.
const fn payload_received(socket: &SocketFacts) -> u64 {
    let fin_counted =
        socket.old_state == state::CLOSE_WAIT || socket.new_state == state::CLOSE_WAIT;
    socket.bytes_received.saturating_sub(fin_counted as u64)
}

/// Since the connect started; with a request out, since it left.
fn elapsed_ns(phase: Phase, ended: &Ended) -> u64 {
    let FailureRecord {
        header,
        connection,
        socket,
        ..
    } = &ended.record;
    let since_start = header.at_ns.saturating_sub(connection.start_ns);
    match phase {
        Phase::Connect | Phase::Idle => since_start,
        Phase::Request => socket.since_request_ns.min(since_start),
    }
}

/// A name up to its NUL. The kernel allows any bytes in it.
fn comm(bytes: [u8; 16]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
