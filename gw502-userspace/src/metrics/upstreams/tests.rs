//! Sums stay right, and no counter falls.

use proptest::prelude::*;

use super::*;
use crate::diagnose::tests::made::{id, refused};
use crate::metrics::model::Measures;

const SECOND: u64 = 1_000_000_000;

fn totals(attempts: u64, ended: u64) -> Totals {
    Totals {
        attempts,
        established: attempts - ended,
        ended,
    }
}

fn counted(upstreams: &[(Option<u16>, u64, u64)]) -> Counted {
    let upstreams = upstreams.iter();
    let upstreams =
        upstreams.map(|(port, attempts, ended)| (port.map(id), totals(*attempts, *ended)));
    Counted {
        upstreams: upstreams.collect(),
        ..Counted::default()
    }
}

/// Values of a family by labels.
fn values(upstreams: &Upstreams, name: &str) -> BTreeMap<String, u64> {
    let measures = Measures {
        families: upstreams.families([]),
    };
    let family = measures.families.iter().find(|family| family.name == name);
    let points = family.unwrap().points.iter();
    let values = points.map(|point| {
        let labels = point.labels.iter().filter(|(name, _)| **name != "netns");
        let labels: Vec<_> = labels.map(|(_, value)| value.as_str()).collect();
        match point.value {
            Value::Count(count) => (labels.join(" "), count),
            _ => panic!("{point:?}"),
        }
    });
    values.collect()
}

fn sum(upstreams: &Upstreams, name: &str) -> u64 {
    values(upstreams, name).values().sum()
}

fn connects(port: u16, buckets: [u64; CONNECT_BUCKETS], sum_ns: u64) -> Counted {
    let connects = Connects { buckets, sum_ns };
    Counted {
        connects: vec![(Some(id(port)), connects)],
        ..Counted::default()
    }
}

/// The histograms by labels: counts up to each bound, those above, and the sum.
fn histograms(upstreams: &Upstreams) -> BTreeMap<String, (Vec<u64>, u64, f64)> {
    let families = upstreams.families([]);
    let name = "gw502_upstream_connect_seconds";
    let family = families.iter().find(|family| family.name == name);
    let points = family.unwrap().points.iter().map(|point| {
        let Value::Buckets {
            buckets,
            above,
            sum,
        } = &point.value
        else {
            panic!("{point:?}");
        };
        let counts = buckets.iter().map(|(_, count)| *count).collect();
        (point.labels["upstream"].clone(), (counts, *above, *sum))
    });
    points.collect()
}

#[test]
fn how_long_handshakes_took_goes_to_the_series_that_is_there_when_it_is_read() {
    let mut upstreams = Upstreams::new(10);
    let before = [4, 0, 0, 0, 0, 0, 0, 0];
    upstreams.counted(&connects(1, before, 1_000_000), SECOND);
    upstreams.event(&refused(1, SECOND));
    let after = [6, 0, 0, 0, 0, 0, 0, 1];
    upstreams.counted(&connects(1, after, 1_501_000_000), 2 * SECOND);
    let own = id(1).upstream.to_string();
    assert_eq!(
        histograms(&upstreams),
        [
            ("other".to_owned(), (vec![4, 0, 0, 0, 0, 0, 0], 0, 0.001)),
            (own, (vec![2, 0, 0, 0, 0, 0, 0], 1, 1.5)),
        ]
        .into()
    );
}

#[test]
fn a_counter_that_begins_anew_adds_to_what_was_there() {
    let mut upstreams = Upstreams::new(10);
    upstreams.event(&refused(1, SECOND));
    upstreams.counted(&counted(&[(Some(1), 9, 1), (Some(2), 4, 0)]), SECOND);
    let mut last = counted(&[(Some(1), 9, 1), (Some(2), 4, 0)]);
    last.forgotten = vec![id(1), id(2)];
    upstreams.counted(&last, 2 * SECOND);
    upstreams.event(&refused(1, 3 * SECOND));
    upstreams.counted(&counted(&[(Some(1), 2, 1), (Some(2), 3, 0)]), 3 * SECOND);
    upstreams.counted(&counted(&[(Some(1), 2, 1), (Some(2), 3, 0)]), 4 * SECOND);
    let own = id(1).upstream.to_string();
    let attempts = [("other".to_owned(), 7), (own, 11)];
    assert_eq!(
        values(&upstreams, "gw502_upstream_attempts"),
        attempts.into()
    );
    let failures = values(&upstreams, "gw502_upstream_failures");
    assert_eq!(
        failures.values().sum::<u64>(),
        2,
        "{failures:?}: none is lost"
    );
}

