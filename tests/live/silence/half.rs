//! Half of a connection ends, or a listener with connections that nobody took.

use std::time::Duration;

use gw502_tests::client::{self, Answer, Answers, Request};
use gw502_tests::deadline;
use gw502_tests::dialogue::{Dialogue, Leave};
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::sockets;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};

use super::{Counted, end, verdict};
use crate::scene::{HTTP, LATE, Scene, all_are, watch};
use crate::steady;

const CLIENTS: usize = 40;
/// A connection that was spare for so long is turned away by nobody any more: 1 s.
const SPARE: Duration = Duration::from_millis(1200);

/// The proxies that pass on whatever comes.
const STREAMS: [Kind; 2] = [Kind::NginxStream, Kind::HaproxyTcp];

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: &str, kind: Kind, body: fn(Kind) -> Result<(), Failed>| {
        let name = format!("silence::{name}::{kind}");
        trials.push(steady::trial(name, move || body(kind)));
    };
    for kind in STREAMS {
        add("half_close_is_passed_on", kind, |kind| {
            let option = match kind {
                Kind::NginxStream => "proxy_half_close on;",
                _ => "",
            };
            half_close(kind, Behaviour::AnswerTheEnd, option, true)
        });
        add("spare_when_the_listener_closes", kind, spare);
    }
    // It takes the end of what the client sends for the end of the client.
    add("half_close_ends_all", Kind::NginxStream, |kind| {
        half_close(kind, Behaviour::AnswerTheEnd, "", false)
    });
    add("half_close_of_the_client", Kind::Haproxy, |kind| {
        half_close(kind, Behaviour::WaitOnDemand, "", true)
    });
    add("half_close_of_the_client", Kind::Nginx, |kind| {
        half_close(kind, Behaviour::WaitOnDemand, "", false)
    });
    for kind in HTTP {
        add("listener_closes_on_requests", kind, unaccepted);
        add("listener_of_the_proxy_closes", kind, own_listener);
    }
    trials
}

/// A client that sends nothing more after its request. Whether it gets its answer is the proxy's
/// choice; a failure it is not.
fn half_close(
    kind: Kind,
    behaviour: Behaviour,
    options: &'static str,
    answered: bool,
) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, behaviour, |settings| Settings {
            upstream_options: options,
            ..settings
        })
    });
    let target = scene.proxy.target();
    let mut answers = Answers::default();
    scene.lab.proxy().enter(|| {
        for _ in 0..CLIENTS {
            let mut dialogue = Dialogue::open(target);
            dialogue.ask("GET", "/after/5");
            dialogue.shut_down();
            *answers.0.entry(dialogue.answer()).or_default() += 1;
        }
    });
    let mut differences = Differences::default();
    deadline::wait_until("all connections to end", LATE, || {
        sockets::connections_to(scene.lab.proxy(), scene.upstream.address().tcp()) == 0
            || behaviour == Behaviour::WaitOnDemand
    });
    let counted = Counted::of(&scene);
    let session = end(agent);
    if answered {
        let good = answers.count(Answer::Status(200));
        differences.check("requests answered with 200", &CLIENTS, &good);
        counted.compare(&session, &mut differences);
    } else {
        counted.compare_failures(&session, &mut differences);
        let events = scene.events(&session);
        // Of a connection that it gave up before it sent the request nothing was outstanding.
        let asked = usize::try_from(scene.upstream.counts().requests).unwrap_or_default();
        let good = answers.count(Answer::Status(200));
        if behaviour == Behaviour::WaitOnDemand {
            let unanswered = asked - good;
            differences.check("requests without an answer", &unanswered, &events.len());
        }
        all_are(&events, "aborted/client-gone", &mut differences);
    }
    verdict(&differences, &session)
}

/// The upstream's listener closes while requests wait in its queue: the kernel resets them, and
/// that is what is said.
fn unaccepted(kind: Kind) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::NeverAccept, |settings| {
            Settings {
                read_timeout: Duration::from_secs(20),
                ..settings
            }
        })
    });
    let Scene {
        upstream,
        proxy,
        lab,
    } = scene;
    let netns = lab.proxy().inode();
    let address = upstream.address().tcp();
    let answers = std::thread::scope(|scope| {
        let clients = scope
            .spawn(|| client::send(lab.proxy(), proxy.target(), Request::Get, CLIENTS, CLIENTS));
        deadline::wait_until("all requests in the queue", LATE, || {
            sockets::unread(lab.upstream(), address.port()) == CLIENTS
        });
        drop(upstream);
        clients.join().expect("a client never panics")
    });
    agent.wait_events(CLIENTS, LATE, |event| event.netns() == Some(netns));
    let session = end(agent);

    let mut differences = Differences::default();
    differences.check("answers", &Some(502), &answers.status());
    let events = gw502_tests::expect::events_in(&session, netns);
    differences.check("events", &CLIENTS, &events.len());
    all_are(&events, "reset/reset-before-response", &mut differences);
    verdict(&differences, &session)
}

/// The same with nothing asked on them: spare connections, and nothing failed.
fn spare(kind: Kind) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::NeverAccept, |settings| {
            Settings {
                read_timeout: Duration::from_secs(20),
                ..settings
            }
        })
    });
    let Scene {
        upstream,
        proxy,
        lab,
    } = scene;
    let netns = lab.proxy().inode();
    let counted = Counted::connected(netns, upstream.address().tcp(), CLIENTS as u64);
    let target = proxy.target();
    let clients: Vec<_> = lab
        .proxy()
        .enter(|| (0..CLIENTS).map(|_| Dialogue::open(target)).collect());
    deadline::wait_until("all connections in the queue", LATE, || {
        sockets::unaccepted(lab.upstream(), counted.upstream.port()) == CLIENTS
    });
    deadline::pause_until(deadline::now() + SPARE);
    drop(upstream);
    deadline::wait_until("all connections to end", LATE, || {
        sockets::connections_to(lab.proxy(), counted.upstream) == 0
    });
    for client in clients {
        client.leave(Leave::Close);
    }
    let session = end(agent);
    let mut differences = Differences::default();
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

/// The proxy ends while clients wait in the queue of its listener.
fn own_listener(kind: Kind) -> Result<(), Failed> {
    let (agent, mut scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::Good, |settings| settings)
    });
    let target = scene.proxy.target();
    let answers = client::send(scene.lab.proxy(), target, Request::Get, CLIENTS, 4);
    scene
        .proxy
        .freeze_idle(&scene.lab, scene.upstream.address().tcp());
    let mut differences = Differences::default();
    let refused = scene.lab.proxy().enter(|| {
        let waiting: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut dialogue = Dialogue::open(target);
                dialogue.ask("GET", "/");
                dialogue
            })
            .collect();
        deadline::wait_until("all clients in the queue", LATE, || {
            sockets::unaccepted(scene.lab.proxy(), target.port()) == CLIENTS
        });
        scene.proxy.kill();
        let mut ends = Answers::default();
        for mut dialogue in waiting {
            *ends.0.entry(dialogue.answer()).or_default() += 1;
        }
        ends
    });
    let counted = Counted::of(&scene);
    let session = end(agent);
    differences.check("answers", &Some(200), &answers.status());
    let closed = refused.count(Answer::Closed);
    differences.check("clients turned away", &CLIENTS, &closed);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}
