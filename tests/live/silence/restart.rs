//! Proxies and upstreams that are started anew, with requests going on or with nothing outstanding.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gw502_tests::agent::Agent;
use gw502_tests::client::{self, Answer, Answers, Request};
use gw502_tests::deadline;
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Proxy, Settings};
use gw502_tests::sockets;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use super::{Counted, EndOnDrop, end, verdict};
use crate::scene::{HTTP, Scene, settings, watch};
use crate::steady;

const LATE: Duration = Duration::from_secs(10);
const RELOADS: usize = 3;
/// Requests before each reload, and at a time.
const BATCH: usize = 400;
const PARALLEL: usize = 8;

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in HTTP {
        for (name, kept) in [
            ("reload_under_load", false),
            ("reload_under_load_kept_alive", true),
        ] {
            let name = format!("silence::{name}::{kind}");
            trials.push(steady::trial(name, move || reload(kind, kept)));
        }
        // Of the other program, which is the upstream.
        let gracefully = match kind {
            Kind::Nginx => Signal::SIGUSR1,
            _ => Signal::SIGQUIT,
        };
        for (name, signal) in [
            ("upstream_is_killed_idle", Signal::SIGKILL),
            ("upstream_ends_idle", Signal::SIGTERM),
            ("upstream_ends_idle_gracefully", gracefully),
        ] {
            let name = format!("silence::{name}::{kind}");
            trials.push(steady::trial(name, move || upstream_restarts(kind, signal)));
        }
    }
    trials
}

/// The proxy is reloaded again and again while good requests go on.
fn reload(kind: Kind, keep_alive: bool) -> Result<(), Failed> {
    let behaviour = if keep_alive {
        Behaviour::WaitOnDemand
    } else {
        Behaviour::Good
    };
    let (agent, mut scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, behaviour, |settings| Settings {
            keep_alive,
            ..settings
        })
    });
    let target = scene.proxy.target();
    let done = AtomicBool::new(false);
    let mut answers = Answers::default();
    thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut answers = Answers::default();
            while !done.load(Ordering::Relaxed) {
                let namespace = scene.lab.proxy();
                answers.add(&client::send(
                    namespace,
                    target,
                    Request::Get,
                    PARALLEL * 5,
                    PARALLEL,
                ));
            }
            answers
        });
        let load_ends = EndOnDrop(&done);
        for _ in 0..RELOADS {
            let before = scene.upstream.counts().requests;
            deadline::wait_until("requests in between", LATE, || {
                scene.upstream.counts().requests >= before + BATCH as u64
            });
            scene.proxy.reload(&scene.lab);
        }
        drop(load_ends);
        answers = clients.join().expect("a client never panics");
    });
    let counted = Counted::of(&scene);
    // Closes what the proxy still holds.
    drop(scene.upstream);
    let session = end(agent);

    let mut differences = Differences::default();
    let good = answers.count(Answer::Status(200));
    if good < RELOADS * BATCH {
        differences.note(format!("only {good} good requests"));
    }
    // A client in the queue of a listener that closes is turned away.
    let turned_away = answers.count(Answer::Closed) + answers.count(Answer::NoProxy);
    let all: usize = answers.0.values().sum();
    differences.check("answered or turned away", &all, &(good + turned_away));
    if kind.is_nginx() {
        differences.check("turned away", &0, &turned_away);
    }
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

/// An upstream that is a program of its own, here the other proxy, ends while the connections to it
/// are idle, and starts again on its port.
fn upstream_restarts(kind: Kind, signal: Signal) -> Result<(), Failed> {
    let agent = Agent::spawn(&["--proxy", kind.program()]);
    let Restarting { scene, mut program } = Restarting::set(kind);
    agent.wait_ready();
    let namespace = scene.lab.proxy();
    let upstream = program.target();
    let open = || sockets::connections_to(namespace, upstream);
    let mut differences = Differences::default();
    let mut requests = 0;
    for round in 0..3 {
        if round > 0 {
            differences.check("connections were kept", &true, &(open() > 0));
            program.signal_all(signal);
            program.wait_end();
            deadline::wait_until("the proxy to notice", LATE, || open() == 0);
            program.start_again(&scene.lab);
        }
        let target = scene.proxy.target();
        let answers = client::send(namespace, target, Request::Get, BATCH, PARALLEL);
        requests += BATCH as u64;
        differences.check("answers", &Some(200), &answers.status());
    }
    // Everything else that connected in this namespace: the clients, and the upstream to its own.
    let others = requests + scene.upstream.counts().accepted;
    let opened = sockets::active_opens(namespace) - others;
    let counted = Counted::connected(scene.netns(), upstream, opened);
    let session = end(agent);
    differences.check(
        "connections were used again",
        &true,
        &(counted.accepted < requests),
    );
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

/// A proxy whose upstream can be ended and started again.
struct Restarting {
    /// The proxy under test, and the server behind its upstream.
    scene: Scene,
    program: Proxy,
}

impl Restarting {
    #[track_caller]
    fn set(kind: Kind) -> Self {
        let other = match kind {
            Kind::Nginx => Kind::Haproxy,
            _ => Kind::Nginx,
        };
        let Scene {
            upstream,
            proxy: program,
            lab,
        } = Scene::set(other, Path::Loopback, Behaviour::Good, |settings| settings);
        let tuned = |upstream: SocketAddr| Settings {
            keep_alive: true,
            ..settings(kind, upstream.into())
        };
        let proxy = Proxy::start(&lab, &tuned(program.target()));
        let scene = Scene {
            upstream,
            proxy,
            lab,
        };
        Self { scene, program }
    }
}
