//! One request taken back by HTTP/2: the client's connection stays, so TCP shows nothing of why the
//! proxy gives up.
#![expect(
    clippy::print_stdout,
    reason = "`cargo xtask vm-test` reads the result in these words"
)]

use std::time::Duration;

use gw502_tests::agent::{self, Event};
use gw502_tests::deadline;
use gw502_tests::http2::Http2;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::Behaviour;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::scene::{LATE, Scene, watch};

const ASK: Duration = Duration::from_secs(10);

pub(super) fn cancel() -> Result<(), Failed> {
    let (agent, scene) = watch(Kind::Nginx, || {
        Scene::set(
            Kind::Nginx,
            Path::Veth,
            Behaviour::HangOnDemand,
            |settings| Settings {
                read_timeout: Duration::from_mins(1),
                http2: true,
                ..settings
            },
        )
    });
    let target = scene.proxy.target();
    let mut client = scene.lab.proxy().enter(|| Http2::open(target));
    client.ask("/hang");
    let asked = || scene.upstream.counts().requests == 1;
    deadline::wait_until("the request at the upstream", ASK, asked);
    client.cancel();
    agent.wait_events(1, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);
    drop(client);
    let events = scene.events(&session).into_iter();
    let verdicts: Vec<_> = events.map(Event::verdict).collect();
    let declared = agent::blind_spots().contains("http2-cancel");
    match (declared, &verdicts[..]) {
        (true, [one]) if one == "aborted/cancelled" => {
            println!("blind, as declared");
            Ok(())
        }
        (false, [one]) if one == "aborted/client-gone" => Ok(()),
        _ => Err(format!(
            "declared blind: {declared}; seen {verdicts:?}\n{}{}",
            session.stdout, session.stderr
        )
        .into()),
    }
}
