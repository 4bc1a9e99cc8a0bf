//! What `judge` must not do, whatever a kernel says of a socket.
//!
//! False alarms first: where nothing was asked, or the answer came, nothing failed.

use gw502_common::ending::{AFTER_ACCEPT_NS, Ending, judge};
use gw502_common::tcp::{errno, state};
use gw502_common::wire::{Connection, SocketFacts, flag, last_word};
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::Just;
use proptest::test_runner::Config;
use proptest::{prop_assert, prop_assert_eq, proptest, sample};

use super::records::errno;

/// State changes that may be the end of something.
const TELLING: [(u8, u8); 7] = [
    (state::SYN_SENT, state::CLOSE),
    (state::ESTABLISHED, state::CLOSE_WAIT),
    (state::ESTABLISHED, state::FIN_WAIT1),
    (state::ESTABLISHED, state::CLOSE),
    (state::CLOSE_WAIT, state::LAST_ACK),
    (state::CLOSE_WAIT, state::CLOSE),
    (state::LAST_ACK, state::CLOSE),
];

/// A connection, the socket at a state change, and the time: all that `judge` looks at, mostly with
/// values that make a difference.
fn facts() -> impl Strategy<Value = (Connection, SocketFacts, u64)> {
    let few = || prop_oneof![9 => 0..=2_u32, 1 => any::<u32>()];
    let age = prop_oneof![Just(0), Just(AFTER_ACCEPT_NS), any::<u64>()];
    // Rarely reported already: of that there is nothing to judge.
    let flags = prop_oneof![9 => 0..flag::REPORTED, 1 => any::<u8>()];
    let connection = (flags, any::<u64>(), age);
    let telling = sample::select(TELLING.to_vec());
    let states = prop_oneof![9 => telling, 1 => (0..=12_u8, 0..=12_u8)];
    let change = (states, errno(), errno(), 0..=3_u8);
    let bytes = (few(), few(), few(), few(), 0..=2_u8);
    let segments = (few(), few(), 0..=3_u16, 0..=3_u8);
    (connection, change, bytes, segments).prop_map(
        |((flags, established_ns, age), change, bytes, segments)| {
            let connection = Connection {
                flags,
                established_ns,
                ..Connection::default()
            };
            let socket = SocketFacts {
                old_state: change.0.0,
                new_state: change.0.1,
                error: change.1,
                soft_error: change.2,
                icmp_origin: change.3,
                bytes_sent: bytes.0.into(),
                unsent_bytes: bytes.1,
                unacked_bytes: bytes.2,
                bytes_received: bytes.3.into(),
                last_word: bytes.4,
                segs_in: segments.0,
                segs_out: segments.1,
                sport: segments.2,
                shutdown: segments.3,
                ..SocketFacts::default()
            };
            (connection, socket, established_ns.saturating_add(age))
        },
    )
}

const fn is_connecting(socket: &SocketFacts) -> bool {
    socket.old_state == state::SYN_SENT && socket.new_state == state::CLOSE
}

/// The socket has an error, other than that an administrator ended it.
const fn raised(socket: &SocketFacts) -> bool {
    !matches!(socket.error, 0 | errno::ECONNABORTED) || socket.soft_error != 0
}

const fn wrote_nothing(socket: &SocketFacts) -> bool {
    socket.bytes_sent == 0 && socket.unsent_bytes == 0
}

/// Nothing is in flight: what the kernel gives up on is nobody's request.
const fn quiet(socket: &SocketFacts) -> SocketFacts {
    SocketFacts {
        unacked_bytes: 0,
        ..*socket
    }
}

