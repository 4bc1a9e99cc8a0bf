//! A wait that repeats: a configured time-out, and which one.
//!
//! Needs: three waits of one proxy for the same thing that ended alike, and most of its waits for
//! that. Their length is the value; the setting is the one of that proxy for that wait.
//!
//! Does not say it: of waits that the kernel ended, nor of waits all over the place.

use super::{Case, Finding, cluster, settings, step};
use crate::diagnose::track::{Patience, Wait};
use crate::diagnose::verdict::Confidence;
use crate::diagnose::words::{configured, count};
use crate::event::Cause;

const OFTEN: usize = 3;
/// Waits of one timer end so close to each other on a busy host, in microseconds.
const ALIKE_US: u64 = 150_000;

pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let waits = &case.track.waits;
    let kinds = waits.iter().map(|wait| (wait.patience, wait.proxy));
    // Each of the few kinds once, in the order of their first wait.
    let mut seen = Vec::new();
    for kind in kinds {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }
    let most = seen.into_iter().filter_map(|kind| alike(case, kind));
    most.max_by_key(|(members, _)| *members)
        .map(|(_, finding)| finding)
}

/// Waits alike among those of a kind, and what they tell.
fn alike(case: &Case<'_>, kind: (Patience, usize)) -> Option<(usize, Finding)> {
    let (patience, proxy) = kind;
    let of_kind: Vec<&Wait> = case
        .track
        .waits
        .iter()
        .filter(|wait| (wait.patience, wait.proxy) == kind)
        .collect();
    let lengths = of_kind.iter().map(|wait| u64::from(wait.us));
    let (shortest, members) = cluster(lengths, |_| ALIKE_US)?;
    if members < OFTEN || members * 4 < of_kind.len() * 3 {
        return None;
    }
    let (comm, _) = case.track.proxies.get(proxy)?;
    let value = configured(shortest);
    let setting = settings::patience(comm, patience);
    let (what, cause) = match patience {
        Patience::Connect => ("for a connection", Cause::SynUnanswered),
        Patience::Answer => ("for the first byte of an answer", Cause::ResponseTimeout),
        Patience::Send => ("for the upstream to take the request", Cause::SendStalled),
    };
    let whose = setting.as_ref().map_or_else(
        || format!("a time-out of {comm}"),
        |setting| format!("{comm}'s {} by its length", setting.name),
    );
    let summary = format!(
        "{comm} waited {what} and gave up after {value} each time: that is {whose}, and the \
         upstream takes longer."
    );
    let evidence = format!(
        "{members} of the last {} that {comm} ended itself lasted {value} each",
        count(u64::try_from(of_kind.len()).unwrap_or(u64::MAX), "wait")
    );
    let steps = setting.map(|setting| {
        let why = format!("where the {value} come from; without a line it is the default");
        step(setting.shown_by, why)
    });
    let finding = Finding {
        explains: case.track.count(cause),
        cause: Some(cause),
        confidence: Confidence::Likely,
        summary: Some(summary),
        evidence: vec![evidence],
        steps: steps.into_iter().collect(),
    };
    Some((members, finding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::{Script, gave_up, kernel_gave_up};
    use crate::event::Phase;

    fn found(waits_ms: &[u64], comm: &str, phase: Phase) -> Option<Finding> {
        let mut script = Script::new();
        for wait in waits_ms {
            script.fail(gave_up(comm, phase, *wait)).second();
        }
        script.found(find)
    }

    #[test]
    fn equal_waits_name_the_setting_and_its_value() {
        let finding = found(&[60_002, 60_011, 60_004], "nginx", Phase::Request).unwrap();
        assert_eq!(
            (finding.confidence, finding.explains),
            (Confidence::Likely, 3)
        );
        assert_eq!(finding.cause, Some(Cause::ResponseTimeout));
        let summary = finding.summary.unwrap();
        assert!(summary.contains("after 60s each time"), "{summary}");
        assert!(summary.contains("nginx's proxy_read_timeout"), "{summary}");
        assert_eq!(finding.steps[0].command, "nginx -T | grep read_timeout");
    }

    #[test]
    fn each_wait_has_its_own_setting() {
        let summary = |comm, phase| found(&[5_001; 4], comm, phase).unwrap().summary.unwrap();
        assert!(summary("nginx", Phase::Connect).contains("proxy_connect_timeout"));
        assert!(summary("haproxy", Phase::Connect).contains("timeout connect"));
        assert!(summary("haproxy", Phase::Request).contains("timeout server"));
        // Of a proxy we do not know, no setting is made up.
        assert!(summary("gateway", Phase::Request).contains("a time-out of gateway"));
    }

    #[test]
    fn waits_all_over_the_place_are_nobodys_setting() {
        assert_eq!(
            found(&[900, 2_300, 4_100, 7_700], "nginx", Phase::Request),
            None
        );
        assert_eq!(found(&[60_002, 60_003], "nginx", Phase::Request), None);
        // A few alike among many are chance.
        let waits = [100, 500, 1_000, 1_001, 1_002, 1_900, 2_500, 3_500];
        assert_eq!(found(&waits, "nginx", Phase::Request), None);
    }

    #[test]
    fn the_kernels_patience_is_no_setting_of_the_proxy() {
        let mut script = Script::new();
        for _ in 0..5 {
            script.fail(kernel_gave_up(131_000)).second();
        }
        assert_eq!(script.found(find), None);
    }

    #[test]
    fn two_proxies_have_two_patiences() {
        let mut script = Script::new();
        for _ in 0..3 {
            script.fail(gave_up("nginx", Phase::Request, 5_000));
            script
                .fail(gave_up("haproxy", Phase::Request, 30_000))
                .second();
        }
        script
            .fail(gave_up("haproxy", Phase::Request, 30_000))
            .second();
        let summary = script.found(find).unwrap().summary.unwrap();
        assert!(
            summary.contains("haproxy") && summary.contains("30s"),
            "{summary}"
        );
    }
}
