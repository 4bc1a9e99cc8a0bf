//! The evidence that a case must come with, beside its verdict.

use gw502_tests::agent::{Event, Session};
use gw502_tests::expect::Differences;
use gw502_tests::firewall::Verdict;

use super::{Case, Fault};

/// What gw502 says when it sees only the errno of an `ICMPv6` error.
const ICMP6_CODES: &str = "blind to the codes of ICMPv6 errors";

pub(super) fn compare(
    case: &Case,
    events: &[&Event],
    session: &Session,
    differences: &mut Differences,
) {
    for event in events {
        if case.verdict == "timeout/accept-queue-full" {
            queue_full(event, 0, differences);
        }
        if let Fault::Firewall(Verdict::Icmp6(kind)) = case.fault {
            icmp6(
                kind,
                event,
                session.stderr.contains(ICMP6_CODES),
                differences,
            );
        }
    }
}

/// So many may wait, and one more than that did.
pub(crate) fn queue_full(event: &Event, limit: u64, differences: &mut Differences) {
    let number = |key| event.evidence("accept_queue_full")?.get(key)?.as_u64();
    let queue = (number("length"), number("limit"));
    let full = (Some(limit + 1), Some(limit));
    differences.check("length and limit of the queue", &full, &queue);
    let dropped = number("drops").is_some_and(|drops| drops > 0);
    differences.check("something was dropped", &true, &dropped);
}

/// Type and code, or the errno where gw502 declares to see no more.
fn icmp6(kind: &str, event: &Event, is_blind: bool, differences: &mut Differences) {
    if is_blind {
        let inferred = event.evidence("icmp_errno").is_some();
        differences.check("the errno of the ICMP error", &true, &inferred);
        return;
    }
    let code = match kind {
        "no-route" => 0,
        "admin-prohibited" => 1,
        "addr-unreachable" => 3,
        "port-unreachable" => 4,
        _ => return differences.note(format!("no code is known for `{kind}`")),
    };
    let number = |key| event.evidence("icmp_error")?.get(key)?.as_u64();
    let seen = (number("version"), number("type"), number("code"));
    differences.check("ICMP error", &(Some(6), Some(1), Some(code)), &seen);
}
