//! A restart: the listener went, connects were refused, and then they succeeded again.
//!
//! Needs: a run of refusals that has ended in success. Where the listener's end was seen it is
//! certain; where only the closed port was, likely; of an upstream on another host nothing of that
//! can be seen, and refusing everything for a while only looks like it.
//!
//! Does not say it: of an upstream that has not come back, or one of which some connects succeeded
//! meanwhile (one of several behind an address, or a firewall).

use super::{Case, Finding};
use crate::diagnose::track::Episode;
use crate::diagnose::verdict::Confidence;
use crate::diagnose::words::Span;
use crate::event::{Cause, Class};

/// More restarts are a loop's, or many.
const MANY: usize = 3;

pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let episodes = &case.track.episodes;
    let (last, earlier) = (episodes.back()?, episodes.len().saturating_sub(1));
    let restarts: Vec<_> = episodes
        .iter()
        .filter(|episode| is_restart(episode))
        .collect();
    let restart = restarts.last()?;
    if last.returned_ns.is_none() || restarts.len() >= MANY {
        return None;
    }
    let refused = restarts.iter().map(|episode| episode.refused);
    let explains = refused.fold(0, u64::saturating_add);
    let end = case
        .track
        .ends
        .iter()
        .rev()
        .find(|end| end.at_ns <= restart.last_ns && case.track.is_of_now(end));
    let seen = restart.no_listener > 0;
    let confidence = match (end, seen) {
        (Some(_), _) => Confidence::Certain,
        (None, true) => Confidence::Likely,
        (None, false) => Confidence::Possible,
    };
    // One refusal is no stretch of time, unless it is known when the listener ended.
    if confidence == Confidence::Possible && (restart.refused < 2 || earlier > 0) {
        return None;
    }
    let from_ns = restart.ended_ns.unwrap_or(restart.first_ns);
    let gap = Span(restart.last_ns.saturating_sub(from_ns));
    let summary = match (end, seen) {
        (Some(end), _) => format!(
            "The upstream was restarted: {} at {}, connects were refused for at least {gap}, then \
             they succeeded again.",
            end.words,
            case.time(end.at_ns)
        ),
        (None, true) => format!(
            "The upstream was away for at least {gap}: nothing listened at {}, then connects \
             succeeded again, as in a restart.",
            case.time(restart.first_ns)
        ),
        (None, false) => format!(
            "The upstream refused every connect for at least {gap} from {} on, then accepted them \
             again; a restart would look like this.",
            case.time(restart.first_ns)
        ),
    };
    let again = |episode: &Episode| episode.first_ns > restart.last_ns && episode.refused > 0;
    let since = if episodes.iter().any(again) {
        ""
    } else {
        ", and none was refused since"
    };
    let back = restart.returned_ns.map(|at_ns| {
        let at = case.time(at_ns);
        format!("connections succeeded again by {at}{since}")
    });
    let cause = match confidence {
        Confidence::Possible => case.most(|cause| cause.class() == Class::Refused),
        Confidence::Likely | Confidence::Certain => Some(Cause::UpstreamRestarting),
    };
    Some(Finding {
        explains,
        cause,
        confidence,
        summary: Some(summary),
        evidence: back.into_iter().collect(),
        steps: Vec::new(),
    })
}

/// Whether everything was refused, and then nothing.
///
/// Connections that succeeded in its first or last second may have done so before and after it.
/// That is believed where it was seen each time that nothing listened; but for the last ones, after
/// which the listener may have come back before anybody looked.
pub(super) const fn is_restart(episode: &Episode) -> bool {
    let seen = episode.no_listener > 0;
    let whole = !episode.edges || (seen && episode.no_listener + episode.late == episode.failures);
    episode.returned_ns.is_some() && !episode.mixed && whole && is_outage(episode)
}

