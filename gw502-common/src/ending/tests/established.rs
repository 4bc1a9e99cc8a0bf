//! Ends after the handshake.

use super::*;

#[test]
fn a_rst_to_a_request_is_a_reset() {
    let facts = SocketFacts {
        error: errno::ECONNRESET,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(facts), Some(Ending::Reset));
}

#[test]
fn a_request_that_is_still_queued_counts_as_written() {
    let facts = SocketFacts {
        error: errno::ECONNRESET,
        bytes_sent: 0,
        unsent_bytes: 60,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(facts), Some(Ending::Reset));
}

#[test]
fn trap_so_error_takes_the_error_away_before_the_state_changes() {
    let turned_away = Connection {
        flags: flag::RST_RECEIVED,
        ..established(SECOND / 10)
    };
    let nothing_sent = SocketFacts {
        bytes_sent: 0,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(judge(&turned_away, &nothing_sent, NOW), Some(Ending::Reset));
    // Without a RST it is the proxy's own way to close an unused connection.
    assert_eq!(judge(&established(SECOND / 10), &nothing_sent, NOW), None);
}

#[test]
fn trap_the_fin_itself_counts_as_a_byte_received() {
    let fin = SocketFacts {
        bytes_received: 1,
        ..requested(ESTABLISHED, CLOSE_WAIT)
    };
    assert_eq!(ended(fin), Some(Ending::Closed));
    let answer_and_fin = SocketFacts {
        bytes_received: 2,
        ..fin
    };
    assert_eq!(ended(answer_and_fin), None);
}

#[test]
fn a_connection_turned_away_right_after_the_handshake_is_a_failure() {
    let idle = |old, new| SocketFacts {
        bytes_sent: 0,
        bytes_acked: 1,
        ..requested(old, new)
    };
    let fin = SocketFacts {
        bytes_received: 1,
        ..idle(ESTABLISHED, CLOSE_WAIT)
    };
    let rst = SocketFacts {
        error: errno::ECONNRESET,
        ..idle(ESTABLISHED, CLOSE)
    };
    assert_eq!(
        judge(&established(SECOND / 10), &fin, NOW),
        Some(Ending::Closed)
    );
    assert_eq!(
        judge(&established(SECOND / 10), &rst, NOW),
        Some(Ending::Reset)
    );
}

#[test]
fn trap_a_spare_connection_of_a_pool_that_ends_later_is_no_failure() {
    let idle = |old, new| SocketFacts {
        bytes_sent: 0,
        bytes_acked: 1,
        ..requested(old, new)
    };
    let fin = SocketFacts {
        bytes_received: 1,
        ..idle(ESTABLISHED, CLOSE_WAIT)
    };
    let rst = SocketFacts {
        error: errno::ECONNRESET,
        ..idle(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(fin), None);
    assert_eq!(ended(rst), None);
}

#[test]
fn a_request_written_into_a_closed_spare_connection_is_a_reset() {
    // FIN came while idle (bytes_received 1), then the request met a RST: EPIPE.
    let facts = SocketFacts {
        error: errno::EPIPE,
        bytes_received: 1,
        unacked_bytes: 60,
        ..requested(CLOSE_WAIT, CLOSE)
    };
    assert_eq!(ended(facts), Some(Ending::Reset));
}

#[test]
fn trap_an_idle_connection_that_the_upstream_closes_is_no_failure() {
    let answered = |old, new| SocketFacts {
        bytes_received: 5000,
        ..requested(old, new)
    };
    assert_eq!(ended(answered(ESTABLISHED, CLOSE_WAIT)), None);
    let rst = SocketFacts {
        error: errno::ECONNRESET,
        ..answered(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(rst), None);
}

#[test]
fn trap_haproxy_says_goodbye_by_rst() {
    // SO_LINGER 0 after a finished exchange: ESTABLISHED -> CLOSE without an error.
    let facts = SocketFacts {
        bytes_received: 5000,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(facts), None);
}

#[test]
fn a_proxy_that_closes_while_it_waits_abandons_the_request() {
    let nginx = SocketFacts {
        shutdown: 3,
        ..requested(ESTABLISHED, FIN_WAIT1)
    };
    let haproxy = requested(ESTABLISHED, CLOSE);
    assert_eq!(ended(nginx), Some(Ending::Abandoned));
    assert_eq!(ended(haproxy), Some(Ending::Abandoned));
}

#[test]
fn trap_a_half_close_after_the_request_is_no_end() {
    let facts = SocketFacts {
        shutdown: 2,
        ..requested(ESTABLISHED, FIN_WAIT1)
    };
    assert_eq!(ended(facts), None);
    // …and what follows it in good order is none either.
    assert_eq!(ended(requested(FIN_WAIT2, CLOSE)), None);
}

#[test]
fn a_health_check_that_connects_and_closes_is_no_failure() {
    let nothing = SocketFacts {
        bytes_sent: 0,
        bytes_acked: 1,
        ..SocketFacts::default()
    };
    let fin = SocketFacts {
        old_state: ESTABLISHED,
        new_state: FIN_WAIT1,
        shutdown: 3,
        ..nothing
    };
    let rst = SocketFacts {
        old_state: ESTABLISHED,
        new_state: CLOSE,
        ..nothing
    };
    assert_eq!(judge(&established(1000), &fin, NOW), None);
    assert_eq!(judge(&established(1000), &rst, NOW), None);
}

#[test]
fn unacknowledged_data_until_etimedout_is_a_vanished_peer() {
    let facts = SocketFacts {
        error: errno::ETIMEDOUT,
        unacked_bytes: 60,
        retransmits: 6,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(facts), Some(Ending::Vanished));
}

#[test]
fn trap_an_icmp_error_on_the_way_replaces_etimedout() {
    let facts = SocketFacts {
        error: errno::EHOSTUNREACH,
        unacked_bytes: 60,
        bytes_received: 900,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(facts), Some(Ending::Vanished));
}

#[test]
fn keep_alive_probes_that_fail_matter_only_to_a_waiting_request() {
    let probed = SocketFacts {
        error: errno::ETIMEDOUT,
        probes_out: 3,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(probed), Some(Ending::Vanished));
    assert_eq!(
        ended(SocketFacts {
            bytes_received: 900,
            ..probed
        }),
        None
    );
}

#[test]
fn a_connection_killed_by_an_administrator_is_nobodys_failure() {
    let facts = SocketFacts {
        error: errno::ECONNABORTED,
        ..requested(ESTABLISHED, CLOSE)
    };
    assert_eq!(ended(facts), None);
}

#[test]
fn a_failure_is_reported_once() {
    let connection = Connection {
        flags: flag::REPORTED,
        ..established(SECOND)
    };
    let aftermath = SocketFacts {
        error: errno::EPIPE,
        ..requested(CLOSE_WAIT, CLOSE)
    };
    assert_eq!(judge(&connection, &aftermath, NOW), None);
}

/// A reused connection: 5,000 bytes of answers came before the last request.
fn reused(old_state: u8, new_state: u8, last_word: u8) -> SocketFacts {
    SocketFacts {
        bytes_received: 5000,
        since_request_ns: SECOND,
        last_word,
        ..requested(old_state, new_state)
    }
}

#[test]
fn on_a_reused_connection_the_last_word_decides() {
    for (facts, ending) in [
        (
            reused(ESTABLISHED, CLOSE_WAIT, last_word::OURS),
            Ending::Closed,
        ),
        (
            SocketFacts {
                shutdown: 3,
                ..reused(ESTABLISHED, FIN_WAIT1, last_word::OURS)
            },
            Ending::Abandoned,
        ),
        (
            reused(ESTABLISHED, CLOSE, last_word::OURS),
            Ending::Abandoned,
        ),
        (
            SocketFacts {
                error: errno::ECONNRESET,
                ..reused(ESTABLISHED, CLOSE, last_word::OURS)
            },
            Ending::Reset,
        ),
        (
            SocketFacts {
                error: errno::EPIPE,
                ..reused(CLOSE_WAIT, CLOSE, last_word::OURS)
            },
            Ending::Reset,
        ),
    ] {
        assert_eq!(ended(facts), Some(ending));
        for quiet in [last_word::THEIRS, last_word::UNKNOWN] {
            assert_eq!(
                ended(SocketFacts {
                    last_word: quiet,
                    ..facts
                }),
                None,
                "{ending:?}"
            );
        }
    }
}

#[test]
fn trap_a_proxy_that_reads_the_end_closes_before_the_rst_arrives() {
    // The FIN came while idle, then a request was sent into it; nginx closes, HAProxy by RST.
    for new_state in [LAST_ACK, CLOSE] {
        let facts = SocketFacts {
            unacked_bytes: 60,
            ..reused(CLOSE_WAIT, new_state, last_word::OURS)
        };
        assert_eq!(ended(facts), Some(Ending::Closed), "{new_state}");
        let idle = SocketFacts {
            unacked_bytes: 0,
            last_word: last_word::THEIRS,
            ..facts
        };
        assert_eq!(ended(idle), None, "{new_state}");
    }
}

/// A proxy that has its answer says `close_notify` and closes: that is no request.
#[test]
fn trap_the_end_of_a_tls_session_is_no_request() {
    const ALERT: u32 = 31;
    let after_the_fin = |unacked_bytes, error, new_state| {
        ended(SocketFacts {
            error,
            unacked_bytes,
            ..reused(CLOSE_WAIT, new_state, last_word::OURS)
        })
    };
    for (error, new_state) in [(0, LAST_ACK), (0, CLOSE), (errno::EPIPE, CLOSE)] {
        assert_eq!(after_the_fin(24, error, new_state), None, "{new_state}");
        assert_eq!(after_the_fin(ALERT, error, new_state), None, "{new_state}");
        for more in [0, ALERT + 1] {
            assert!(after_the_fin(more, error, new_state).is_some(), "{more}");
        }
    }
    let before_it = |since_request_ns, new_state| {
        ended(SocketFacts {
            since_request_ns,
            shutdown: 3,
            ..reused(ESTABLISHED, new_state, last_word::OURS)
        })
    };
    for new_state in [FIN_WAIT1, CLOSE] {
        assert_eq!(before_it(4_000_000, new_state), None, "{new_state}");
        let given_up = before_it(60 * SECOND, new_state);
        assert_eq!(given_up, Some(Ending::Abandoned), "{new_state}");
    }
    // Nothing was answered yet: the handshake, or a request that a client did not wait for.
    let unanswered = SocketFacts {
        bytes_received: 0,
        since_request_ns: 0,
        shutdown: 3,
        ..reused(ESTABLISHED, FIN_WAIT1, last_word::OURS)
    };
    assert_eq!(ended(unanswered), Some(Ending::Abandoned));
}
