//! Multipath TCP: a connection of the application is a TCP connection below it, and that one counts.

use std::net::IpAddr;

use gw502_tests::deadline;
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{DEVICE, Family, Lab};
use gw502_tests::socket::Protocol;
use gw502_tests::sockets;
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::{Failed, Trial};

use super::direct::{TIMES, ask, check_refusals, exchange, wait_refusals, watch_us};
use super::{Counted, end, verdict};
use crate::scene::{LATE, all_are};
use crate::steady;

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = vec![steady::trial("silence::mptcp::second_path", second_path)];
    for (family, name) in [(Family::V4, "v4"), (Family::V6, "v6")] {
        let mut add = |what: &str, body: fn(Family) -> Result<(), Failed>| {
            let name = format!("silence::mptcp::{what}::{name}");
            trials.push(steady::trial(name, move || body(family)));
        };
        add("upstream_closes", |family| {
            good(family, Behaviour::Good, Protocol::Mptcp)
        });
        add("client_closes", |family| {
            good(family, Behaviour::GoodKeepAlive, Protocol::Mptcp)
        });
        // The connection falls back to TCP.
        add("upstream_has_only_tcp", |family| {
            good(family, Behaviour::Good, Protocol::Tcp)
        });
        add("refused", refused);
        add("reset_after_request", |family| {
            broken(
                family,
                Behaviour::ResetAfterRequest,
                "reset/reset-before-response",
            )
        });
        add("close_after_request", |family| {
            broken(
                family,
                Behaviour::CloseAfterRequest,
                "closed/closed-before-response",
            )
        });
    }
    trials
}

#[track_caller]
fn upstream(lab: &Lab, family: Family, behaviour: Behaviour, protocol: Protocol) -> Upstream {
    let address: IpAddr = lab.upstream_address(family);
    Upstream::start_at(lab.upstream(), (address, 0).into(), behaviour, protocol)
}

fn good(family: Family, behaviour: Behaviour, spoken: Protocol) -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let upstream = upstream(&lab, family, behaviour, spoken);
    let answered = lab.proxy().enter(|| {
        let good = |_: &u64| {
            let stream = Protocol::Mptcp.connect(upstream.address().tcp());
            stream.is_ok_and(exchange)
        };
        (0..TIMES).filter(good).count() as u64
    });
    let counted = Counted::by_upstream(&lab, &upstream);
    let session = end(agent);
    let mut differences = Differences::default();
    differences.check("answers", &TIMES, &answered);
    differences.check("accepted", &TIMES, &counted.accepted);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

/// The kernel opens a second TCP connection from another address of ours: the application still
/// has made one connection, and the kernel's is nobody's.
fn second_path() -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let namespace = lab.proxy();
    for side in [namespace, lab.upstream()] {
        side.ip(&["mptcp", "limits", "set", "subflow", "2"]);
    }
    let second = lab.spare_address().to_string();
    namespace.add_address(DEVICE, &format!("{second}/24"));
    let endpoint = ["mptcp", "endpoint", "add", &second];
    namespace.ip(&[&endpoint[..], &["dev", DEVICE, "subflow"]].concat());
    let upstream = upstream(&lab, Family::V4, Behaviour::GoodKeepAlive, Protocol::Mptcp);
    let mut joined = 0;
    for _ in 0..TIMES {
        let stream = namespace.enter(|| Protocol::Mptcp.connect(upstream.address().tcp()));
        let mut stream = stream.expect("the upstream listens");
        assert!(ask(&mut stream), "an answer");
        joined += 2;
        deadline::wait_until("a second path", LATE, || {
            sockets::active_opens(namespace) >= joined
        });
        assert!(ask(&mut stream), "another answer");
    }
    let counted = Counted::by_upstream(&lab, &upstream);
    let session = end(agent);
    let mut differences = Differences::default();
    differences.check("accepted", &TIMES, &counted.accepted);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

fn refused(family: Family) -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let upstream = upstream(&lab, family, Behaviour::Refuse, Protocol::Tcp);
    let target = upstream.address().tcp();
    let refused = lab.proxy().enter(|| {
        let refused = |_: &u64| Protocol::Mptcp.connect(target).is_err();
        (0..TIMES).filter(refused).count() as u64
    });
    let session = wait_refusals(agent, &lab);
    let mut differences = Differences::default();
    differences.check("refused", &TIMES, &refused);
    check_refusals(&session, &lab, target, &mut differences);
    verdict(&differences, &session)
}

/// A failure after the handshake: one event, as for TCP.
fn broken(family: Family, behaviour: Behaviour, cause: &str) -> Result<(), Failed> {
    let (agent, lab) = watch_us();
    let upstream = upstream(&lab, family, behaviour, Protocol::Mptcp);
    let answered = lab.proxy().enter(|| {
        let good = |_: &u64| {
            let stream = Protocol::Mptcp.connect(upstream.address().tcp());
            stream.is_ok_and(exchange)
        };
        (0..TIMES).filter(good).count()
    });
    let netns = lab.proxy().inode();
    let count = usize::try_from(TIMES).unwrap_or_default();
    agent.wait_events(count, LATE, |event| event.netns() == Some(netns));
    let session = end(agent);
    let mut differences = Differences::default();
    differences.check("answers", &0, &answered);
    let events = expect::events_in(&session, netns);
    differences.check("events", &count, &events.len());
    all_are(&events, cause, &mut differences);
    let summary = session.summary.as_ref();
    let attempts = summary.and_then(|summary| summary.attempts(netns, &upstream.address()));
    differences.check("attempts", &Some(TIMES), &attempts);
    verdict(&differences, &session)
}