/// Whether it is made of refusals alone.
pub(super) const fn is_outage(episode: &Episode) -> bool {
    episode.refused > 0 && episode.refused == episode.failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::{Script, closed_by, exited, no_listener, refused};

    /// Ten good connections, `failures` in the second after, ten good ones after that.
    fn around(failures: Vec<crate::event::Failure>) -> Script {
        let mut script = Script::new();
        script.good(10).second();
        for failure in failures {
            script.fail(failure).wait_ms(700);
        }
        script.second().good(10).second();
        script
    }

    fn found(script: &Script) -> Option<Finding> {
        script.found(find)
    }

    #[test]
    fn an_end_refusals_and_a_return_are_a_restart_for_certain() {
        let script = around(vec![
            exited(4090, "SIGTERM", 1_200),
            exited(4090, "SIGTERM", 1_900),
        ]);
        let finding = found(&script).unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        assert_eq!(finding.cause, Some(Cause::UpstreamRestarting));
        assert_eq!(finding.explains, 2);
        let summary = finding.summary.unwrap();
        assert!(
            summary.contains("app[4090] was killed by SIGTERM"),
            "{summary}"
        );
        assert!(summary.contains("at least 1.9 s"), "{summary}");
    }

    #[test]
    fn a_program_that_closes_its_listener_counts_as_well() {
        let finding = found(&around(vec![closed_by(4090, 300)])).unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(
            finding
                .summary
                .unwrap()
                .contains("app[4090] stopped listening")
        );
    }

    #[test]
    fn a_closed_port_that_opens_again_is_likely_one() {
        let finding = found(&around(vec![no_listener(), no_listener()])).unwrap();
        assert_eq!(finding.confidence, Confidence::Likely);
        assert!(!finding.summary.unwrap().contains("killed"));
    }

    #[test]
    fn elsewhere_it_is_possible_and_the_cause_stays() {
        let finding = found(&around(vec![refused(9000, 0), refused(9000, 0)])).unwrap();
        assert_eq!(
            (finding.confidence, finding.cause),
            (Confidence::Possible, Some(Cause::Refused))
        );
        // A single refusal is not even that.
        assert_eq!(found(&around(vec![refused(9000, 0)])), None);
    }

    #[test]
    fn what_has_not_come_back_was_not_restarted() {
        let mut script = Script::new();
        script
            .good(10)
            .second()
            .fail(exited(4090, "SIGKILL", 10))
            .second();
        assert_eq!(found(&script), None);
        script.second().second();
        assert_eq!(found(&script), None);
    }

    #[test]
    fn refusals_among_successes_are_no_restart() {
        let mut script = Script::new();
        script.good(10).second();
        for _ in 0..3 {
            script.good(5).fail(no_listener()).second();
        }
        script.good(10).second();
        assert_eq!(found(&script), None);
    }

    #[test]
    fn the_end_in_a_trouble_before_is_not_that_of_this_one() {
        let mut script = around(vec![exited(4090, "SIGTERM", 1_200)]);
        script.good(5).pass(120).good(5).second();
        script.fail(no_listener()).second().good(10).second();
        let finding = found(&script).unwrap();
        assert_eq!(finding.confidence, Confidence::Likely);
        assert!(!finding.summary.unwrap().contains("4090"));
    }

    #[test]
    fn what_was_refused_since_is_not_denied() {
        let mut script = around(vec![exited(4090, "SIGTERM", 1_200)]);
        let back = |script: &Script| found(script).unwrap().evidence;
        assert!(back(&script)[0].ends_with(", and none was refused since"));
        for _ in 0..3 {
            script.good(5).fail(no_listener()).second();
        }
        script.good(10).second();
        assert!(back(&script)[0].starts_with("connections succeeded again by "));
        assert!(!back(&script)[0].contains("none was refused"));
    }

    #[test]
    fn a_restart_may_begin_and_end_within_a_second() {
        let under_load = |failure: fn() -> crate::event::Failure| {
            let mut script = Script::new();
            script.good(10).second();
            script.good(5).fail(failure()).second();
            script.fail(failure()).second();
            script.fail(failure()).good(5).second();
            script.good(10).second();
            found(&script)
        };
        let finding = under_load(|| exited(4090, "SIGTERM", 1_000)).unwrap();
        assert_eq!(finding.cause, Some(Cause::UpstreamRestarting));
        assert_eq!(finding.explains, 3);
        // Of another host it is not known that nothing listened all the time.
        assert_eq!(under_load(|| refused(9000, 0)), None);
    }

    #[test]
    fn of_the_last_refusal_it_may_not_be_known_that_nothing_listened() {
        let under_load = |failures: Vec<crate::event::Failure>| {
            let mut script = Script::new();
            script.good(10).second().good(5);
            for failure in failures {
                script.fail(failure);
            }
            script.good(5).second().good(10).second();
            found(&script).and_then(|finding| finding.cause)
        };
        let gone = || exited(4090, "SIGTERM", 1_000);
        let unknown = || refused(9000, 0);
        let restarting = Some(Cause::UpstreamRestarting);
        assert_eq!(under_load(vec![gone(), gone(), unknown()]), restarting);
        assert_eq!(under_load(vec![gone(), unknown(), gone()]), None);
        assert_eq!(under_load(vec![unknown(), gone()]), None);
        assert_eq!(under_load(vec![unknown()]), None);
    }

    #[test]
    fn other_failures_in_between_are_no_restart() {
        let mut timeout = refused(9000, 0);
        (timeout.class, timeout.cause) = (Class::Timeout, Cause::SynUnanswered);
        assert_eq!(found(&around(vec![no_listener(), timeout])), None);
    }
}
