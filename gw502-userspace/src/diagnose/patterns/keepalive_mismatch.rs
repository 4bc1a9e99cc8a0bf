//! Keep-alive mismatch: the upstream closes idle connections sooner than the proxy stops using
//! them.
//!
//! Needs: three requests that met the upstream's close after about the same idle time, and most of
//! the races. That time is the upstream's limit: a request that comes then meets its FIN.
//!
//! Does not say it: of races after any idle time, as a restarting upstream makes them.

use super::{Case, Finding, cluster, settings, step};
use crate::diagnose::verdict::Confidence;
use crate::event::{Cause, Evidence};

const OFTEN: usize = 3;
/// Two idle times before the same limit differ by no more: the limit's own timer and a round trip.
const ALIKE_US: u64 = 150_000;
/// Idle connections closed sooner are not closed for being idle.
const SHORTEST_US: u64 = 500_000;

pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let idles = &case.track.idles;
    let width = |first: u64| ALIKE_US.max(first / 20);
    let (limit_us, members) = cluster(idles.iter().copied(), width)?;
    if members < OFTEN || members * 4 < idles.len() * 3 || limit_us < SHORTEST_US {
        return None;
    }
    let comm = case.track.top_proxy()?;
    let limit = format!("{}.{} s", limit_us / 1_000_000, limit_us / 100_000 % 10);
    let summary = format!(
        "The upstream closes connections that were idle for about {limit}, and {comm} goes on \
         using them that long: now and then a request meets the close."
    );
    let evidence = format!(
        "{members} of the last {} races came after {limit} of idleness: the upstream's keep-alive \
         limit by its length",
        idles.len()
    );
    let mut steps = Vec::new();
    // A whole second less where there is one: the upstream's limit and ours count from different
    // moments.
    let less_ms = match limit_us / 1000 {
        ms @ 0..2000 => ms / 2,
        ms => ms - 1000,
    };
    if let Some(line) = settings::shorter_idle(comm, less_ms) {
        steps.push(step(
            line,
            format!("in {comm}: close idle connections before the upstream does"),
        ));
    }
    let owner =
        case.track
            .sample_of(Cause::KeepaliveRace)
            .and_then(|sample| {
                sample.evidence.iter().find_map(|fact| match fact {
                    Evidence::UpstreamProcess { owner }
                    | Evidence::ListenerPresent { owner, .. } => settings::idle_limit(&owner.comm),
                    _ => None,
                })
            });
    let theirs = owner.unwrap_or("the keep-alive time-out of the upstream");
    steps.push(step(
        theirs,
        format!("…or in the upstream: longer than {comm} keeps a connection idle"),
    ));
    Some(Finding {
        explains: case.count(Cause::KeepaliveRace),
        cause: Some(Cause::KeepaliveRace),
        confidence: Confidence::Likely,
        summary: Some(summary),
        evidence: vec![evidence],
        steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::{Script, race};

    fn found(idles_ms: &[u64]) -> Option<Finding> {
        let mut script = Script::new();
        for idle in idles_ms {
            script.good(100).fail(race("nginx", *idle, "node")).second();
        }
        script.found(find)
    }

    #[test]
    fn equal_idle_times_are_the_upstreams_limit() {
        let finding = found(&[5_003, 5_010, 5_001, 5_020]).unwrap();
        assert_eq!(
            (finding.confidence, finding.explains),
            (Confidence::Likely, 4)
        );
        assert_eq!(finding.cause, Some(Cause::KeepaliveRace));
        assert!(finding.summary.unwrap().contains("idle for about 5.0 s"));
        let commands: Vec<_> = finding.steps.iter().map(|step| &*step.command).collect();
        assert_eq!(
            commands,
            ["keepalive_timeout 4s;", "server.keepAliveTimeout"]
        );
    }

    #[test]
    fn other_idle_times_are_not() {
        assert_eq!(found(&[5_003, 5_010]), None, "too few");
        assert_eq!(found(&[1_000, 9_000, 30_000, 44_000]), None);
        assert_eq!(found(&[2, 3, 1, 2, 4]), None, "no idleness at all");
    }

    #[test]
    fn a_proxy_without_known_settings_gets_no_made_up_line() {
        let mut script = Script::new();
        for _ in 0..4 {
            script
                .good(9)
                .fail(race("gateway", 5_000, "thing"))
                .second();
        }
        let steps = script.found(find).unwrap().steps;
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].command, "the keep-alive time-out of the upstream");
    }
}
