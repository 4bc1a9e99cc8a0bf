//! Inputs to start from: a record of each ending, and recordings of them.

use gw502_common::ending::Ending;
use gw502_common::hooks::Backend;
use gw502_common::tcp::{errno, state};
use gw502_common::wire::{
    AcceptFacts, CONNECT_FAILED, CallRecord, FailureRecord, RecordHeader, WIRE_VERSION, clients,
    flag,
};
use gw502_userspace::aggregate::{Counted, Snapshot, Tally, Totals, UpstreamId};
use gw502_userspace::classify::Classifier;
use gw502_userspace::clock::TimeAnchor;
use gw502_userspace::event::{Class, Failure};
use gw502_userspace::intake::decode::decode;
use gw502_userspace::intake::recording::{Choice, Header, Line};
use gw502_userspace::render::Origin;
use jiff::tz::TimeZone;
use zerocopy::IntoBytes as _;

/// Every seed: its target, its name, its bytes.
#[must_use]
pub fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all: Vec<_> = Ending::ALL
        .into_iter()
        .map(|ending| {
            (
                "decode",
                format!("{ending:?}").to_lowercase(),
                record(ending),
            )
        })
        .collect();
    all.push(("decode", "call-tcp".to_owned(), call(2)));
    all.push(("decode", "call-unix".to_owned(), call(1)));
    all.push(("recording", "whole".to_owned(), whole()));
    all.push(("recording", "timeouts-only".to_owned(), timeouts_only()));
    all
}

/// The host of the seeds.
#[must_use]
pub fn origin() -> Origin {
    Origin {
        host: "edge-1".to_owned(),
        kernel: "Linux 6.1.0".to_owned(),
        id: 7,
        anchor: TimeAnchor {
            offset_ns: 1_700_000_000_000_000_000,
        },
        zone: TimeZone::UTC,
    }
}

/// A record of nginx's `connect()` on a socket of this address family.
#[must_use]
pub fn call(family: u16) -> Vec<u8> {
    let mut record = CallRecord {
        header: RecordHeader {
            at_ns: 92_500_000_000,
            cpu: 1,
            len: u16::try_from(size_of::<CallRecord>()).unwrap_or(u16::MAX),
            version: WIRE_VERSION,
            kind: CONNECT_FAILED,
            ..RecordHeader::default()
        },
        error: errno::EACCES,
        backend: Backend::SyscallTracepoint as u8,
        ..CallRecord::default()
    };
    record.connection.start_ns = 92_499_990_000;
    record.connection.family = family;
    record.connection.tgid = 4121;
    record.connection.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    if family == 1 {
        let name = b"/run/app.sock";
        for (to, from) in record.unix.path.iter_mut().zip(name) {
            *to = *from;
        }
        record.unix.len = 13;
    }
    record.as_bytes().to_vec()
}

/// A record as the kernel side writes it of nginx and 10.0.0.7:8080.
#[must_use]
pub fn record(ending: Ending) -> Vec<u8> {
    let mut record = FailureRecord {
        header: RecordHeader {
            at_ns: 92_500_000_000,
            cpu: 1,
            len: u16::try_from(size_of::<FailureRecord>()).unwrap_or(u16::MAX),
            version: WIRE_VERSION,
            kind: ending as u8,
            ..RecordHeader::default()
        },
        ..FailureRecord::default()
    };
    let connection = &mut record.connection;
    connection.start_ns = 90_500_000_000;
    connection.leader_start_ns = 5_000_000_000;
    connection.start_jiffies = 4_294_900_000;
    connection.cgroup_id = 4242;
    connection.tgid = 4121;
    connection.netns = 4_026_531_840;
    connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7];
    connection.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    connection.family = 2;
    connection.dport = 8080;
    let socket = &mut record.socket;
    socket.saddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    socket.sport = 51844;
    socket.jiffies = 4_294_900_500;
    socket.segs_out = 1;
    socket.rtt_min_us = u32::MAX;
    socket.old_state = state::SYN_SENT;
    socket.new_state = state::CLOSE;
    socket.clients = clients::STAYED;
    match ending {
        Ending::Refused => {
            socket.error = errno::ECONNREFUSED;
            socket.segs_in = 1;
        }
        Ending::Icmp => {
            socket.icmp_origin = 2;
            socket.icmp_type = 3;
            socket.icmp_code = 13;
        }
        Ending::SynTimedOut => {
            socket.error = errno::ETIMEDOUT;
            connection.syn_retransmits = 6;
        }
        Ending::SynAbandoned => {
            connection.syn_retransmits = 1;
            record.accept = AcceptFacts {
                length: 129,
                limit: 128,
                syn_drops: 2,
                netns: 4_026_531_840,
                ..AcceptFacts::default()
            };
        }
        Ending::NoLocalPort => (socket.segs_out, socket.sport) = (0, 0),
        _ => established(&mut record, ending),
    }
    record.as_bytes().to_vec()
}

