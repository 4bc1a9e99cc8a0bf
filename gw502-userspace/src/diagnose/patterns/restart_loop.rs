//! A restart loop: it ends, is started again, and ends again.
//!
//! Needs: three ends of processes that listened here, or three outages that ended in success, within
//! ten minutes. A process that ended three times has three pids: that is certain.
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
    let exits: Vec<&End> = case.track.ends.iter().filter(|end| end.exited).collect();
    let mut pids: Vec<_> = exits.iter().map(|end| end.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let span = span(exits.iter().map(|end| end.at_ns))?;
    let last = exits.iter().max_by_key(|end| end.at_ns)?;
    if pids.len() < OFTEN || span > WITHIN_NS {
        return None;
    }
    let refused = case.count(Cause::UpstreamExited) + case.count(Cause::NoListener);
    let summary = format!(
        "The upstream does not stay up: processes that listened here ended {} times within {}, \
         the last one ({}) at {}.",
        case.track.exits,
        Span(span),
        last.words,
        case.time(last.at_ns)
    );
    let evidence = exits
        .iter()
        .map(|end| format!("{}: {}", case.time(end.at_ns), end.words));
    Some(Finding {
        explains: refused,
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
    Some(Finding {
        explains: restarts
            .iter()
            .fold(0, |sum, episode| sum + episode.refused),
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
    use crate::diagnose::tests::made::{Script, exited, no_listener};

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
