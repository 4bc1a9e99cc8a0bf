//! Failures behind which stands a full accept queue on this host.

use gw502_common::ending::Ending;
use gw502_common::wire::{AcceptFacts, FailureRecord};

use super::Verdict;
use crate::event::{Cause, Evidence};
use crate::intake::decode::Ended;

/// The verdict, or the better one that stands behind it.
///
/// What the queue dropped must be what went wrong: a connection whose SYN was dropped once and then
/// taken can fail for any other reason, and so can one whose handshake was finished after all.
pub(super) fn behind(verdict: Verdict, ended: &Ended) -> Verdict {
    let FailureRecord { socket, accept, .. } = &ended.record;
    // The SYN counts as one: no byte of the request arrived.
    let never_taken = accept.ack_drops > 0 && socket.bytes_acked <= 1;
    let cause = match verdict.cause {
        Cause::SynUnanswered if accept.syn_drops > 0 => Cause::AcceptQueueFull,
        Cause::PeerVanished | Cause::SendStalled | Cause::ResponseTimeout if never_taken => {
            Cause::AcceptQueueFull
        }
        _ if ended.ending == Ending::Reset && never_taken && accept.aborts != 0 => {
            Cause::QueueFullReset
        }
        _ => return verdict,
    };
    let AcceptFacts {
        length,
        limit,
        syn_drops,
        ack_drops,
        ..
    } = *accept;
    let mut evidence = vec![Evidence::AcceptQueueFull {
        length,
        limit,
        drops: syn_drops.saturating_add(ack_drops),
        owner: None,
    }];
    if cause == Cause::QueueFullReset {
        evidence.push(Evidence::AbortOnOverflow);
    }
    evidence.extend(verdict.evidence);
    Verdict {
        cause,
        evidence,
        ..verdict
    }
}

#[cfg(test)]
mod tests {
    use gw502_common::wire::RecordHeader;

    use super::*;
    use crate::classify::Classifier;
    use crate::event::{Class, Failure, Phase};

    const SECOND: u64 = 1_000_000_000;

    /// A record of a connect that waited for two seconds.
    fn record(ending: Ending, accept: AcceptFacts) -> Ended {
        let header = RecordHeader {
            at_ns: 100 * SECOND,
            ..RecordHeader::default()
        };
        let mut record = FailureRecord {
            header,
            accept,
            ..FailureRecord::default()
        };
        record.connection.start_ns = 98 * SECOND;
        record.connection.syn_retransmits = 1;
        record.socket.segs_out = 2;
        Ended { ending, record }
    }

    /// The same of one that was established and sent a request that nobody acknowledged.
    fn request(ending: Ending, accept: AcceptFacts) -> Ended {
        let mut ended = record(ending, accept);
        ended.record.connection.data_retransmits = 3;
        let socket = &mut ended.record.socket;
        (socket.bytes_sent, socket.bytes_acked) = (60, 1);
        (socket.unacked_bytes, socket.untouched) = (60, 1);
        socket.since_request_ns = 2 * SECOND;
        ended
    }

    fn overflow(syn_drops: u32, ack_drops: u32) -> AcceptFacts {
        AcceptFacts {
            length: 129,
            limit: 128,
            syn_drops,
            ack_drops,
            ..AcceptFacts::default()
        }
    }

    fn classify(ended: &Ended) -> Failure {
        Classifier::default().classify(&(*ended).into(), 0)
    }

    fn cause(ended: &Ended) -> Cause {
        classify(ended).cause
    }

    #[test]
    fn a_dropped_syn_is_a_full_queue_whoever_gave_up() {
        for ending in [Ending::SynTimedOut, Ending::SynAbandoned] {
            let failure = classify(&record(ending, overflow(2, 0)));
            assert_eq!(failure.cause, Cause::AcceptQueueFull);
            assert_eq!(failure.class, Class::Timeout);
            assert_eq!(failure.phase, Phase::Connect);
            let full = Evidence::AcceptQueueFull {
                length: 129,
                limit: 128,
                drops: 2,
                owner: None,
            };
            assert_eq!(failure.evidence.first(), Some(&full));
            assert_eq!(
                cause(&record(ending, AcceptFacts::default())),
                Cause::SynUnanswered
            );
        }
    }

    #[test]
    fn a_dropped_handshake_is_a_full_queue() {
        for ending in [Ending::Abandoned, Ending::Vanished] {
            assert_eq!(
                cause(&request(ending, overflow(0, 4))),
                Cause::AcceptQueueFull
            );
            assert_eq!(
                cause(&request(ending, AcceptFacts::default())),
                Cause::PeerVanished
            );
        }
    }

    #[test]
    fn trap_a_queue_that_took_it_after_all_is_not_to_blame() {
        let mut taken = request(Ending::Abandoned, overflow(0, 4));
        taken.record.socket.bytes_acked = 61;
        (
            taken.record.socket.unacked_bytes,
            taken.record.socket.untouched,
        ) = (0, 0);
        assert_eq!(cause(&taken), Cause::ResponseTimeout);
        // Its first SYN was dropped, the second was taken; then the path died.
        let later = request(Ending::Abandoned, overflow(1, 0));
        assert_eq!(cause(&later), Cause::PeerVanished);
    }

    #[test]
    fn a_client_that_left_is_not_the_queues_doing() {
        let mut gone = record(Ending::SynAbandoned, overflow(1, 0));
        gone.record.connection.syn_retransmits = 0;
        gone.record.socket.clients = gw502_common::wire::clients::GONE;
        assert_eq!(cause(&gone), Cause::ClientGone);
    }

    #[test]
    fn a_rst_is_the_queues_only_where_its_host_answers_so() {
        let aborts = AcceptFacts {
            aborts: 1,
            ..overflow(0, 1)
        };
        let failure = classify(&request(Ending::Reset, aborts));
        assert_eq!(
            (failure.class, failure.cause),
            (Class::Refused, Cause::QueueFullReset)
        );
        assert!(failure.evidence.contains(&Evidence::AbortOnOverflow));
        let cause_of = |accept| cause(&request(Ending::Reset, accept));
        assert_eq!(cause_of(overflow(0, 1)), Cause::ResetBeforeResponse);
        // Nothing was asked yet.
        let mut spare = record(Ending::Reset, aborts);
        spare.record.socket.bytes_acked = 1;
        assert_eq!(cause(&spare), Cause::QueueFullReset);
    }
}
