//! Causes from records. The shapes of records come from runs on Linux 5.10 to 7.2.

use gw502_common::wire::flag;

use super::*;

const SECOND: u64 = 1_000_000_000;
const AT: u64 = 100 * SECOND;

/// A record of a connect that started `age_ns` before it ended.
fn connect(ending: Ending, age_ns: u64) -> Ended {
    let mut record = FailureRecord {
        header: RecordHeader {
            at_ns: AT,
            ..RecordHeader::default()
        },
        ..FailureRecord::default()
    };
    record.connection.start_ns = AT - age_ns;
    record.connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7];
    record.connection.dport = 8080;
    record.connection.tgid = 4121;
    record.connection.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    record.socket.sport = 40000;
    record.socket.saddr = record.connection.daddr;
    record.socket.segs_out = 1;
    Ended { ending, record }
}

/// A record of a connection whose acknowledged 60-byte request left `waited_ns` before the end.
fn request(ending: Ending, waited_ns: u64) -> Ended {
    let mut decoded = connect(ending, waited_ns + SECOND / 10);
    decoded.record.connection.established_ns = AT - waited_ns - 1000;
    decoded.record.socket.since_request_ns = waited_ns;
    decoded.record.socket.bytes_sent = 60;
    decoded
}

fn classify(ended: &Ended, lost_before: u64) -> Failure {
    Classifier::default().classify(&(*ended).into(), lost_before)
}

fn cause(decoded: &Ended) -> Cause {
    classify(decoded, 0).cause
}

#[test]
fn a_refused_connect_says_who_where_and_how_long() {
    let failure = classify(&connect(Ending::Refused, 212_000), 3);
    assert_eq!(failure.cause, Cause::Refused);
    assert_eq!(failure.class, Class::Refused);
    assert_eq!(failure.upstream.to_string(), "10.0.0.7:8080");
    assert_eq!(
        (failure.proxy.pid, failure.proxy.comm.as_str()),
        (4121, "nginx")
    );
    assert_eq!(failure.elapsed_us, 212);
    assert_eq!(failure.lost_before, 3);
    assert_eq!(failure.rtt_us, None);
    assert_eq!(failure.expected_status(), Some(502));
}

#[test]
fn icmp_codes_become_the_causes_they_stand_for() {
    for (origin, kind, code, expected) in [
        (2, 3, 0, Cause::NoRoute),
        (2, 3, 1, Cause::HostUnreachable),
        (2, 3, 2, Cause::IcmpRejected),
        (2, 3, 3, Cause::IcmpRejected),
        (2, 3, 9, Cause::AdminProhibited),
        (2, 3, 10, Cause::AdminProhibited),
        (2, 3, 13, Cause::AdminProhibited),
        (2, 11, 0, Cause::HostUnreachable),
        (3, 1, 0, Cause::NoRoute),
        (3, 1, 1, Cause::AdminProhibited),
        (3, 1, 3, Cause::HostUnreachable),
        (3, 1, 4, Cause::IcmpRejected),
    ] {
        let mut decoded = connect(Ending::Icmp, 1000);
        decoded.record.socket.icmp_origin = origin;
        decoded.record.socket.icmp_type = kind;
        decoded.record.socket.icmp_code = code;
        assert_eq!(
            cause(&decoded),
            expected,
            "origin {origin} type {kind} code {code}"
        );
    }
}

#[test]
fn trap_icmpv6_keeps_only_its_errno() {
    for (errno, expected) in [
        (errno::ENETUNREACH, Cause::NoRoute),
        (errno::EACCES, Cause::AdminProhibited),
        (errno::EHOSTUNREACH, Cause::HostUnreachable),
        (errno::ECONNREFUSED, Cause::IcmpRejected),
    ] {
        for soft in [false, true] {
            let mut decoded = connect(Ending::Icmp, 1000);
            let slot = if soft {
                &mut decoded.record.socket.soft_error
            } else {
                &mut decoded.record.socket.error
            };
            *slot = errno;
            let failure = classify(&decoded, 0);
            assert_eq!(
                (failure.cause, failure.errno),
                (expected, Some(Errno(errno)))
            );
        }
    }
}

