//! Saturation: something of which there is a limited number is used up.
//!
//! Needs: the numbers themselves: an accept queue at its limit, descriptors or local ports of which
//! nine in ten are in use; and failures of the causes that they explain.
//!
//! Does not say it: of a queue that was full once, nor of a limit that is not reached.

use super::{Case, Finding};
use crate::diagnose::track::Fill;
use crate::diagnose::verdict::Confidence;
use crate::event::Cause;

/// Failures that it takes.
const OFTEN: u64 = 3;

/// What a full accept queue makes of a connect, or of a request that nobody takes.
const BY_QUEUE: [Cause; 3] = [
    Cause::AcceptQueueFull,
    Cause::QueueFullReset,
    Cause::NeverAccepted,
];

pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let full =
        |(used, limit): &Fill| *limit > 0 && used.saturating_mul(10) >= limit.saturating_mul(9);
    let track = case.track;
    let of = |causes: &[Cause]| case.sum(|cause| causes.contains(&cause));
    let (causes, summary, evidence): (&[Cause], _, _) = if let Some(queue) = &track.queue
        && of(&BY_QUEUE) >= OFTEN
        && queue.failures >= OFTEN
        && queue.length >= queue.limit
    {
        let whose = queue.owner.as_deref().unwrap_or("The upstream");
        let summary = format!(
            "{whose} accepts connections more slowly than they come: its accept queue is at its \
             limit of {}.",
            queue.limit
        );
        let evidence = format!(
            "{} failures met a full accept queue, {} of {} at most",
            queue.failures, queue.length, queue.limit
        );
        (&BY_QUEUE, summary, evidence)
    } else if let Some((open, limit)) = track.descriptors.filter(full)
        && of(&[Cause::DescriptorExhaustion]) >= OFTEN
    {
        let comm = track.top_proxy().unwrap_or("the proxy");
        let summary = format!("{comm} has no file descriptor left: {open} of {limit} are open.");
        let evidence = format!("{comm} had {open} of {limit} descriptors open");
        (&[Cause::DescriptorExhaustion], summary, evidence)
    } else if let Some((used, range)) = track.ports.filter(full)
        && of(&[Cause::PortExhaustion]) >= OFTEN
    {
        let summary = format!(
            "No local port is left towards this upstream: {used} of {range} are in use, those in \
             TIME_WAIT included."
        );
        let evidence = format!("{used} of {range} local ports were in use");
        (&[Cause::PortExhaustion], summary, evidence)
    } else {
        return None;
    };
    Some(Finding {
        explains: of(causes),
        cause: case.most(|cause| causes.contains(&cause)),
        confidence: Confidence::Certain,
        summary: Some(summary),
        evidence: vec![evidence],
        steps: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::{Script, claimed, of_cause};
    use crate::event::{Evidence, Owner};

    fn queue(length: u32) -> Evidence {
        let owner = Owner {
            pid: 5120,
            comm: "gunicorn".to_owned(),
            ..Owner::default()
        };
        Evidence::AcceptQueueFull {
            length,
            limit: 128,
            drops: 4,
            owner: Some(owner),
        }
    }

    fn found(times: u64, cause: Cause, fact: &Evidence) -> Option<Finding> {
        let mut script = Script::new();
        for _ in 0..times {
            script.fail(of_cause(cause, vec![fact.clone()]));
        }
        script.second().found(find)
    }

    #[test]
    fn a_queue_at_its_limit_is_named_with_its_owner() {
        let finding = found(4, Cause::AcceptQueueFull, &queue(129)).unwrap();
        assert_eq!(
            (finding.confidence, finding.explains),
            (Confidence::Certain, 4)
        );
        let summary = finding.summary.unwrap();
        assert!(summary.starts_with("gunicorn[5120] accepts"), "{summary}");
        assert!(summary.contains("limit of 128"), "{summary}");
    }

    #[test]
    fn it_names_the_most_frequent_cause_of_those_it_explains() {
        let mut script = Script::new();
        let causes = [
            (30, Cause::AcceptQueueFull),
            (31, Cause::NeverAccepted),
            (35, Cause::ResponseTimeout),
        ];
        for (times, cause) in causes {
            for _ in 0..times {
                script.fail(of_cause(cause, vec![queue(129)]));
            }
        }
        let finding = script.second().found(find).unwrap();
        assert_eq!(finding.explains, 61);
        assert_eq!(finding.cause, Some(Cause::NeverAccepted));
    }

    #[test]
    fn counts_that_a_file_claims_stay_in_their_range() {
        let mut script = Script::new();
        for _ in 0..3 {
            script.fail(of_cause(Cause::AcceptQueueFull, vec![queue(129)]));
        }
        script.second();
        script.engine.portion(&claimed(Cause::AcceptQueueFull));
        script.engine.portion(&claimed(Cause::NeverAccepted));
        assert_eq!(script.found(find).unwrap().explains, u64::MAX);
    }

    #[test]
    fn a_queue_with_room_or_full_once_is_not() {
        assert_eq!(found(4, Cause::AcceptQueueFull, &queue(100)), None);
        assert_eq!(found(2, Cause::AcceptQueueFull, &queue(129)), None);
        // A full queue does not explain a refusal.
        assert_eq!(found(4, Cause::Refused, &queue(129)), None);
    }

    #[test]
    fn descriptors_and_ports_are_said_by_their_numbers() {
        let descriptors = Evidence::Descriptors {
            open: 1020,
            limit: 1024,
        };
        let finding = found(3, Cause::DescriptorExhaustion, &descriptors).unwrap();
        assert!(finding.summary.unwrap().contains("1020 of 1024"));
        let ports = Evidence::LocalPorts {
            used: 28_232,
            range: 28_232,
        };
        let finding = found(3, Cause::PortExhaustion, &ports).unwrap();
        assert!(finding.summary.unwrap().contains("28232 of 28232"));
        let few = Evidence::LocalPorts {
            used: 200,
            range: 28_232,
        };
        assert_eq!(found(3, Cause::PortExhaustion, &few), None);
    }
}