#[test]
fn an_upstream_has_a_series_from_its_first_failure_on() {
    let mut upstreams = Upstreams::new(10);
    upstreams.counted(&counted(&[(Some(1), 5, 0), (Some(2), 7, 0)]), SECOND);
    assert_eq!(
        values(&upstreams, "gw502_upstream_attempts"),
        [("other".to_owned(), 12)].into()
    );
    upstreams.event(&refused(1, SECOND));
    upstreams.counted(&counted(&[(Some(1), 9, 1), (Some(2), 8, 0)]), 2 * SECOND);
    assert_eq!(
        values(&upstreams, "gw502_upstream_attempts"),
        [("127.0.0.1:1".to_owned(), 4), ("other".to_owned(), 13)].into()
    );
    assert_eq!(
        values(&upstreams, "gw502_upstream_established"),
        [("127.0.0.1:1".to_owned(), 3), ("other".to_owned(), 13)].into()
    );
    assert_eq!(
        values(&upstreams, "gw502_upstream_failures"),
        [("refused refused 127.0.0.1:1".to_owned(), 1)].into()
    );
    assert_eq!(upstreams.used(), (1, 10));
}

#[test]
fn those_without_room_are_summed_up() {
    let mut upstreams = Upstreams::new(2);
    for port in 1..=5 {
        upstreams.event(&refused(port, SECOND));
    }
    let failures = values(&upstreams, "gw502_upstream_failures");
    assert_eq!(failures.len(), 3);
    assert_eq!(failures["refused refused other"], 3);
}

#[test]
fn an_idle_series_is_taken_over_and_its_total_goes_on_in_past() {
    let mut upstreams = Upstreams::new(2);
    upstreams.event(&refused(1, SECOND));
    upstreams.event(&refused(2, 2 * SECOND));
    let busy = counted(&[(Some(1), 3, 1), (Some(2), 4, 1)]);
    upstreams.counted(&busy, 3 * SECOND);
    // 2 goes on, 1 does not.
    let later = IDLE_NS + 2 * SECOND;
    upstreams.counted(&counted(&[(Some(1), 3, 1), (Some(2), 5, 1)]), later);
    upstreams.event(&refused(3, later));
    assert_eq!(
        values(&upstreams, "gw502_upstream_failures").len(),
        3,
        "not yet an hour"
    );
    let idle = IDLE_NS + 3 * SECOND;
    upstreams.event(&refused(3, idle));
    assert_eq!(
        values(&upstreams, "gw502_upstream_attempts"),
        [
            ("127.0.0.1:2".to_owned(), 5),
            ("127.0.0.1:3".to_owned(), 0),
            ("other".to_owned(), 0),
            ("past".to_owned(), 3),
        ]
        .into()
    );
    let failures = values(&upstreams, "gw502_upstream_failures");
    assert_eq!(failures["refused refused past"], 1);
    assert_eq!(failures["refused refused other"], 1);
    assert_eq!(failures["refused refused 127.0.0.1:3"], 1);
    assert_eq!(failures.values().sum::<u64>(), 4);
    // What comes of 1 now goes to the others.
    upstreams.counted(&counted(&[(Some(1), 4, 1), (Some(2), 5, 1)]), idle);
    assert_eq!(values(&upstreams, "gw502_upstream_attempts")["other"], 1);
    assert_eq!(upstreams.used(), (2, 2));
}

#[test]
fn a_lost_record_is_an_unknown_failure_at_the_next_reading() {
    let mut upstreams = Upstreams::new(2);
    upstreams.event(&refused(1, SECOND));
    let at_first = counted(&[(Some(1), 3, 3)]);
    upstreams.counted(&at_first, SECOND);
    assert_eq!(sum(&upstreams, "gw502_upstream_failures"), 1);
    // One was under way, the other is lost.
    upstreams.event(&refused(1, 2 * SECOND));
    upstreams.counted(&at_first, 2 * SECOND);
    let failures = values(&upstreams, "gw502_upstream_failures");
    assert_eq!(failures["unknown unknown 127.0.0.1:1"], 1);
    assert_eq!(failures.values().sum::<u64>(), 3);
    upstreams.counted(&at_first, 3 * SECOND);
    assert_eq!(sum(&upstreams, "gw502_upstream_failures"), 3);
}

#[test]
fn what_the_proxy_cancelled_is_neither_a_failure_nor_lost() {
    let mut upstreams = Upstreams::new(2);
    let mut aborted = refused(1, SECOND);
    (aborted.class, aborted.cause) = (Class::Aborted, Cause::Cancelled);
    upstreams.event(&aborted);
    for second in 1..4 {
        upstreams.counted(&counted(&[(Some(1), 1, 1)]), second * SECOND);
    }
    assert_eq!(sum(&upstreams, "gw502_upstream_failures"), 0);
    assert_eq!(upstreams.used().0, 0);
}

#[test]
fn events_of_upstreams_without_a_counter_are_those_of_the_shared_one() {
    let mut upstreams = Upstreams::new(1);
    for second in 1..4 {
        upstreams.event(&refused(7, second * SECOND));
        upstreams.event(&refused(8, second * SECOND));
        upstreams.counted(&counted(&[(None, 9 * second, 2 * second)]), second * SECOND);
    }
    assert_eq!(
        values(&upstreams, "gw502_upstream_failures"),
        [
            ("refused refused 127.0.0.1:7".to_owned(), 3),
            ("refused refused other".to_owned(), 3),
        ]
        .into()
    );
    assert_eq!(values(&upstreams, "gw502_upstream_attempts")["other"], 27);
}