#[test]
fn trap_nginx_takes_the_soft_error_and_the_icmp_code_still_names_the_errno() {
    let mut decoded = connect(Ending::Icmp, 1000);
    decoded.record.socket.icmp_origin = 2;
    decoded.record.socket.icmp_type = 3;
    decoded.record.socket.icmp_code = 3;
    assert_eq!(
        classify(&decoded, 0).errno,
        Some(Errno(errno::ECONNREFUSED))
    );
}

#[test]
fn an_icmpv6_error_that_was_seen_names_the_errno_that_a_proxy_took_away() {
    for (kind, code, errno) in [
        (1, 0, errno::ENETUNREACH),
        (1, 1, errno::EACCES),
        (1, 3, errno::EHOSTUNREACH),
        (1, 4, errno::ECONNREFUSED),
        (3, 0, errno::EHOSTUNREACH),
        (4, 1, errno::EPROTO),
    ] {
        let mut decoded = connect(Ending::Icmp, 1000);
        decoded.record.socket.icmp_origin = 3;
        decoded.record.socket.icmp_type = kind;
        decoded.record.socket.icmp_code = code;
        let failure = classify(&decoded, 0);
        assert_eq!(failure.errno, Some(Errno(errno)), "{kind} {code}");
        let error = Evidence::IcmpError {
            version: 6,
            r#type: kind,
            code,
        };
        assert_eq!(failure.evidence, [error]);
    }
}

#[test]
fn trap_a_failed_neighbour_and_a_routers_host_unreachable_are_the_same_icmp() {
    let mut decoded = connect(Ending::Icmp, 3 * SECOND);
    decoded.record.socket.icmp_origin = 2;
    decoded.record.socket.icmp_type = 3;
    decoded.record.socket.icmp_code = 1;
    decoded.record.socket.error = errno::EHOSTUNREACH;
    // A router answered, although the first SYN waited for its address for a second.
    decoded.record.connection.syn_retransmits = 1;
    decoded.record.socket.segs_out = 1;
    assert_eq!(cause(&decoded), Cause::HostUnreachable);
    // The link is ours, and this host dropped the SYN because nobody answers.
    decoded.record.connection.flags = flag::NEIGHBOUR_FAILED;
    assert_eq!(cause(&decoded), Cause::NeighbourFailed);
}

#[test]
fn an_unanswered_syn_says_who_gave_up() {
    let mut kernel = connect(Ending::SynTimedOut, 7 * SECOND);
    kernel.record.connection.syn_retransmits = 2;
    kernel.record.socket.error = errno::ETIMEDOUT;
    let failure = classify(&kernel, 0);
    assert_eq!(failure.cause, Cause::SynUnanswered);
    assert_eq!(failure.syn_retransmits, 2);
    assert!(
        failure
            .evidence
            .contains(&Evidence::GaveUp { by: Party::Kernel })
    );

    let proxy = classify(&connect(Ending::SynAbandoned, 2 * SECOND), 0);
    assert_eq!((proxy.cause, proxy.errno), (Cause::SynUnanswered, None));
    assert!(
        proxy
            .evidence
            .contains(&Evidence::GaveUp { by: Party::Proxy })
    );
}

#[test]
fn trap_a_quick_cancel_of_a_connect_is_no_time_out() {
    // The loser of happy eyeballs, or a client that left: no SYN was repeated yet.
    let failure = classify(&connect(Ending::SynAbandoned, SECOND / 4), 0);
    assert_eq!(failure.cause, Cause::Cancelled);
    assert!(!failure.is_failure());
}

#[test]
fn a_repeated_syn_is_trouble_however_soon_the_proxy_leaves() {
    let mut decoded = connect(Ending::SynAbandoned, SECOND - 1);
    decoded.record.connection.syn_retransmits = 1;
    assert_eq!(cause(&decoded), Cause::SynUnanswered);
}

#[test]
fn no_local_port_is_port_exhaustion_and_has_no_local_address() {
    let mut decoded = connect(Ending::NoLocalPort, 2000);
    decoded.record.socket.sport = 0;
    let failure = classify(&decoded, 0);
    assert_eq!(failure.cause, Cause::PortExhaustion);
    assert_eq!(
        (failure.errno, failure.local),
        (Some(Errno(errno::EADDRNOTAVAIL)), None)
    );
}

