//! Upstreams that speak TLS: each side says `close_notify` before it closes, and nothing failed. What
//! the proxy says then is the last word on the connection, as a request would be.

use gw502_tests::agent::Agent;
use gw502_tests::app::{Tls, node_tls};
use gw502_tests::client::{self, Answer, Request};
use gw502_tests::deadline;
use gw502_tests::expect::Differences;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::{Kind, Proxy, Settings, Talk};
use gw502_tests::{machine, sockets};
use libtest_mimic::{Failed, Trial};

use super::{Counted, end, verdict};
use crate::scene::{HTTP, LATE, settings};
use crate::steady;

const ROUNDS: usize = 3;
const REQUESTS: usize = 40;

pub(super) fn trials() -> Vec<Trial> {
    let rows = HTTP.into_iter().flat_map(|kind| {
        [
            ("upstream_closes_each", kind, false),
            ("upstream_closes_idle_ones", kind, true),
        ]
    });
    rows.map(|(name, kind, keep_alive)| {
        let name = format!("silence::tls::{name}::{kind}");
        steady::trial(name, move || goodbyes(kind, keep_alive))
    })
    .collect()
}

/// Requests in rounds, with no connection left in between.
fn goodbyes(kind: Kind, keep_alive: bool) -> Result<(), Failed> {
    let missing = machine::missing_apps();
    if !missing.is_empty() {
        return Err(missing.join("\n").into());
    }
    let lab = Lab::new(Path::Veth);
    let agent = Agent::spawn(&["--proxy", kind.program()]);
    let port = sockets::free_port(lab.upstream());
    let address = (lab.upstream_address(Family::V4), port).into();
    let app = node_tls(
        &lab,
        address,
        &Tls::new(lab.scratch()),
        &["keepAliveTimeout=400"],
    );
    let proxy = Proxy::start(
        &lab,
        &Settings {
            keep_alive,
            talk: Talk::Tls,
            ..settings(kind, app.address())
        },
    );
    agent.wait_ready();
    let mut differences = Differences::default();
    for _ in 0..ROUNDS {
        let answers = client::send(lab.proxy(), proxy.target(), Request::Get, REQUESTS, 8);
        let good = answers.count(Answer::Status(200));
        differences.check("requests answered with 200", &REQUESTS, &good);
        deadline::wait_until("all connections to end", 10 * LATE, || {
            sockets::connections_to(lab.proxy(), address) == 0
        });
    }
    let opened = sockets::active_opens(lab.proxy()) - (ROUNDS * REQUESTS) as u64;
    let counted = Counted::connected(lab.proxy().inode(), address, opened);
    let session = end(agent);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}
