//! The finer cause, from the evidence.

use super::{Rule, of};
use crate::event::{Cause, Failure};

/// Causes that evidence can name, in the order in which they are asked: where the evidence of two
/// is there, the one that says more about this very connection stands first.
pub(super) const PRECEDENCE: &[Cause] = &[
    // What was seen of this very connection…
    Cause::FirewallDropped,
    Cause::NeverAccepted,
    Cause::UpstreamCrashed,
    Cause::DescriptorExhaustion,
    // …then what was seen of its listener meanwhile…
    Cause::QueueFullReset,
    Cause::AcceptQueueFull,
    Cause::UpstreamExited,
    // …then what is there now.
    Cause::ListenerElsewhere,
    Cause::NoListener,
    Cause::FirewallReset,
];

/// Names the finer cause if its evidence is there; the class stays. Puts the telling evidence
/// first.
pub fn refine(failure: &mut Failure) {
    if let Some(rule) = PRECEDENCE
        .iter()
        .map(|cause| of(*cause))
        .find(|rule| applies(rule, failure))
    {
        failure.cause = rule.cause;
    }
    let telling = of(failure.cause).telling;
    // Stable: what is equally telling keeps its order.
    failure.evidence.sort_by_key(|fact| !telling(fact));
}

pub(super) fn applies(rule: &Rule, failure: &Failure) -> bool {
    rule.condition.as_ref().is_some_and(|condition| {
        condition.refines.contains(&failure.cause) && (condition.holds)(failure)
    })
}
