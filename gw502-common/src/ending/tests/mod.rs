//! The rules against facts measured on Linux 5.10 to 7.2. Each test is a sentence that is true;
//! those that begin with `trap_` name a way in which an earlier tool, or an earlier rule, was wrong.

mod established;

use super::*;
use crate::tcp::state::{
    CLOSE, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, LISTEN, SYN_SENT,
};

const NOW: u64 = 100_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A connection whose handshake ended `ago_ns` before NOW.
fn established(ago_ns: u64) -> Connection {
    Connection {
        start_ns: NOW - ago_ns,
        established_ns: NOW - ago_ns,
        flags: flag::ESTABLISHED,
        ..Connection::default()
    }
}

/// What a socket looks like that never got an answer to its SYN.
fn syn_sent() -> SocketFacts {
    SocketFacts {
        old_state: SYN_SENT,
        new_state: CLOSE,
        segs_out: 1,
        sport: 40000,
        ..SocketFacts::default()
    }
}

/// A socket after the handshake that sent an acknowledged 60-byte request.
fn requested(old_state: u8, new_state: u8) -> SocketFacts {
    SocketFacts {
        old_state,
        new_state,
        bytes_sent: 60,
        bytes_acked: 61,
        segs_in: 2,
        segs_out: 3,
        sport: 40000,
        ..SocketFacts::default()
    }
}

fn connecting(facts: SocketFacts) -> Option<Ending> {
    judge(&Connection::default(), &facts, NOW)
}

fn ended(facts: SocketFacts) -> Option<Ending> {
    judge(&established(2 * SECOND), &facts, NOW)
}

#[test]
fn a_rst_to_the_syn_is_refused() {
    let facts = SocketFacts {
        error: errno::ECONNREFUSED,
        segs_in: 1,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), Some(Ending::Refused));
}

#[test]
fn the_reset_hook_alone_proves_a_rst() {
    let connection = Connection {
        flags: flag::RST_RECEIVED,
        ..Connection::default()
    };
    let facts = SocketFacts {
        error: errno::ECONNREFUSED,
        ..syn_sent()
    };
    assert_eq!(judge(&connection, &facts, NOW), Some(Ending::Refused));
}

#[test]
fn trap_port_unreachable_has_the_same_errno_as_a_rst() {
    let facts = SocketFacts {
        error: errno::ECONNREFUSED,
        segs_in: 0,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), Some(Ending::Icmp));
}

#[test]
fn trap_icmp_within_connect_leaves_no_error_and_only_the_queue_knows() {
    // nginx asked SO_ERROR, which took the soft error away, and closed.
    let facts = SocketFacts {
        icmp_origin: 2,
        icmp_type: 3,
        icmp_code: 13,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), Some(Ending::Icmp));
}

#[test]
fn trap_icmpv6_within_connect_leaves_only_the_soft_error() {
    let facts = SocketFacts {
        soft_error: errno::EHOSTUNREACH,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), Some(Ending::Icmp));
}

#[test]
fn an_asynchronous_icmp_error_is_in_sk_err() {
    for error in [
        errno::EHOSTUNREACH,
        errno::ENETUNREACH,
        errno::EACCES,
        errno::ECONNREFUSED,
    ] {
        assert_eq!(
            connecting(SocketFacts {
                error,
                ..syn_sent()
            }),
            Some(Ending::Icmp)
        );
    }
}

#[test]
fn etimedout_is_the_kernel_giving_up() {
    let facts = SocketFacts {
        error: errno::ETIMEDOUT,
        segs_out: 3,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), Some(Ending::SynTimedOut));
}

#[test]
fn trap_the_proxy_giving_up_looks_like_no_error_at_all() {
    // nginx closes (shutdown 3), HAProxy lingers zero (shutdown 0): no difference.
    for shutdown in [0, 3] {
        let facts = SocketFacts {
            shutdown,
            ..syn_sent()
        };
        assert_eq!(connecting(facts), Some(Ending::SynAbandoned));
    }
}

#[test]
fn trap_port_exhaustion_has_no_error_and_no_port() {
    let facts = SocketFacts {
        segs_out: 0,
        sport: 0,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), Some(Ending::NoLocalPort));
}

#[test]
fn trap_by_fast_open_no_syn_leaves_before_the_first_data() {
    let facts = SocketFacts {
        segs_out: 0,
        ..syn_sent()
    };
    assert_eq!(connecting(facts), None);
    // `ss -K` on it.
    let destroyed = SocketFacts {
        error: errno::ECONNABORTED,
        ..facts
    };
    assert_eq!(connecting(destroyed), None);
    // This host's own firewall rejects the SYN before it counts as sent.
    let rejected = SocketFacts {
        error: errno::EHOSTUNREACH,
        ..facts
    };
    assert_eq!(connecting(rejected), Some(Ending::Icmp));
}

#[test]
fn only_telling_state_changes_are_looked_at() {
    let telling = [
        (CLOSE, SYN_SENT),
        (CLOSE, LISTEN),
        (SYN_SENT, ESTABLISHED),
        (SYN_SENT, CLOSE),
        (ESTABLISHED, FIN_WAIT1),
        (ESTABLISHED, CLOSE_WAIT),
        (ESTABLISHED, CLOSE),
        (CLOSE_WAIT, LAST_ACK),
        (CLOSE_WAIT, CLOSE),
        (FIN_WAIT1, CLOSE),
        (FIN_WAIT2, CLOSE),
        (CLOSING, CLOSE),
        (LAST_ACK, CLOSE),
        (LISTEN, CLOSE),
    ];
    for old in 1..=12 {
        for new in 1..=12 {
            assert_eq!(
                matters(old, new),
                telling.contains(&(old, new)),
                "{old} -> {new}"
            );
        }
    }
}

#[test]
fn kinds_come_back_as_the_endings_they_are() {
    for ending in Ending::ALL {
        assert_eq!(Ending::try_from(ending as u8), Ok(ending));
        assert!(usize::from(ending as u8) < ENDINGS);
    }
    assert_eq!(Ending::try_from(0), Err(UnknownEnding(0)));
}
