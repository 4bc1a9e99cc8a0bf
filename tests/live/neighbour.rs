//! A SYN that waits for its neighbour's address, leaves in the end, and is refused by an ICMP error:
//! not the neighbour's failure.

use std::thread;
use std::time::Duration;

use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::expect::Differences;
use gw502_tests::firewall::{self, Verdict};
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{HTTP, LATE, Scene, fault, watch};
use crate::steady;

/// The first question for the address gets no answer, the next one does, a second later: about
/// when the SYN would be sent again.
const SILENT: Duration = Duration::from_millis(500);

const ARP_IGNORE: &str = "net/ipv4/conf/all/arp_ignore";
const REQUESTS: usize = 6;

pub(crate) fn trials() -> Vec<Trial> {
    HTTP.map(|kind| {
        let name = format!("neighbour::slow_and_then_refused::{kind}");
        steady::trial(name, move || slow_and_then_refused(kind))
    })
    .into()
}

fn slow_and_then_refused(kind: Kind) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::Good, |settings| Settings {
            connect_timeout: 2 * settings.connect_timeout,
            ..settings
        })
    });
    let (upstream, port) = (scene.lab.upstream(), scene.upstream.address().tcp().port());
    firewall::apply(upstream, port, Verdict::Icmp("host-unreachable"));
    upstream.set_sysctl(ARP_IGNORE, "8");
    let answers = thread::scope(|scope| {
        scope.spawn(|| {
            deadline::pause_until(deadline::now() + SILENT);
            upstream.set_sysctl(ARP_IGNORE, "0");
        });
        let (namespace, target) = (scene.lab.proxy(), scene.proxy.target());
        client::send(namespace, target, Request::Get, REQUESTS, REQUESTS)
    });
    agent.wait_events(REQUESTS, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    let fault = fault("slow_neighbour_then_icmp", "unreachable/host-unreachable");
    let fault = fault.says(kind, "113: No route to host", Some("SC status=503"));
    scene.compare_fault(&fault, REQUESTS, &session, &mut differences);
    scene.verdict(&differences, &session, &answers.to_string())
}
