//! Clients that leave at any moment among others that get their answers: the proxy cancels what it
//! has begun for them, and nothing has failed.
#![expect(
    clippy::print_stdout,
    reason = "which moments they were is worth to be seen"
)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gw502_tests::client::{self, Answer, Answers};
use gw502_tests::deadline;
use gw502_tests::dialogue::{Dialogue, Leave};
use gw502_tests::dice::{self, Dice};
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::Path;
use gw502_tests::netns::Namespace;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::report::{self, Row};
use gw502_tests::sockets;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};

use super::{Counted, EndOnDrop, end, verdict};
use crate::scene::{HTTP, LATE, Scene, watch};
use crate::steady;

/// Clients that leave, and how many at a time.
const LEAVE: usize = 200;
const PARALLEL: usize = 10;

/// The upstream answers after up to so long, and needs as long again for the second half. They
/// leave after up to three times as long: before, while and after anything happens.
const ANSWER_MS: u64 = 20;

/// Clients that stay, and what each of them asks in a row.
const STAY: usize = 4;
const BATCH: usize = 50;

pub(super) fn trials() -> Vec<Trial> {
    let settings = |keep_alive, abort_on_close| {
        move |settings| Settings {
            keep_alive,
            abort_on_close,
            ..settings
        }
    };
    let mut trials = Vec::new();
    for kind in HTTP {
        let mut add = |name, path, keep_alive, abort_on_close| {
            trials.push(steady::trial(
                format!("silence::{name}::{kind}"),
                move || leave(name, kind, path, settings(keep_alive, abort_on_close)),
            ));
        };
        add("clients_leave", Path::Veth, false, false);
        add("clients_leave_kept_alive", Path::Veth, true, false);
        if !kind.is_nginx() {
            // nginx has no such option: it always ends what it began.
            add("clients_leave_abortonclose", Path::Veth, false, true);
            add(
                "clients_leave_kept_alive_abortonclose",
                Path::Veth,
                true,
                true,
            );
        }
        // While the proxy still connects, too.
        add("clients_leave_early", Path::Delayed, false, true);
    }
    trials
}

fn leave(
    name: &'static str,
    kind: Kind,
    path: Path,
    tune: impl FnOnce(Settings) -> Settings,
) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, path, Behaviour::WaitOnDemand, tune)
    });
    let seed = dice::seed();
    let done = AtomicBool::new(false);
    // Not beside the proxy: what connects there is the proxy alone.
    let clients_are = scene.lab.upstream();
    let target = scene.proxy.target_at(scene.lab.proxy_address());
    let stayed = thread::scope(|scope| {
        let staying = scope.spawn(|| {
            let mut answers = Answers::default();
            while !done.load(Ordering::Relaxed) {
                answers.add(&client::load(clients_are, target, BATCH, STAY));
            }
            answers
        });
        let load_ends = EndOnDrop(&done);
        play(clients_are, target, &clients(seed));
        drop(load_ends);
        staying.join().expect("a client never panics")
    });
    let stayed_good = stayed.count(Answer::Status(200));
    // A proxy that goes on for a client that has left has its answer by then.
    deadline::pause_until(deadline::now() + Duration::from_millis(3 * ANSWER_MS));
    // What it begins later would be counted by one and not by the other.
    scene.proxy.pause();
    deadline::wait_until("what it has begun to be accepted", LATE, || {
        let port = scene.upstream.address().tcp().port();
        sockets::connecting(scene.lab.proxy()) + sockets::unaccepted(scene.lab.upstream(), port)
            == 0
    });
    let counted = Counted {
        attempts: sockets::active_opens(scene.lab.proxy()),
        ..Counted::of(&scene)
    };
    let session = end(agent);
    scene.proxy.resume();

    let mut differences = Differences::default();
    differences.check("answers to those who stayed", &Some(200), &stayed.status());
    let events = scene.events(&session);
    let (left, others) = cancelled(&scene);
    differences.check(
        "requests of others that were cancelled",
        &Vec::new(),
        &others,
    );
    if events.len() > left {
        differences.note(format!(
            "{} events of {left} cancelled requests",
            events.len()
        ));
    }
    counted.compare_failures(&session, &mut differences);
    println!(
        "\n\n{name} through {kind}: seed {seed}, {LEAVE} clients left, {left} of them before their \
         answer, while {stayed_good} requests were answered; {} events: {}\n",
        events.len(),
        expect::verdicts(&events)
    );
    // What the proxy cancelled did not fail.
    let failures = events
        .iter()
        .filter(|event| !event.verdict().starts_with("aborted/"));
    report::add(Row {
        fault: name,
        proxy: kind,
        path,
        failed: 0,
        events: failures.count(),
        expected: "aborted",
        seen: expect::verdicts(&events),
        log_lines: scene.proxy.wait_log(0).complaints.len(),
        agrees: differences.is_empty(),
    });
    verdict(&differences, &session)
}

/// How many requests of clients that leave the proxy cancelled, by its log; and which others.
fn cancelled(scene: &Scene) -> (usize, Vec<String>) {
    let text = scene.proxy.text();
    let cancelled = text.lines().filter(|line| {
        let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key));
        // `HAProxy` says C for a client that left, whichever way.
        match word("end=") {
            Some(end) => end.starts_with('C'),
            None => word("status=") == Some("499"),
        }
    });
    let (left, others): (Vec<_>, Vec<_>) = cancelled
        .map(str::to_owned)
        .partition(|line| line.contains("path=/after/") || line.contains("<NOSRV>"));
    (left.len(), others)
}

/// What a client does, and when, counted from when it is connected.
struct Client {
    path: String,
    /// The first part of its request leaves at once, the second then.
    asks: Duration,
    leaves: Duration,
    how: Leave,
}

fn clients(seed: u64) -> Vec<Client> {
    let mut dice = Dice::new(seed);
    let mut moment = |ms: u64| Duration::from_micros(dice.roll(0..ms * 1000));
    (0..LEAVE)
        .map(|n| {
            let wait = moment(ANSWER_MS).as_millis();
            let asks = moment(5);
            // One of eight the moment it has asked.
            let leaves = if n % 8 == 0 {
                asks
            } else {
                moment(3 * ANSWER_MS)
            };
            let how = if n % 2 == 0 {
                Leave::Close
            } else {
                Leave::Reset
            };
            Client {
                path: format!("/after/{wait}/{n}"),
                asks,
                leaves,
                how,
            }
        })
        .collect()
}

/// Lets every client do what it is to do, so many at a time.
fn play(namespace: &Namespace, target: SocketAddr, clients: &[Client]) {
    namespace.enter(|| {
        thread::scope(|scope| {
            for clients in clients.chunks(LEAVE / PARALLEL) {
                scope.spawn(move || {
                    for client in clients {
                        let mut dialogue = Dialogue::open(target);
                        let start = deadline::now();
                        dialogue.send(&format!("GET {} HT", client.path));
                        deadline::pause_until(start + client.asks.min(client.leaves));
                        if client.asks <= client.leaves {
                            dialogue.send("TP/1.1\r\nHost: bench\r\n\r\n");
                            deadline::pause_until(start + client.leaves);
                        }
                        dialogue.leave(client.how);
                    }
                });
            }
        });
    });
}
