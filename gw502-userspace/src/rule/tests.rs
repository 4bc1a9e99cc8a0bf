use std::fs;
use std::path::Path;

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_assert_ne, proptest};

use super::refine::PRECEDENCE;
use super::samples::{
    dropped, elsewhere, failure, gunicorn, listener_closed, listener_exited, listener_present,
    never_accepted, php, queue_full, refined, request, rst_to_syn, upstream_exited,
};
use super::steps::{PLACEHOLDERS, is_placeholder};
use super::{Facts, NOT_VISIBLE, of, refine, steps};
use crate::event::{Cause, Class, Errno, Evidence, Failure, Phase, TcpState};

/// The pages as they are written: every command's placeholders exist, every line is short enough
/// for a terminal, and nothing is empty.
#[test]
fn every_page_is_fit_to_be_read() {
    const WIDTH: usize = 100;
    let all = Cause::ALL
        .iter()
        .map(|cause| (cause.code(), &of(*cause).page));
    for (name, page) in all.chain([("not-visible", &NOT_VISIBLE)]) {
        let lists = [page.symptom, page.kernel_saw, page.reasons];
        assert!(
            lists.iter().all(|list| !list.is_empty()),
            "{name}: an empty list"
        );
        assert!(page.title.chars().count() <= 72, "{name}: its title");
        for line in lists.into_iter().flatten() {
            let length = line.chars().count();
            // These are wrapped; still, one true thing a line.
            assert!((10..=2 * WIDTH).contains(&length), "{name}: `{line}`");
        }
        for (list, steps) in [("check", page.check), ("fix", page.fix)] {
            assert!(!steps.is_empty(), "{name}: nothing to {list}");
            for step in steps {
                assert!(step.why.chars().count() <= WIDTH, "{name}: `{}`", step.why);
                for command in [Some(step.command), step.fallback].into_iter().flatten() {
                    assert!(command.chars().count() <= WIDTH, "{name}: `{command}`");
                    assert!(!command.contains("UNIT"), "{name}: a hole in `{command}`");
                    let names = placeholders(command);
                    let known = |name: &String| PLACEHOLDERS.iter().any(|(known, _)| known == name);
                    assert!(names.iter().all(known), "{name}: {names:?}");
                }
            }
        }
    }
}

fn placeholders(command: &str) -> Vec<String> {
    command
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'))
        .filter(|(name, _)| is_placeholder(name))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// A cause is a rule in a file of its own, with a test, and an entry in the schema of events.
#[test]
fn every_cause_has_its_rule_its_test_and_its_place_in_the_schema() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(crate_root.join(path)).unwrap_or_default();
    let schema = read("../docs/gw502.failure.1.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let listed = |key: &str, code: &str| {
        let codes = schema["properties"][key]["enum"].as_array().unwrap();
        codes.iter().any(|listed| listed == code)
    };
    for cause in Cause::ALL {
        let code = cause.code();
        assert_eq!(of(*cause).cause, *cause, "another cause's rule");
        assert!(listed("cause", code), "{code} is not in the schema");
        let file = format!("src/rule/causes/{}.rs", code.replace('-', "_"));
        let (rule, tests) = read(&file).split_once("#[cfg(test)]").map(owned).unwrap();
        assert!(rule.contains("static RULE: Rule"), "{file} has no rule");
        assert!(
            rule.starts_with(&format!("//! `{code}`: ")),
            "{file} does not say whose it is"
        );
        assert!(
            tests.contains("#[test]") && tests.contains("assert"),
            "{file} has no test"
        );
    }
    for class in Class::ALL {
        assert!(
            listed("class", class.code()),
            "{class} is not in the schema"
        );
    }
}

