mod losses;
pub(crate) mod made;
mod troubles;

use self::made::{
    NETNS, PLACE, SECOND, Script, exited, gave_up, id, no_listener, of_cause, owner, race, refused,
};
use super::*;
use crate::event::{Evidence, Phase};

/// One that was killed, beside one that is well.
pub(crate) fn killed() -> Script {
    let mut script = Script::new();
    script.good(1).good_at(9001, 7).second();
    for ago in 1..=35 {
        script.fail(exited(4090, "SIGKILL", ago * 100)).wait_ms(100);
    }
    script.wait_ms(500).pass(0);
    script
}

/// One that is well.
pub(crate) fn well() -> Script {
    let mut script = Script::new();
    script
        .good(100)
        .second()
        .good(100)
        .second()
        .good(100)
        .second();
    script
}

/// So many that fail alike.
pub(crate) fn many(upstreams: u16) -> Script {
    let mut script = Script::new();
    for port in 9000..9000 + upstreams {
        for _ in 0..4 {
            script.fail(refused(port, 0));
        }
    }
    script.second();
    script
}

fn only(script: &Script) -> Diagnosis {
    let mut report = script.report();
    assert_eq!(report.diagnoses.len(), 1, "{report:?}");
    report.diagnoses.remove(0)
}

#[test]
fn healthy_traffic_has_no_diagnosis() {
    let mut script = Script::new();
    for _ in 0..30 {
        script.good(100).good_at(9001, 3).second();
    }
    let report = script.report();
    assert_eq!(report.diagnoses, []);
    assert_eq!(report.healthy.len(), 2);
    assert_eq!(report.failed(), 0);
}

#[test]
fn what_a_proxy_cancels_is_no_failure_and_no_diagnosis() {
    let mut script = Script::new();
    script.good(10).second();
    script.fail(of_cause(Cause::ClientGone, vec![Evidence::ClientLeft]));
    script.second();
    let report = script.report();
    assert_eq!(report.diagnoses, []);
    assert_eq!(report.healthy[0].aborted, 1);
    assert_eq!(script.engine.last_failure_ns(), None);
}

#[test]
fn an_upstream_that_is_gone_is_failing_for_certain() {
    let mut script = Script::new();
    script.good(1).second();
    for ago in 1..=35 {
        script.fail(exited(4090, "SIGKILL", ago * 100)).wait_ms(100);
    }
    script.second();
    let diagnosis = only(&script);
    assert_eq!(diagnosis.state, State::Failing);
    assert_eq!((diagnosis.attempts, diagnosis.failed()), (36, 35));
    assert_eq!(diagnosis.cause, Some(Cause::UpstreamExited));
    assert_eq!(diagnosis.confidence, Some(Confidence::Certain));
    assert_eq!(diagnosis.since_ns, Some(2 * SECOND));
    assert_eq!(diagnosis.until_ns, None);
    assert_eq!(diagnosis.answers, Some(("nginx".to_owned(), 502)));
    assert_eq!(diagnosis.proxies.len(), 1);
    assert!(!diagnosis.summary.is_empty() && !diagnosis.next_steps.is_empty());
}

#[test]
fn an_upstream_elsewhere_that_refuses_may_have_any_reason() {
    let mut script = Script::new();
    for _ in 0..5 {
        script.fail(refused(9000, 0));
    }
    script.second();
    let diagnosis = only(&script);
    assert_eq!(diagnosis.state, State::Failing);
    assert_eq!(diagnosis.cause, Some(Cause::Refused));
    assert_eq!(diagnosis.confidence, Some(Confidence::Possible));
}

