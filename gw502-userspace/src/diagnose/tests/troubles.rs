//! One trouble after another: each has its own reason.

use super::made::{Script, gave_up, no_listener, of_cause, owner};
use super::{Confidence, Diagnosis, State, only};
use crate::event::{Cause, Evidence, Phase};

fn queue_full() -> crate::event::Failure {
    let full = Evidence::AcceptQueueFull {
        length: 129,
        limit: 128,
        drops: 4,
        owner: Some(owner("gunicorn", 5120)),
    };
    let mut failure = of_cause(Cause::AcceptQueueFull, vec![full]);
    "haproxy".clone_into(&mut failure.proxy.comm);
    failure
}

/// Well and busy for long enough.
fn recover(script: &mut Script) {
    for _ in 0..70 {
        script.good(100).second();
    }
    assert_eq!(only(script).state, State::Healthy);
}

fn has(diagnosis: &Diagnosis, words: &str) -> bool {
    diagnosis.evidence.iter().any(|line| line.contains(words))
}

#[test]
fn a_new_trouble_is_not_explained_by_an_old_one() {
    let mut script = Script::new();
    script.good(100).second();
    for _ in 0..1_000 {
        script.fail(no_listener());
    }
    for _ in 0..20 {
        script.fail(gave_up("nginx", Phase::Request, 60_000));
    }
    script.second();
    recover(&mut script);
    let old = only(&script);
    assert_eq!(old.cause, Some(Cause::NoListener), "it was the last one");
    let since_ns = script.now_ns;
    for _ in 0..60 {
        script.fail(queue_full());
    }
    script.second();
    let diagnosis = only(&script);
    assert_eq!(diagnosis.since_ns, Some(since_ns));
    assert_eq!(diagnosis.cause, Some(Cause::AcceptQueueFull));
    assert_eq!(diagnosis.confidence, Some(Confidence::Certain));
    let summary = &diagnosis.summary;
    assert!(summary.starts_with("gunicorn[5120] accepts"), "{summary}");
    assert!(has(&diagnosis, "60 accept-queue-full, such as at"));
    assert!(!has(&diagnosis, "no-listener") && !has(&diagnosis, "60s each"));
    assert_eq!(diagnosis.proxies.len(), 1);
    assert_eq!(diagnosis.proxies[0].comm, "haproxy");
    // What is counted is counted over the run, and that is said.
    assert_eq!(diagnosis.failed(), 1_080);
    assert_eq!(diagnosis.causes[&Cause::NoListener], 1_000);
    let left = diagnosis.evidence.last().unwrap();
    assert!(left.starts_with("also counted, but not of this trouble since "));
    assert!(left.ends_with(": 1020 failures"), "{left}");
}

#[test]
fn nor_are_old_losses_failures_of_a_new_one() {
    let mut script = Script::new();
    script.good(100).second().fail(no_listener());
    for _ in 0..500 {
        script.lose();
    }
    script.second();
    recover(&mut script);
    for _ in 0..4 {
        script.fail(queue_full());
    }
    script.lose().second().second();
    let diagnosis = only(&script);
    assert_eq!(diagnosis.confidence, Some(Confidence::Certain));
    assert_eq!(diagnosis.lost, 501, "over the run");
    assert!(has(&diagnosis, "1 more by the kernel's count"));
    assert!(has(&diagnosis, ": 501 failures"));
}

#[test]
fn a_relapse_is_explained_with_what_was_before() {
    let mut script = Script::new();
    script.good(100).second().fail(no_listener()).second();
    for _ in 0..10 {
        script.good(100).second();
    }
    script.fail(no_listener()).second();
    let diagnosis = only(&script);
    assert!(has(&diagnosis, "2 no-listener, such as at"));
    assert!(!has(&diagnosis, "also counted"));
}