/// A connection that had carried an answer, and has a request out again.
const fn established(record: &mut FailureRecord, ending: Ending) {
    let connection = &mut record.connection;
    connection.established_ns = 90_500_180_000;
    connection.flags = flag::ESTABLISHED;
    let socket = &mut record.socket;
    socket.old_state = state::ESTABLISHED;
    (socket.bytes_sent, socket.bytes_acked) = (120, 121);
    socket.bytes_received = 400;
    (socket.segs_in, socket.segs_out) = (5, 6);
    (socket.rtt_us, socket.rtt_min_us) = (180, 90);
    socket.since_request_ns = 2_000_300_000;
    socket.received_jiffies = 4_294_900_010;
    socket.last_word = 1;
    match ending {
        Ending::Reset => {
            socket.error = errno::ECONNRESET;
            connection.flags |= flag::RST_RECEIVED;
            connection.rst_state = state::ESTABLISHED;
            (socket.unacked_bytes, socket.untouched) = (60, 1);
        }
        Ending::Closed => socket.new_state = state::CLOSE_WAIT,
        Ending::Abandoned => {
            socket.new_state = state::FIN_WAIT1;
            socket.shutdown = 3;
            (socket.unsent_bytes, connection.data_retransmits) = (1000, 2);
        }
        _ => {
            socket.error = errno::ETIMEDOUT;
            (socket.unacked_bytes, socket.retransmits) = (60, 15);
            socket.probes_out = 3;
        }
    }
}

/// The failures of the seeds' records.
#[must_use]
pub fn failures() -> Vec<Failure> {
    let mut classifier = Classifier::default();
    let records = Ending::ALL.into_iter().map(record);
    let records = records.chain([call(2), call(1)]);
    records
        .filter_map(|bytes| Some(classifier.classify(&decode(&bytes).ok()?, 0)))
        .collect()
}

/// A recording of them all.
#[must_use]
pub fn whole() -> Vec<u8> {
    recording(Choice::default(), &failures(), &Tally::default())
}

fn timeouts_only() -> Vec<u8> {
    let choice = Choice {
        class: vec![Class::Timeout],
        ..Choice::default()
    };
    let (written, others): (Vec<_>, Vec<_>) = failures()
        .into_iter()
        .partition(|failure| failure.class == Class::Timeout);
    let mut left_out = Tally::default();
    for failure in &others {
        left_out.add(failure);
    }
    recording(choice, &written, &left_out)
}

/// A recording of these failures, in which others were only counted.
#[must_use]
pub fn recording(choice: Choice, failures: &[Failure], left_out: &Tally) -> Vec<u8> {
    let id = failures.first().map(UpstreamId::of);
    let totals = Totals {
        attempts: 100,
        established: 91,
        ended: 12,
    };
    let early = Totals {
        attempts: 40,
        established: 38,
        ended: 2,
    };
    let snapshot = |at_ns, totals| {
        Line::Counters(Snapshot {
            at_ns,
            upstreams: vec![(id.clone(), totals)],
            losses: None,
        })
    };
    let counters = [
        snapshot(90_000_000_000, early),
        snapshot(93_000_000_000, totals),
    ];
    let [before, after] = counters;
    let counted = Counted {
        upstreams: vec![(id, totals), (None, totals)],
        losses: [("ring_full".to_owned(), 3)].into(),
        skips: [("upstream".to_owned(), 5)].into(),
        ..Counted::default()
    };
    let header = Line::Header(Header::of(&origin()).with_choice(choice));
    let failures = failures.iter().cloned().map(Line::Failure);
    [header, before]
        .into_iter()
        .chain(failures)
        .chain([after])
        .chain(left_out.portions().map(Line::Unrecorded))
        .chain([Line::End(counted)])
        .flat_map(|line| line.to_bytes())
        .collect()
}