#[test]
fn a_restart_is_one_in_the_diagnosis_and_its_events_stay_what_they_were() {
    let mut script = Script::new();
    script.good(10).second();
    for ago in 1..=8 {
        script.fail(exited(4090, "SIGTERM", ago * 100)).wait_ms(100);
    }
    script.second();
    for _ in 0..10 {
        script.good(10).second();
    }
    let diagnosis = only(&script);
    assert_eq!(diagnosis.cause, Some(Cause::UpstreamRestarting));
    assert_eq!(diagnosis.confidence, Some(Confidence::Certain));
    assert_eq!(diagnosis.causes, [(Cause::UpstreamExited, 8)].into());
    assert_eq!(diagnosis.state, State::Recovering);
    assert_eq!(diagnosis.until_ns, Some(2 * SECOND + 700_000_000));
    assert!(diagnosis.summary.starts_with("The upstream was restarted"));
    // Over: nothing is answered with 502 any more, and there is nothing to wait for.
    assert_eq!(diagnosis.answers, None);
    let waits = |step: &crate::rule::NextStep| step.command.contains("--until-healthy");
    assert!(!diagnosis.next_steps.iter().any(waits));
}

#[test]
fn a_pattern_of_the_minority_does_not_speak_for_all() {
    let mut script = Script::new();
    for _ in 0..4 {
        script.fail(gave_up("nginx", Phase::Request, 60_000));
    }
    for _ in 0..20 {
        script.fail(no_listener());
    }
    script.second();
    let diagnosis = only(&script);
    assert_eq!(diagnosis.cause, Some(Cause::NoListener));
    assert!(!diagnosis.summary.contains("60s"), "{}", diagnosis.summary);
    let said = |text: &String| text.contains("lasted 60s each");
    assert!(diagnosis.evidence.iter().any(said), "but it is evidence");
}

#[test]
fn the_cause_is_among_those_that_the_summary_explains() {
    let full = Evidence::AcceptQueueFull {
        length: 129,
        limit: 128,
        drops: 4,
        owner: Some(owner("gunicorn", 5120)),
    };
    let mut script = Script::new();
    for _ in 0..40 {
        script.fail(of_cause(Cause::AcceptQueueFull, vec![full.clone()]));
    }
    for _ in 0..10 {
        script.fail(of_cause(Cause::NeverAccepted, vec![full.clone()]));
    }
    for seconds in 0..45 {
        script.fail(gave_up("nginx", Phase::Request, 1_000 * seconds));
    }
    script.second();
    let diagnosis = only(&script);
    let summary = &diagnosis.summary;
    assert!(
        summary.contains("accept queue is at its limit"),
        "{summary}"
    );
    assert_eq!(diagnosis.cause, Some(Cause::AcceptQueueFull));
    let of_its_owner = |step: &crate::rule::NextStep| step.command == "top -H -p 5120";
    assert!(diagnosis.next_steps.iter().any(of_its_owner));
}

#[test]
fn a_slow_upstream_has_its_time_out_named() {
    let mut script = Script::new();
    for _ in 0..5 {
        script
            .good(80)
            .fail(gave_up("nginx", Phase::Request, 60_003))
            .second();
    }
    let diagnosis = only(&script);
    assert_eq!(diagnosis.state, State::Degraded);
    assert_eq!(diagnosis.confidence, Some(Confidence::Likely));
    assert!(
        diagnosis.summary.contains("proxy_read_timeout"),
        "{}",
        diagnosis.summary
    );
    assert_eq!(
        diagnosis.next_steps[0].command,
        "nginx -T | grep read_timeout"
    );
}

#[test]
fn where_tcp_cannot_tell_it_says_so() {
    let mut script = Script::new();
    let mut closed = of_cause(Cause::ClosedBeforeResponse, vec![Evidence::FinReceived]);
    closed.phase = Phase::Request;
    script.good(9).fail(closed).second();
    let diagnosis = only(&script);
    assert_eq!(diagnosis.confidence, Some(Confidence::Possible));
    let explains = |step: &crate::rule::NextStep| step.command == "gw502 explain not-visible";
    assert!(
        diagnosis.next_steps.iter().any(explains),
        "{:?}",
        diagnosis.next_steps
    );
}

#[test]
fn races_on_reused_connections_are_not_failed_attempts() {
    let mut script = Script::new();
    for _ in 0..4 {
        script.good(2).fail(race("nginx", 5_000, "node")).second();
    }
    let diagnosis = only(&script);
    assert_eq!((diagnosis.failed(), diagnosis.reused), (4, 4));
    assert_eq!(diagnosis.state, State::Degraded);
}