/// The README's table names each cause once, and no other.
#[test]
fn the_readme_has_the_causes_there_are() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"));
    let readme = readme.unwrap();
    let (_, section) = readme.split_once("## The causes").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut named: Vec<_> = section
        .lines()
        .filter_map(|line| line.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    named.sort_unstable();
    let mut known: Vec<_> = Cause::ALL.iter().map(|cause| cause.code()).collect();
    known.sort_unstable();
    assert_eq!(named, known);
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn the_order_holds_each_condition_once() {
    let with_condition: Vec<_> = Cause::ALL
        .iter()
        .filter(|cause| of(**cause).condition.is_some())
        .collect();
    assert_eq!(PRECEDENCE.len(), with_condition.len());
    for cause in with_condition {
        assert!(PRECEDENCE.contains(cause), "{cause} is never asked");
    }
}

/// What each combination of evidence means, for each cause that evidence can refine.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn where_the_evidence_of_several_is_there_the_order_decides() {
    let gone = || listener_exited("SIGKILL", true, 1_800_000);
    let [here, elsewhere, closed] = [listener_present(0), elsewhere(), listener_closed(900_000)];
    let dropped = || dropped("NETFILTER_DROP");
    let crashed = || upstream_exited(Some("SIGSEGV"), None);
    let abort = || Evidence::AbortOnOverflow;
    let none = || Evidence::NoListener;
    let table = [
        (Cause::Refused, vec![], Cause::Refused),
        (Cause::Refused, vec![gone()], Cause::Refused),
        (Cause::Refused, vec![elsewhere.clone()], Cause::Refused),
        (Cause::Refused, vec![closed.clone()], Cause::Refused),
        (Cause::Refused, vec![here.clone()], Cause::Refused),
        (Cause::Refused, vec![dropped()], Cause::Refused),
        (
            Cause::Refused,
            vec![dropped(), here.clone()],
            Cause::FirewallReset,
        ),
        (Cause::Refused, vec![here.clone(), gone()], Cause::Refused),
        (Cause::Refused, vec![none()], Cause::NoListener),
        (Cause::Refused, vec![none(), here.clone()], Cause::Refused),
        (
            Cause::Refused,
            vec![none(), closed.clone()],
            Cause::NoListener,
        ),
        (Cause::Refused, vec![none(), gone()], Cause::UpstreamExited),
        (Cause::Refused, vec![none(), gone(), here], Cause::Refused),
        (
            Cause::Refused,
            vec![none(), elsewhere.clone()],
            Cause::ListenerElsewhere,
        ),
        (
            Cause::Refused,
            vec![none(), elsewhere.clone(), closed.clone()],
            Cause::ListenerElsewhere,
        ),
        (
            Cause::Refused,
            vec![none(), elsewhere.clone(), gone()],
            Cause::UpstreamExited,
        ),
        // Somebody else listened there after the one that ended.
        (
            Cause::Refused,
            vec![none(), gone(), closed.clone()],
            Cause::NoListener,
        ),
        (
            Cause::Refused,
            vec![none(), elsewhere, gone(), closed],
            Cause::ListenerElsewhere,
        ),
        (Cause::Refused, vec![queue_full(3), abort()], Cause::Refused),
        (
            Cause::SynUnanswered,
            vec![none(), gone()],
            Cause::SynUnanswered,
        ),
        (
            Cause::SynUnanswered,
            vec![dropped(), queue_full(3)],
            Cause::FirewallDropped,
        ),
        (
            Cause::SynUnanswered,
            vec![queue_full(3), abort()],
            Cause::AcceptQueueFull,
        ),
        (
            Cause::ResponseTimeout,
            vec![request(false), queue_full(3), never_accepted()],
            Cause::NeverAccepted,
        ),
        (
            Cause::ResponseTimeout,
            vec![request(true), queue_full(3)],
            Cause::ResponseTimeout,
        ),
        (
            Cause::ResponseTimeout,
            vec![request(true), crashed()],
            Cause::ResponseTimeout,
        ),
        (
            Cause::ResponseTimeout,
            vec![request(false), dropped()],
            Cause::ResponseTimeout,
        ),
        (
            Cause::SendStalled,
            vec![never_accepted()],
            Cause::SendStalled,
        ),
        (
            Cause::ResetBeforeResponse,
            vec![request(false), queue_full(3), abort()],
            Cause::QueueFullReset,
        ),
        (
            Cause::ResetBeforeResponse,
            vec![request(false), queue_full(3), abort(), crashed()],
            Cause::UpstreamCrashed,
        ),
        (
            Cause::ClosedBeforeResponse,
            vec![request(false), queue_full(3), abort()],
            Cause::ClosedBeforeResponse,
        ),
        (Cause::SocketStale, vec![gone(), none()], Cause::SocketStale),
        (
            Cause::SocketMissing,
            vec![gone(), none()],
            Cause::SocketMissing,
        ),
        (
            Cause::IcmpRejected,
            vec![none(), gone()],
            Cause::IcmpRejected,
        ),
    ];
    for (cause, mut evidence, expected) in table {
        if cause == Cause::Refused {
            evidence.push(rst_to_syn());
        }
        let backwards: Vec<_> = evidence.iter().cloned().rev().collect();
        for evidence in [evidence, backwards] {
            let said = format!("{cause} {evidence:?}");
            assert_eq!(refined(cause, evidence).cause, expected, "{said}");
        }
    }
}

#[test]
fn the_telling_evidence_comes_first_and_nothing_is_lost() {
    let facts = vec![
        rst_to_syn(),
        Evidence::NoListener,
        listener_exited("SIGKILL", true, 1),
    ];
    let failure = refined(Cause::Refused, facts.clone());
    let [rst, none, exited] = facts.try_into().unwrap();
    assert_eq!(failure.evidence, [exited, rst, none]);
}

