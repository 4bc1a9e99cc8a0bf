//! What the kernel counted and no event told.

use super::made::{PLACE, Script, no_listener, race};
use super::{Confidence, State, only};
use crate::event::Cause;

#[test]
fn lost_records_count_as_failures_of_an_unknown_cause() {
    let mut script = Script::new();
    script.fail(no_listener()).lose().lose().second().second();
    let diagnosis = only(&script);
    assert_eq!((diagnosis.failed(), diagnosis.lost), (3, 2));
    // One of three is not what explains most for certain.
    assert_eq!(diagnosis.confidence, Some(Confidence::Likely));
    assert!(
        diagnosis
            .evidence
            .last()
            .unwrap()
            .starts_with("2 more by the kernel's count")
    );
    assert_eq!(script.report().losses, [("ring_full".to_owned(), 2)].into());
}

#[test]
fn nothing_but_losses_is_a_diagnosis_without_a_cause() {
    let mut script = Script::new();
    script.lose().lose().lose().second().second();
    let diagnosis = only(&script);
    assert_eq!((diagnosis.cause, diagnosis.confidence), (None, None));
    assert_eq!(diagnosis.state, State::Failing);
    assert!(diagnosis.summary.contains("no record came"));
}

/// The ring is drained before the counters are read: what ends in between is counted and not told.
#[test]
fn what_is_under_way_is_not_lost() {
    let mut script = Script::new();
    script.fail(no_listener()).lose().second();
    assert_eq!(only(&script).lost, 0, "it may come yet");
    script.second();
    assert_eq!(only(&script).lost, 1, "it did not");
    script.lose().second();
    assert_eq!(only(&script).lost, 1);
    script.engine.close();
    assert_eq!(only(&script).lost, 2, "at the end nothing is under way");
}

/// Its connection was there before us: no attempt is counted, nor an end by the reading before.
#[test]
fn what_was_told_has_a_diagnosis_however_little_was_counted() {
    let mut script = Script::new();
    script.fail(race("nginx", 5_000, "node")).second();
    let told = script.engine.changes(PLACE, &|_, _| true);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].cause, Some(Cause::KeepaliveRace));
    assert_eq!((told[0].attempts, told[0].failed()), (0, 1));
}
