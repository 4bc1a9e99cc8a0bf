//! A restart loop: it ends, is started again, and ends again.
//!
//! Needs: three ends of processes that listened here, the last one in this trouble, or three
//! outages in it that ended in success, within ten minutes. A process that ended three times has
//! three pids: that is certain.
//!
//! Does not say it: of two restarts (somebody may have restarted it twice), nor of workers that end
//! while their master goes on listening.

use super::restart::is_restart;
use super::{Case, Finding};
use crate::diagnose::track::End;
use crate::diagnose::verdict::Confidence;
use crate::diagnose::words::Span;
use crate::event::Cause;

const OFTEN: usize = 3;
const WITHIN_NS: u64 = 600_000_000_000;

pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    by_ends(case).or_else(|| by_outages(case))
}

fn by_ends(case: &Case<'_>) -> Option<Finding> {
    let exits = case.track.ends.iter().filter(|end| end.exited);
    let last = exits.clone().max_by_key(|end| end.at_ns)?;
    let lately = |end: &&End| last.at_ns.saturating_sub(end.at_ns) <= WITHIN_NS;
    let exits: Vec<&End> = exits.filter(lately).collect();
    let mut pids: Vec<_> = exits.iter().map(|end| end.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let span = span(exits.iter().map(|end| end.at_ns))?;
    if pids.len() < OFTEN || !case.track.is_of_now(last) {
        return None;
    }
    let refused = |cause| matches!(cause, Cause::UpstreamExited | Cause::NoListener);
    let summary = format!(
        "The upstream does not stay up: processes that listened here ended {} times within {}, \
         the last one ({}) at {}.",
        exits.len(),
        Span(span),
        last.words,
        case.time(last.at_ns)
    );
    let evidence = exits
        .iter()
        .map(|end| format!("{}: {}", case.time(end.at_ns), end.words));
    Some(Finding {
        explains: case.sum(refused),
        cause: Some(Cause::UpstreamRestarting),
        confidence: Confidence::Certain,
        summary: Some(summary),
        evidence: evidence.collect(),
        steps: Vec::new(),
    })
}

fn by_outages(case: &Case<'_>) -> Option<Finding> {
    let restarts = case.track.episodes.iter();
    let restarts: Vec<_> = restarts
        .filter(|episode| is_restart(episode) && episode.no_listener > 0)
        .collect();
    let span = span(restarts.iter().map(|episode| episode.first_ns))?;
    if restarts.len() < OFTEN || span > WITHIN_NS {
        return None;
    }
    let summary = format!(
        "The upstream comes and goes: {} times within {} nothing listened on its port, and then \
         something did again.",
        restarts.len(),
        Span(span)
    );
    let refused = restarts.iter().map(|episode| episode.refused);
    Some(Finding {
        explains: refused.fold(0, u64::saturating_add),
        cause: Some(Cause::UpstreamRestarting),
        confidence: Confidence::Likely,
        summary: Some(summary),
        evidence: Vec::new(),
        steps: Vec::new(),
    })
}

/// Between the first and the last.
fn span(moments: impl Iterator<Item = u64> + Clone) -> Option<u64> {
    Some(moments.clone().max()?.saturating_sub(moments.min()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::{Script, claimed, exited, no_listener};

    #[test]
    fn three_pids_that_ended_are_a_loop() {
        let mut script = Script::new();
        for pid in 1..=3 {
            script
                .good(3)
                .second()
                .fail(exited(pid, "SIGKILL", 100))
                .second();
        }
        let finding = script.found(find).unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        let summary = finding.summary.unwrap();
        assert!(summary.contains("ended 3 times within 4.0 s"), "{summary}");
        assert_eq!(finding.evidence.len(), 3);
    }

    /// Between two ends it was healthy: each is a trouble of its own.
    #[test]
    fn a_slow_loop_is_one_as_well() {
        let mut script = Script::new();
        for pid in 1..=3 {
            script
                .good(3)
                .second()
                .fail(exited(pid, "SIGKILL", 100))
                .second();
            if pid < 3 {
                script.good(3).pass(120).good(3).second();
            }
        }
        let finding = script.found(find).unwrap();
        assert_eq!(finding.explains, 1, "the others are over");
        let summary = finding.summary.unwrap();
        assert!(summary.contains("ended 3 times"), "{summary}");
        // What fails next for another reason has nothing to do with it.
        script.good(3).pass(120).good(3).second();
        script.fail(no_listener()).second();
        assert_eq!(script.found(find), None);
    }

    #[test]
    fn of_many_ends_those_are_counted_whose_time_is_said() {
        let mut script = Script::new();
        for pid in 1..=46 {
            script.fail(exited(pid, "SIGKILL", 100)).second();
        }
        let summary = script.found(find).unwrap().summary.unwrap();
        assert!(summary.contains("ended 6 times within 5.0 s"), "{summary}");
    }

    #[test]
    fn counts_that_a_file_claims_stay_in_their_range() {
        let mut script = Script::new();
        for pid in 1..=3 {
            script.fail(exited(pid, "SIGKILL", 100)).second();
        }
        script.engine.portion(&claimed(Cause::UpstreamExited));
        script.engine.portion(&claimed(Cause::NoListener));
        assert_eq!(script.found(find).unwrap().explains, u64::MAX);
    }

    #[test]
    fn many_refusals_after_one_end_are_no_loop() {
        let mut script = Script::new();
        for ago_ms in 1..20 {
            script.fail(exited(7, "SIGKILL", ago_ms * 1000)).second();
        }
        assert_eq!(script.found(find), None);
    }

    #[test]
    fn two_restarts_are_no_loop() {
        let mut script = Script::new();
        for pid in 1..=2 {
            script
                .good(3)
                .second()
                .fail(exited(pid, "SIGKILL", 100))
                .second();
        }
        script.good(3).second();
        assert_eq!(script.found(find), None);
    }

    #[test]
    fn a_port_that_opens_and_closes_three_times_is_likely_one() {
        let mut script = Script::new();
        for _ in 0..3 {
            script.good(3).second().fail(no_listener()).second();
        }
        assert_eq!(
            script.found(find),
            None,
            "the third time it is not back yet"
        );
        script.good(3).second();
        assert_eq!(script.found(find).unwrap().confidence, Confidence::Likely);
    }

    #[test]
    fn three_restarts_in_a_day_are_no_loop() {
        let mut script = Script::new();
        for pid in 1..=3 {
            script
                .good(3)
                .second()
                .fail(exited(pid, "SIGTERM", 100))
                .second();
            script.good(3).pass(3600);
        }
        assert_eq!(script.found(find), None);
    }
}