#[test]
fn names_states_and_namespaces_are_labels() {
    let mut upstreams = Upstreams::new(1);
    let mut failure = refused(7, SECOND);
    failure.upstream_name = Some("n".repeat(1000));
    upstreams.event(&failure);
    upstreams.event(&refused(8, SECOND));
    let states = [
        (id(7), State::Degraded),
        (id(8), State::Recovering),
        (id(9), State::Failing),
    ];
    let families = upstreams.families(states);
    let state = families
        .iter()
        .find(|f| f.name == "gw502_upstream_state")
        .unwrap();
    let of: BTreeMap<_, _> = state
        .points
        .iter()
        .map(|point| (point.labels["upstream"].clone(), point.clone()))
        .collect();
    assert_eq!(of["127.0.0.1:7"].value, Value::Level(2.0));
    assert_eq!(of["127.0.0.1:7"].labels["name"], "n".repeat(100));
    assert_eq!(of["127.0.0.1:7"].labels["netns"], id(7).netns.to_string());
    assert_eq!(of["other"].value, Value::Level(3.0), "the worst");
    assert_eq!(of.len(), 2);
}

#[test]
fn a_hundred_thousand_upstreams_stay_within_the_bounds() {
    let mut upstreams = Upstreams::new(100);
    let address = |n: u32| {
        let mut failure = refused(80, SECOND + u64::from(n));
        failure.upstream = crate::event::Upstream::Tcp(crate::event::Endpoint {
            address: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
            port: 80,
        });
        failure
    };
    let mut own = Vec::new();
    for n in 0..100_000_u32 {
        upstreams.event(&address(n));
        // As the kernel side has it: 4,096 have a counter, one more is for all others.
        if n < 4096 {
            own.push((Some(UpstreamId::of(&address(n))), totals(1, 1)));
        }
        if n % 10_000 == 9_999 {
            let shared = u64::from(n + 1) - own.len() as u64;
            let mut upstreams_now = own.clone();
            upstreams_now.push((None, totals(shared, shared)));
            let reading = Counted {
                upstreams: upstreams_now,
                ..Counted::default()
            };
            upstreams.counted(&reading, SECOND * u64::from(n));
        }
    }
    assert_eq!(upstreams.used(), (100, 100));
    assert!(upstreams.accounts.len() <= 4097 && upstreams.fresh.is_empty());
    assert_eq!(sum(&upstreams, "gw502_upstream_attempts"), 100_000);
    let failures = values(&upstreams, "gw502_upstream_failures");
    assert_eq!(
        (failures.len(), failures.values().sum::<u64>()),
        (101, 100_000)
    );
    assert_eq!(failures["refused refused other"], 99_900);
}

#[derive(Clone, Debug)]
enum Step {
    /// An attempt of an upstream: established, failed and told, or failed and lost.
    Attempt(u16, u8),
    /// Time passes, and the counters are read.
    Read(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..8_u16, 0..3_u8).prop_map(|(port, end)| Step::Attempt(port, end)),
        1 => prop_oneof![Just(1), Just(IDLE_NS)].prop_map(Step::Read),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn sums_are_those_of_the_kernel_and_no_series_falls(steps in steps(), limit in 1..4_usize) {
        let mut upstreams = Upstreams::new(limit);
        let mut kernel: BTreeMap<Option<u16>, (u64, u64)> = BTreeMap::new();
        let (mut now, mut lost) = (SECOND, 0);
        let mut before: BTreeMap<String, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Attempt(port, end) => {
                    // The kernel side has room for five.
                    let key = Some(port).filter(|port| *port < 5);
                    let (attempts, ended) = kernel.entry(key).or_default();
                    *attempts += 1;
                    *ended += u64::from(end > 0);
                    lost += u64::from(end == 2);
                    if end == 1 {
                        upstreams.event(&refused(port, now));
                    }
                }
                Step::Read(ns) => {
                    now += ns;
                    let read = |upstreams: &mut Upstreams| {
                        let list: Vec<_> = kernel.iter().map(|(k, (a, e))| (*k, *a, *e)).collect();
                        upstreams.counted(&counted(&list), now);
                    };
                    read(&mut upstreams);
                    read(&mut upstreams);
                    let attempts: u64 = kernel.values().map(|(attempts, _)| attempts).sum();
                    let ended: u64 = kernel.values().map(|(_, ended)| ended).sum();
                    prop_assert_eq!(sum(&upstreams, "gw502_upstream_attempts"), attempts);
                    prop_assert_eq!(sum(&upstreams, "gw502_upstream_failures"), ended);
                    let unknown = values(&upstreams, "gw502_upstream_failures");
                    let unknown = unknown.iter().filter(|(labels, _)| labels.contains("unknown"));
                    prop_assert_eq!(unknown.map(|(_, count)| count).sum::<u64>(), lost);
                }
            }
            prop_assert!(upstreams.used().0 <= limit);
            let now_values = values(&upstreams, "gw502_upstream_failures");
            for (labels, count) in &before {
                let now = now_values.get(labels);
                prop_assert!(now.is_none_or(|now| now >= count) || !labels.contains("other"));
            }
            before = now_values;
        }
    }
}