proptest! {
    #![proptest_config(Config::with_cases(2000))]

    #[test]
    fn what_was_reported_is_not_reported_again((connection, socket, now_ns) in facts()) {
        let reported = Connection { flags: connection.flags | flag::REPORTED, ..connection };
        prop_assert_eq!(judge(&reported, &socket, now_ns), None);
    }

    #[test]
    fn a_spare_connection_without_a_request_ends_in_silence((connection, socket, now_ns) in facts()) {
        let socket = SocketFacts { bytes_sent: 0, unsent_bytes: 0, ..quiet(&socket) };
        let old = now_ns.saturating_sub(connection.established_ns) >= AFTER_ACCEPT_NS;
        if old && !is_connecting(&socket) {
            prop_assert_eq!(judge(&connection, &socket, now_ns), None);
        }
    }

    #[test]
    fn an_answered_connection_ends_in_silence((connection, socket, now_ns) in facts()) {
        // More than the FIN that may be counted among them.
        let socket = SocketFacts {
            bytes_received: socket.bytes_received.max(2),
            last_word: last_word::THEIRS,
            ..quiet(&socket)
        };
        if !is_connecting(&socket) {
            prop_assert_eq!(judge(&connection, &socket, now_ns), None);
        }
    }

    #[test]
    fn a_doubtful_last_word_is_no_request((connection, socket, now_ns) in facts()) {
        let theirs = SocketFacts { last_word: last_word::THEIRS, ..socket };
        let unknown = SocketFacts { last_word: last_word::UNKNOWN, ..socket };
        prop_assert_eq!(
            judge(&connection, &unknown, now_ns),
            judge(&connection, &theirs, now_ns)
        );
    }

    #[test]
    fn an_administrators_end_is_no_failure((connection, socket, now_ns) in facts()) {
        let socket = SocketFacts {
            error: errno::ECONNABORTED,
            new_state: state::CLOSE,
            ..socket
        };
        if !is_connecting(&socket) {
            prop_assert_eq!(judge(&connection, &socket, now_ns), None);
        }
    }

    #[test]
    fn a_connect_that_ends_always_says_how((connection, socket, now_ns) in facts()) {
        let connection = Connection { flags: connection.flags & !flag::REPORTED, ..connection };
        let socket = SocketFacts {
            old_state: state::SYN_SENT,
            new_state: state::CLOSE,
            ..socket
        };
        let ending = judge(&connection, &socket, now_ns);
        let of_a_connect = matches!(
            ending,
            Some(
                Ending::Refused
                    | Ending::Icmp
                    | Ending::SynTimedOut
                    | Ending::SynAbandoned
                    | Ending::NoLocalPort
            )
        );
        // By fast open, nothing was sent and nothing went wrong.
        let nothing_sent = ending.is_none() && socket.segs_out == 0 && !raised(&socket);
        prop_assert!(of_a_connect || nothing_sent, "{:?}", ending);
    }

    #[test]
    fn each_ending_has_what_it_claims((connection, socket, now_ns) in facts()) {
        let rst = connection.flags & flag::RST_RECEIVED != 0;
        let just_accepted = now_ns.saturating_sub(connection.established_ns) < AFTER_ACCEPT_NS;
        let asked = !wrote_nothing(&socket);
        let holds = match judge(&connection, &socket, now_ns) {
            Some(Ending::Refused) => {
                rst || (socket.error == errno::ECONNREFUSED && socket.segs_in > 0)
            }
            Some(Ending::SynTimedOut) => socket.error == errno::ETIMEDOUT,
            Some(Ending::NoLocalPort) => socket.sport == 0 && socket.segs_out == 0,
            Some(Ending::Reset) => {
                let error = matches!(socket.error, errno::ECONNRESET | errno::EPIPE);
                (rst || error) && (asked || just_accepted)
            }
            Some(Ending::Closed) => asked || just_accepted,
            Some(Ending::Abandoned) => asked && socket.old_state == state::ESTABLISHED,
            Some(Ending::Vanished) => socket.error != 0 && socket.new_state == state::CLOSE,
            _ => true,
        };
        prop_assert!(holds, "{:?}", judge(&connection, &socket, now_ns));
    }
}