#[test]
fn a_reset_or_close_names_whether_a_request_was_out() {
    assert_eq!(
        cause(&request(Ending::Reset, 1000)),
        Cause::ResetBeforeResponse
    );
    assert_eq!(
        cause(&request(Ending::Closed, 1000)),
        Cause::ClosedBeforeResponse
    );
    let idle = |ending| {
        let mut decoded = request(ending, 1000);
        decoded.record.socket.bytes_sent = 0;
        decoded
    };
    assert_eq!(cause(&idle(Ending::Reset)), Cause::ResetAfterAccept);
    assert_eq!(cause(&idle(Ending::Closed)), Cause::ClosedAfterAccept);
}

#[test]
fn trap_the_fin_is_no_byte_of_answer() {
    let mut decoded = request(Ending::Closed, 1000);
    decoded.record.socket.new_state = state::CLOSE_WAIT;
    decoded.record.socket.bytes_received = 1;
    assert_eq!(classify(&decoded, 0).bytes_received, 0);
}

#[test]
fn a_long_wait_for_the_answer_is_a_response_timeout() {
    let failure = classify(&request(Ending::Abandoned, 2 * SECOND), 0);
    assert_eq!(
        (failure.cause, failure.phase),
        (Cause::ResponseTimeout, Phase::Request)
    );
    assert_eq!(failure.elapsed_us, 2_000_000);
    assert_eq!(failure.expected_status(), Some(504));
}

#[test]
fn trap_a_quick_end_of_the_wait_is_cancelled() {
    assert_eq!(
        cause(&request(Ending::Abandoned, SECOND * 3 / 2)),
        Cause::Cancelled
    );
}

#[test]
fn trap_a_dead_path_is_not_a_slow_application() {
    let mut decoded = request(Ending::Abandoned, 2 * SECOND);
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.connection.data_retransmits = 3;
    let failure = classify(&decoded, 0);
    assert_eq!(failure.cause, Cause::PeerVanished);
    assert!(failure.elapsed_us >= 2_000_000);
}

#[test]
fn a_kernel_that_gave_up_is_a_vanished_peer_and_502_in_nginx() {
    let mut decoded = request(Ending::Vanished, 20 * SECOND);
    decoded.record.socket.error = errno::ETIMEDOUT;
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.connection.data_retransmits = 5;
    let failure = classify(&decoded, 0);
    assert_eq!(failure.cause, Cause::PeerVanished);
    assert_eq!(failure.expected_status(), Some(502));
}

#[test]
fn a_mapped_upstream_is_shown_as_ipv4_and_a_real_ipv6_one_as_itself() {
    let mut decoded = connect(Ending::Refused, 1000);
    decoded.record.connection.family = 10;
    assert_eq!(classify(&decoded, 0).upstream.to_string(), "10.0.0.7:8080");
    decoded.record.connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(classify(&decoded, 0).upstream.to_string(), "[::1]:8080");
}

#[test]
fn a_name_of_any_bytes_is_a_name() {
    assert_eq!(comm(*b"ng\xffnx\0garbage\0\0\0"), "ng\u{fffd}nx");
    assert_eq!(comm(*b"sixteen-bytes-xx"), "sixteen-bytes-xx");
}

/// A record of a reused connection, quiet for five seconds before its last request.
fn reused(ending: Ending) -> Ended {
    let mut decoded = request(ending, SECOND / 1000);
    let record = &mut decoded.record;
    record.connection.start_ns = AT - 10 * SECOND;
    record.connection.start_jiffies = 4_294_667_296;
    record.socket.jiffies = record.connection.start_jiffies + 2500;
    record.socket.received_jiffies = established::low_half(record.socket.jiffies) - 1250;
    record.socket.bytes_received = 5000;
    decoded
}

#[test]
fn a_reset_that_meets_a_new_request_on_a_reused_connection_is_a_keepalive_race() {
    let mut decoded = reused(Ending::Reset);
    decoded.record.socket.old_state = state::CLOSE_WAIT;
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.socket.untouched = 1;
    let failure = classify(&decoded, 0);
    assert_eq!(
        (failure.class, failure.cause),
        (Class::Reset, Cause::KeepaliveRace)
    );
    let idle = failure.evidence.iter().find_map(|evidence| match evidence {
        Evidence::IdleBefore { idle_us } => Some(*idle_us),
        _ => None,
    });
    assert_eq!(idle, Some(4_999_000));
}

