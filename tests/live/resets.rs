//! Why an upstream of this host sent its RST, where the kernel says so (Linux 6.10+).

use gw502_tests::agent::Event;
use gw502_tests::client::{self, Request};
use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{LATE, Scene, watch};
use crate::steady;

const REQUESTS: usize = 12;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, path, behaviour, reasons: &'static [&str]| {
        let name = format!("resets::{name}");
        steady::trial(name, move || told(path, behaviour, reasons))
    };
    vec![
        trial(
            "closed_with_data_unread",
            Path::Loopback,
            Behaviour::CloseUnread,
            &["TCP_ABORT_ON_CLOSE"],
        ),
        trial(
            "aborted",
            Path::Veth,
            Behaviour::ResetAfterRequest,
            // The latter since Linux 6.17.
            &[
                "TCP_STATE",
                "TCP_ABORT_ON_LINGER",
                "TCP_DISCONNECT_WITH_DATA",
            ],
        ),
    ]
}

/// The RST may be told of before its reason is known, by microseconds: of most it is.
fn told(path: Path, behaviour: Behaviour, reasons: &[&str]) -> Result<(), Failed> {
    let (agent, scene) = watch(Kind::Nginx, || {
        Scene::set(Kind::Nginx, path, behaviour, |settings| settings)
    });
    let target = scene.proxy.target();
    client::send(scene.lab.proxy(), target, Request::Get, REQUESTS, 1);
    agent.wait_events(REQUESTS, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);
    let events = scene.events(&session);
    let reason = |event: &&Event| {
        let reason = event.evidence("upstream_reset")?.get("reason");
        reason.and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let found: Vec<_> = events.iter().filter_map(reason).collect();
    let right = found
        .iter()
        .all(|reason| reasons.contains(&reason.as_str()));
    if right && found.len() * 2 > REQUESTS && events.len() == REQUESTS {
        return Ok(());
    }
    Err(format!("{found:?} of {}\n{}", events.len(), session.stdout).into())
}