#[test]
fn steps_are_filled_in_or_left_out() {
    let facts = vec![
        rst_to_syn(),
        Evidence::NoListener,
        listener_exited("SIGKILL", true, 1),
    ];
    let mut failure = refined(Cause::Refused, facts);
    let host = Facts {
        host_netns: Some(failure.netns),
        since: Some("2026-11-22 14:02:50".to_owned()),
    };
    let commands = |failure: &Failure, facts: &Facts| -> Vec<String> {
        steps(failure, facts)
            .into_iter()
            .map(|step| step.command)
            .collect()
    };
    let first = commands(&failure, &host).remove(0);
    assert_eq!(
        first,
        "journalctl -u php8.2-fpm.service --since '2026-11-22 14:02:50' --no-pager"
    );
    // Without the time, by the process; and without the unit nothing is said of units.
    let first = commands(&failure, &Facts::default()).remove(0);
    assert_eq!(first, "journalctl _PID=4090 -n 50 --no-pager");
    if let Some(Evidence::ListenerExited { owner, .. }) = failure.evidence.first_mut() {
        owner.unit = None;
    }
    let without_unit = commands(&failure, &host);
    assert!(!without_unit.is_empty());
    assert!(
        !without_unit
            .iter()
            .any(|command| command.contains("systemctl"))
    );
    // In another network namespace than the host's, by way of a process that is there.
    let failure = refined(Cause::Refused, vec![rst_to_syn()]);
    let elsewhere = Facts {
        host_netns: Some(1),
        ..Facts::default()
    };
    assert!(commands(&failure, &elsewhere)[0].starts_with("nsenter -t 4121 -n curl "));
    assert!(
        commands(
            &failure,
            &Facts {
                host_netns: Some(failure.netns),
                ..Facts::default()
            }
        )[0]
        .starts_with("curl ")
    );
}

#[test]
fn steps_for_other_proxies_and_programs_are_left_out() {
    let mut failure = refined(Cause::ResponseTimeout, vec![request(true)]);
    let has = |failure: &Failure, word: &str| {
        steps(failure, &Facts::default())
            .iter()
            .any(|step| step.command.contains(word))
    };
    assert!(has(&failure, "proxy_read_timeout") && !has(&failure, "timeout server"));
    assert!(!has(&failure, "gunicorn"));
    failure.proxy.comm = "httpd".to_owned();
    failure
        .evidence
        .push(Evidence::UpstreamProcess { owner: gunicorn() });
    assert!(has(&failure, "ProxyTimeout") && !has(&failure, "proxy_read_timeout"));
    assert!(has(&failure, "gunicorn --timeout"));
}

/// Evidence of every kind that a rule looks at, and some that none does.
fn any_fact() -> impl Strategy<Value = Evidence> {
    let all = vec![
        rst_to_syn(),
        Evidence::RstReceived { state: TcpState(1) },
        Evidence::FinReceived,
        Evidence::NothingSent,
        Evidence::NoListener,
        Evidence::AbortOnOverflow,
        Evidence::ConnectFailed,
        Evidence::NoAnswer { syns_sent: 3 },
        request(true),
        request(false),
        elsewhere(),
        never_accepted(),
        listener_closed(1_000_000),
        listener_exited("SIGKILL", true, 2_000_000),
        listener_exited("SIGTERM", false, 500_000),
        listener_present(0),
        listener_present(129),
        queue_full(0),
        queue_full(3),
        dropped("NETFILTER_DROP"),
        dropped("TCP_LISTEN_OVERFLOW"),
        upstream_exited(Some("SIGSEGV"), None),
        upstream_exited(Some("SIGTERM"), None),
        upstream_exited(None, Some(0)),
        Evidence::UpstreamProcess { owner: php() },
        Evidence::UpstreamReset {
            reason: "TCP_STATE".to_owned(),
        },
    ];
    proptest::sample::select(all)
}

proptest! {
    #[test]
    fn refining_keeps_the_class_needs_its_evidence_and_is_done_once(
        cause in proptest::sample::select(Cause::ALL),
        phase in proptest::sample::select(&[Phase::Connect, Phase::Request, Phase::Idle][..]),
        errno in proptest::option::of(proptest::sample::select(&[11, 23, 24, 104, 111][..])),
        bytes_received in proptest::sample::select(&[0_u64, 7][..]),
        evidence in proptest::collection::vec(any_fact(), 0..8),
    ) {
        let plain = Failure {
            errno: errno.map(Errno),
            phase,
            bytes_received,
            evidence,
            ..failure(cause)
        };
        let mut once = plain.clone();
        refine(&mut once);
        prop_assert_eq!(once.class, plain.class);
        let mut twice = once.clone();
        refine(&mut twice);
        prop_assert_eq!(&once, &twice);

        // Nothing is added or lost, and whatever comes of it has words.
        let sorted = |failure: &Failure| {
            let mut facts: Vec<_> = failure.evidence.iter().map(|fact| format!("{fact:?}")).collect();
            facts.sort();
            facts
        };
        prop_assert_eq!(sorted(&once), sorted(&plain));
        prop_assert!((of(once.cause).sentence)(&once).ends_with('.'));
        for step in steps(&once, &Facts::default()) {
            prop_assert_eq!(placeholders(&step.command), Vec::<String>::new());
        }

        if once.cause != plain.cause {
            let rule = of(once.cause);
            let condition = rule.condition.as_ref().unwrap();
            prop_assert!(condition.refines.contains(&plain.cause));
            // The errno is this one's evidence.
            if once.cause != Cause::DescriptorExhaustion {
                let mut without = plain.clone();
                without.evidence.retain(|fact| !(rule.telling)(fact));
                prop_assert!(without.evidence.len() < plain.evidence.len());
                refine(&mut without);
                prop_assert_ne!(without.cause, once.cause);
            }
        }
    }
}