#[test]
fn a_fin_that_crosses_a_new_request_is_a_keepalive_race_of_class_closed() {
    let mut decoded = reused(Ending::Closed);
    decoded.record.socket.new_state = state::CLOSE_WAIT;
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.socket.untouched = 1;
    let failure = classify(&decoded, 0);
    assert_eq!(
        (failure.class, failure.cause),
        (Class::Closed, Cause::KeepaliveRace)
    );
}

#[test]
fn a_rst_is_a_race_only_if_it_came_sooner_than_the_request_could_cause_it() {
    let mut decoded = reused(Ending::Reset);
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.socket.untouched = 1;
    decoded.record.socket.since_request_ns = 30_000_000;
    decoded.record.socket.rtt_min_us = 40_000;
    assert_eq!(cause(&decoded), Cause::KeepaliveRace);
    decoded.record.socket.rtt_min_us = 20_000;
    assert_eq!(cause(&decoded), Cause::ResetBeforeResponse);
    decoded.record.socket.rtt_min_us = u32::MAX;
    assert_eq!(cause(&decoded), Cause::ResetBeforeResponse);
}

#[test]
fn a_request_that_was_acknowledged_is_no_race() {
    assert_eq!(cause(&reused(Ending::Reset)), Cause::ResetBeforeResponse);
    assert_eq!(cause(&reused(Ending::Closed)), Cause::ClosedBeforeResponse);
}

#[test]
fn a_spare_connection_whose_fin_was_here_first_is_a_race_too() {
    let mut decoded = request(Ending::Reset, 1000);
    decoded.record.socket.old_state = state::CLOSE_WAIT;
    decoded.record.socket.bytes_received = 1;
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.socket.untouched = 1;
    assert_eq!(cause(&decoded), Cause::KeepaliveRace);
}

#[test]
fn a_reset_between_the_parts_of_a_request_is_mid_request() {
    let mut decoded = request(Ending::Reset, 1000);
    decoded.record.socket.unacked_bytes = 30_000;
    assert_eq!(cause(&decoded), Cause::ResetMidRequest);
    decoded.record.socket.unacked_bytes = 0;
    decoded.record.socket.unsent_bytes = 1;
    assert_eq!(cause(&decoded), Cause::ResetMidRequest);
}

#[test]
fn a_request_in_one_piece_that_met_a_reset_is_plain() {
    let mut decoded = request(Ending::Reset, 1000);
    decoded.record.socket.unacked_bytes = 60;
    decoded.record.socket.untouched = 1;
    assert_eq!(cause(&decoded), Cause::ResetBeforeResponse);
}

#[test]
fn an_upstream_that_stops_reading_is_a_stall() {
    let mut decoded = request(Ending::Abandoned, 2 * SECOND);
    decoded.record.socket.unsent_bytes = 100_000;
    assert_eq!(cause(&decoded), Cause::SendStalled);
}

#[test]
fn trap_a_client_that_leaves_looks_like_a_time_out() {
    let mut decoded = request(Ending::Abandoned, 2 * SECOND);
    decoded.record.socket.clients = clients::GONE;
    let failure = classify(&decoded, 0);
    assert_eq!(
        (failure.class, failure.cause),
        (Class::Aborted, Cause::ClientGone)
    );
    assert!(failure.evidence.contains(&Evidence::ClientLeft));
}

#[test]
fn a_wait_that_recurs_is_a_time_out_whatever_its_length() {
    let mut classifier = Classifier::default();
    let causes: Vec<_> = [1500, 1501, 1499, 1502]
        .map(|ms| {
            classifier
                .classify(&request(Ending::Abandoned, ms * 1_000_000).into(), 0)
                .cause
        })
        .into();
    assert_eq!(causes.last(), Some(&Cause::ResponseTimeout));
    assert_eq!(causes.first(), Some(&Cause::Cancelled));
}

#[test]
fn a_repeated_syn_is_trouble_even_if_the_client_left() {
    let mut decoded = connect(Ending::SynAbandoned, 2 * SECOND);
    decoded.record.socket.clients = clients::GONE;
    assert_eq!(cause(&decoded), Cause::ClientGone);
    decoded.record.connection.syn_retransmits = 1;
    assert_eq!(cause(&decoded), Cause::SynUnanswered);
}
