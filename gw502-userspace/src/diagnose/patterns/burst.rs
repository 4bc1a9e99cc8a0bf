//! A burst: failures close together, none before and none after, as at a deployment.
//!
//! Needs: one run of failures alone, shorter than half a minute; connections that succeeded before
//! it, and for [`AFTER_NS`] after it without another failure.
//!
//! Does not say what happened: that is not known. It adds when it was, and how long.

use super::{Case, Finding};
use crate::diagnose::verdict::Confidence;
use crate::diagnose::words::{Span, count};

const LONGEST_NS: u64 = 30_000_000_000;
const AFTER_NS: u64 = 10_000_000_000;
/// Fewer failures are no burst.
const MANY: u64 = 5;

pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let track = case.track;
    let burst = track.episodes.back()?;
    let lasted_ns = burst.last_ns.saturating_sub(burst.first_ns);
    let after_ns = case.now_ns.saturating_sub(burst.last_ns);
    let alone = track.episodes_seen == 1 && burst.returned_ns.is_some();
    let short = lasted_ns <= LONGEST_NS && after_ns >= AFTER_NS;
    if !alone || !short || burst.failures < MANY || track.established_before < MANY {
        return None;
    }
    let before = match track.past {
        None => "before",
        // Or it would not have been healthy.
        Some(_) => "in the minute before",
    };
    let evidence = format!(
        "{} within {} at {}, none {before} and none in the {} after: compare with what was \
         deployed, reloaded or changed then",
        count(burst.failures, "failure"),
        Span(lasted_ns),
        case.time(burst.first_ns),
        Span(after_ns)
    );
    Some(Finding {
        explains: burst.failures,
        cause: None,
        confidence: Confidence::Possible,
        summary: None,
        evidence: vec![evidence],
        steps: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::{Script, refused};

    fn script(before: u64, failures: u64, after: u64) -> Script {
        let mut script = Script::new();
        script.good(before).second();
        for _ in 0..failures {
            script.fail(refused(9000, 0));
        }
        script.second();
        for _ in 0..after {
            script.good(5).second();
        }
        script
    }

    #[test]
    fn failures_close_together_between_successes_are_a_burst() {
        let finding = script(10, 20, 12).found(find).unwrap();
        assert_eq!((finding.summary, finding.explains), (None, 20));
        assert!(finding.evidence[0].starts_with("20 failures within 0.0 s at "));
    }

    #[test]
    fn none_before_is_not_said_of_one_that_failed_before() {
        let mut script = script(10, 20, 12);
        assert!(script.found(find).unwrap().evidence[0].contains(", none before and none in"));
        script.good(5).pass(120).good(5).second();
        for _ in 0..20 {
            script.fail(refused(9000, 0));
        }
        script.second();
        for _ in 0..12 {
            script.good(5).second();
        }
        let evidence = script.found(find).unwrap().evidence;
        assert!(evidence[0].contains(", none in the minute before and none in"));
    }

    #[test]
    fn without_before_or_after_nobody_knows() {
        assert_eq!(script(0, 20, 12).found(find), None, "nothing before");
        assert_eq!(script(10, 20, 3).found(find), None, "not over yet");
        assert_eq!(script(10, 2, 12).found(find), None, "a few");
    }

    #[test]
    fn failures_that_come_again_are_no_burst() {
        let mut script = script(10, 20, 12);
        script.fail(refused(9000, 0)).second();
        for _ in 0..12 {
            script.good(5).second();
        }
        assert_eq!(script.found(find), None);
    }
}