#[test]
fn what_is_not_meant_is_neither_diagnosed_nor_lost() {
    let mut script = Script::new();
    script.fail(no_listener()).second();
    let timeouts: Wanted<'_> = &|class, _| class == Class::Timeout;
    let report = script.engine.report(PLACE, timeouts);
    assert_eq!(report.diagnoses, []);
    assert_eq!((report.healthy[0].failed(), report.healthy[0].lost), (0, 0));
}

#[test]
fn what_fails_now_comes_first_then_what_failed_most() {
    let mut script = Script::new();
    for _ in 0..50 {
        script.fail(refused(9003, 0));
    }
    script.second();
    for _ in 0..10 {
        script.good_at(9003, 10).second();
    }
    for (port, failures) in [(9001, 4), (9002, 9), (9004, 9)] {
        for _ in 0..failures {
            script.fail(refused(port, 0));
        }
    }
    script.second();
    let report = script.report();
    let order: Vec<_> = report
        .diagnoses
        .iter()
        .map(|d| d.id.clone().unwrap())
        .collect();
    assert_eq!(order, [id(9002), id(9004), id(9001), id(9003)]);
}

#[test]
fn each_change_of_state_is_told_once() {
    let mut script = Script::new();
    script.good(10).second();
    assert_eq!(script.engine.changes(PLACE, &|_, _| true), []);
    for _ in 0..20 {
        script.fail(no_listener());
    }
    script.second();
    let told = script.engine.changes(PLACE, &|_, _| true);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].state, State::Failing);
    script.fail(no_listener()).second();
    assert_eq!(script.engine.changes(PLACE, &|_, _| true), []);
}

#[test]
fn all_that_fail_alike_say_so_and_one_alone_does_too() {
    let mut script = Script::new();
    for port in 9000..9004 {
        for _ in 0..5 {
            script.fail(refused(port, 0));
        }
    }
    script.second();
    let report = script.report();
    assert_eq!(report.shared.len(), 1);
    assert_eq!(
        (report.shared[0].netns, report.shared[0].upstreams),
        (NETNS, 4)
    );
    let mut script = Script::new();
    script.good_at(9001, 5).good_at(9002, 5);
    script.fail(refused(9000, 0)).second();
    let diagnosis = only(&script);
    let said = |text: &String| text.contains("it is this one alone");
    assert!(
        diagnosis.evidence.iter().any(said),
        "{:?}",
        diagnosis.evidence
    );
}

/// An old recording has no counters but those at its end.
#[test]
fn a_recording_without_snapshots_is_judged_by_its_sums() {
    let mut engine = Engine::default();
    for at in 0..35 {
        engine.event(&refused(9000, at * SECOND), true);
    }
    let totals = Totals {
        attempts: 36,
        established: 1,
        ended: 35,
    };
    let counted = Counted {
        upstreams: vec![(Some(id(9000)), totals)],
        ..Counted::default()
    };
    engine.end(&counted);
    let report = engine.report(PLACE, &|_, _| true);
    assert_eq!(report.diagnoses[0].state, State::Failing);
    assert_eq!(report.diagnoses[0].attempts, 36);
}

/// An agent runs for longer than the addresses of containers last.
#[test]
fn an_upstream_that_is_forgotten_is_one_more_that_was_never_seen() {
    let mut engine = Engine::default();
    engine.event(&refused(9000, SECOND), true);
    let totals = Totals {
        attempts: 1,
        established: 0,
        ended: 1,
    };
    let mut counted = Counted {
        upstreams: vec![(Some(id(9000)), totals)],
        ..Counted::default()
    };
    engine.counted(&counted, 2 * SECOND);
    assert_eq!(engine.states().count(), 1);
    counted.forgotten = vec![id(9000)];
    engine.counted(&counted, 3 * SECOND);
    assert_eq!(engine.states().count(), 0);
    assert!(engine.report(PLACE, &|_, _| true).diagnoses.is_empty());
    engine.event(&refused(9000, 4 * SECOND), true);
    counted.forgotten.clear();
    engine.counted(&counted, 5 * SECOND);
    let report = engine.report(PLACE, &|_, _| true);
    assert_eq!(report.diagnoses[0].attempts, 1);
    assert_eq!(report.diagnoses[0].since_ns, Some(4 * SECOND));
}

