//! However a run is cut into snapshots, its diagnosis counts the same.

use gw502_userspace::aggregate::{Changes, Counted, Totals, UpstreamId};
use gw502_userspace::diagnose::{Engine, Place};
use gw502_userspace::event::Failure;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::Index;
use proptest::{prop_assert_eq, proptest};

use crate::{claims, seeds};

const PLACE: Place<'static> = Place {
    time: &|at_ns| at_ns.to_string(),
    host_netns: None,
};

/// An event each, and whether the counters are read after it.
fn run(steps: &[(Index, u64, bool)], reads: impl Fn(bool) -> bool) -> Engine {
    let failures = seeds::failures();
    let mut engine = Engine::default();
    let (mut counted, mut changes) = (Counted::default(), Changes::default());
    let mut at_ns = 0_u64;
    for (which, wait_ns, read) in steps {
        at_ns = at_ns.saturating_add(*wait_ns);
        let failure = Failure {
            at_ns,
            ..which.get(&failures).clone()
        };
        let totals = Totals {
            attempts: 2,
            established: 1,
            ended: 1,
        };
        counted.add(UpstreamId::of(&failure), totals);
        engine.event(&failure, true);
        let snapshot = reads(*read).then(|| changes.at(at_ns, &counted)).flatten();
        if let Some(snapshot) = snapshot {
            engine.snapshot(&snapshot);
        }
    }
    engine.end(&counted);
    engine
}

proptest! {
    #![proptest_config(super::few())]

    #[test]
    fn any_split_counts_the_same(
        steps in vec((any::<Index>(), 0..5_000_000_000_u64, any::<bool>()), 1..60)
    ) {
        let all = |_, _| true;
        let mut split = run(&steps, |read| read);
        let whole = run(&steps, |_| false);
        let (a, b) = (split.report(PLACE, &all), whole.report(PLACE, &all));
        prop_assert_eq!(&a.failing, &b.failing);
        prop_assert_eq!(&a.healthy, &b.healthy);
        prop_assert_eq!(a.failed(), b.failed());
        let counts = |report: &gw502_userspace::diagnose::Report| {
            let mut counts: Vec<_> = report
                .diagnoses
                .iter()
                .map(|one| (one.id.clone(), one.attempts, one.failures.clone(), one.lost))
                .collect();
            counts.sort();
            counts
        };
        prop_assert_eq!(counts(&a), counts(&b));
        claims::diagnosis(&mut split, &seeds::origin());
    }
}