/// A run may end at any moment after the last whole second.
#[test]
fn the_last_moments_count_as_well() {
    let mut script = Script::new();
    script
        .good(1)
        .second()
        .fail(no_listener())
        .wait_ms(100)
        .second();
    for _ in 0..9 {
        script.fail(no_listener());
    }
    script.wait_ms(100).pass(0);
    assert_eq!(only(&script).state, State::Degraded);
    script.engine.close();
    assert_eq!(only(&script).state, State::Failing);
    script.engine.close();
    assert_eq!(only(&script).state, State::Failing, "twice is once");
}

/// One that was cut off may not even have those.
#[test]
fn without_any_counter_the_failures_are_still_diagnosed() {
    let mut engine = Engine::default();
    engine.event(&refused(9000, SECOND), true);
    let report = engine.report(PLACE, &|_, _| true);
    assert_eq!(report.diagnoses.len(), 1);
    assert_eq!(
        (report.diagnoses[0].attempts, report.diagnoses[0].failed()),
        (0, 1)
    );
}

#[test]
fn memory_is_bounded_whatever_fails() {
    let mut engine = Engine::default();
    let mut counted = Counted::default();
    let all: u32 = 100_000;
    for upstream in 0..all {
        let netns = upstream;
        let mut failure = refused(9000, u64::from(upstream));
        failure.netns = netns;
        engine.event(&failure, true);
        let totals = Totals {
            attempts: 1,
            established: 0,
            ended: 1,
        };
        let id = UpstreamId { netns, ..id(9000) };
        counted.upstreams.push((Some(id), totals));
    }
    engine.counted(&counted, u64::from(all));
    assert_eq!(engine.tracks.len(), UPSTREAMS);
    assert_eq!(engine.counted.len(), UPSTREAMS + 1);
    assert_eq!(engine.failures(), u64::from(all));
    // The rest is in the sum of those that have no counter, as the kernel side has it.
    let other = u64::from(all) - UPSTREAMS as u64;
    counted.upstreams.truncate(UPSTREAMS);
    let totals = Totals {
        attempts: other,
        established: 0,
        ended: other,
    };
    counted.upstreams.push((None, totals));
    let mut engine = Engine {
        counted: BTreeMap::new(),
        ..engine
    };
    engine.counted(&counted, u64::from(all));
    let report = engine.report(PLACE, &|_, _| true);
    assert_eq!(report.failed(), u64::from(all));
    assert_eq!(report.diagnoses.len(), UPSTREAMS + 1);
    assert_eq!(report.diagnoses[0].id, None, "the sum of many has the most");
    assert_eq!(report.diagnoses[0].failed(), other);
}

#[test]
fn one_upstream_takes_no_more_however_much_it_fails() {
    let mut script = Script::new();
    for round in 0..2_000_u32 {
        let mut failure = exited(round, "SIGSEGV", 5);
        failure.proxy.comm = format!("{round}{}", "x".repeat(10_000));
        failure.proxy.exe = Some("y".repeat(100_000));
        failure.evidence.resize(500, Evidence::RstSent);
        script.fail(failure);
        script.fail(gave_up("nginx", Phase::Request, round.into()));
        script.fail(race("nginx", round.into(), "node"));
        script.second().good(1).second();
    }
    let track = script.engine.tracks.get(&id(9000)).unwrap();
    assert_eq!(track.waits.len(), bounds::WAITS);
    assert_eq!(track.idles.len(), bounds::IDLES);
    assert_eq!(track.ends.len(), bounds::ENDS);
    assert_eq!(track.episodes.len(), bounds::EPISODES);
    assert_eq!(track.proxies.len(), bounds::PROXIES);
    let longest = track.proxies.iter().map(|(comm, _)| comm.len()).max();
    assert!(longest.unwrap() <= 80);
    let sample = track.sample_of(Cause::UpstreamExited).unwrap();
    assert!(serde_json::to_vec(sample).unwrap().len() <= bounds::SAMPLE_BYTES);
    let totals = only(&script)
        .proxies
        .iter()
        .map(|share| share.failures)
        .sum::<u64>();
    assert_eq!(totals, 6_000, "each failure has a proxy");
}
