//! A proxy that lost its patience, or a client that did: to TCP both are a close with a request
//! outstanding.
//!
//! Each request has a path of its own. The proxy's log says what became of it, the upstream which
//! connection it came on, and gw502's events are compared by that connection.
#![expect(clippy::print_stdout, reason = "the table is the suite's output")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use gw502_tests::client::Answers;
use gw502_tests::deadline;
use gw502_tests::dialogue::{Dialogue, Leave};
use gw502_tests::dice::Dice;
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{HTTP, LATE, Scene, all_are, watch};
use crate::steady;

/// Requests of each kind.
const MANY: u64 = 200;
/// A client that leaves waits so long before: up to just before the proxy would.
const LEAVES_MS: std::ops::Range<u64> = 10..1970;

pub(crate) fn trials() -> Vec<Trial> {
    let rows = HTTP.into_iter().flat_map(|kind| {
        [
            ("time_outs_among_clients_that_leave", kind, MANY, 4000),
            ("clients_that_leave", kind, 0, 2000),
        ]
    });
    let rows = rows.map(|(name, kind, time_outs, spread_ms)| {
        steady::trial(format!("patience::{name}::{kind}"), move || {
            tell_apart(name, kind, time_outs, spread_ms)
        })
    });
    let name = "one_that_left_and_is_served_on_hides_no_time_out";
    let served_on = steady::trial(format!("patience::{name}::haproxy"), served_on);
    rows.chain([served_on]).collect()
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    TimedOut,
    ClientLeft,
    Answered,
}

/// A client and its schedule.
struct Client {
    path: String,
    starts: Duration,
    leaves: Option<(Duration, Leave)>,
}

/// The requests start within `spread_ms`.
fn tell_apart(name: &str, kind: Kind, time_outs: u64, spread_ms: u64) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::HangOnDemand, |settings| {
            Settings {
                abort_on_close: true,
                ..settings
            }
        })
    });
    let clients = clients(time_outs, spread_ms);
    let answers = play(&scene, &clients);
    let requests = clients.len();
    let log = scene.proxy.wait_log(requests);
    let hanging = usize::try_from(time_outs + MANY).unwrap_or_default();
    agent.wait_events(hanging, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    differences.check("requests in the proxy's log", &requests, &log.requests);
    scene.compare(&session, &mut differences);
    let fates = fates(&scene);
    // In order: a port may be used again, one connection after the other.
    let mut verdicts: BTreeMap<SocketAddr, VecDeque<String>> = BTreeMap::new();
    for event in scene.events(&session) {
        if let Some(local) = event.local() {
            let of_port = verdicts.entry(local).or_default();
            of_port.push_back(event.verdict());
        }
    }
    let mut table = Confusion::default();
    for visit in scene.upstream.visits() {
        let Some(&fate) = fates.get(&visit.path) else {
            differences.note(format!("{} is not in the proxy's log", visit.path));
            continue;
        };
        // Whatever is said of an answered one is left over in the end.
        let said = verdicts
            .get_mut(&visit.peer)
            .filter(|_| fate != Fate::Answered)
            .and_then(VecDeque::pop_front);
        if said.is_none() && fate != Fate::Answered {
            differences.note(format!("{}: {fate:?}, and there is no event", visit.path));
        }
        let said = said.unwrap_or_else(|| "-".to_owned());
        *table.0.entry((fate, said)).or_default() += 1;
    }
    verdicts.retain(|_, left| !left.is_empty());
    differences.check("events of no such request", &BTreeMap::new(), &verdicts);
    println!("\n\n{name} through {kind}\n{table}");
    table.judge(time_outs, &mut differences);
    scene.verdict(&differences, &session, &answers.to_string())
}

/// `HAProxy` without `option abortonclose` waits for the answer to a client that has left. What runs
/// into its time-out meanwhile does not end for that client's sake.
fn served_on() -> Result<(), Failed> {
    const WAIT: u64 = 20;
    const HANGS: &str = "/hang/leaves";
    let (agent, scene) = watch(Kind::Haproxy, || {
        Scene::set(
            Kind::Haproxy,
            Path::Veth,
            Behaviour::HangOnDemand,
            |settings| settings,
        )
    });
    let client = |path: String, starts_ms, leaves| Client {
        path,
        starts: Duration::from_millis(starts_ms),
        leaves,
    };
    let waits = (0..WAIT).map(|n| client(format!("/hang/waits/{n}"), n * 10, None));
    // It has left for more than half a second when the first of them times out after two, and its own
    // request is still under way when the last one does.
    let gone = (Duration::from_millis(50), Leave::Close);
    let leaves = client(HANGS.to_owned(), 1200, Some(gone));
    let clients: Vec<_> = waits.chain([leaves]).collect();
    let answers = play(&scene, &clients);
    let log = scene.proxy.wait_log(clients.len());
    agent.wait_events(clients.len(), LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    differences.check("requests in the proxy's log", &clients.len(), &log.requests);
    let visits = scene.upstream.visits();
    let leaver = visits.iter().find(|visit| visit.path == HANGS);
    let leaver = leaver.map(|visit| visit.peer);
    let events = scene.events(&session);
    let waits: Vec<_> = events
        .into_iter()
        .filter(|event| event.local() != leaver)
        .collect();
    let expected = usize::try_from(WAIT).unwrap_or_default();
    differences.check("time-outs of those who waited", &expected, &waits.len());
    all_are(&waits, "timeout/response-timeout", &mut differences);
    scene.verdict(&differences, &session, &answers.to_string())
}

/// Clients that wait for ever, clients that leave, and such as get an answer at once, at moments
/// that look random and are the same each time.
fn clients(time_outs: u64, spread_ms: u64) -> Vec<Client> {
    let mut dice = Dice::new(502);
    let mut clients = Vec::new();
    for n in 0..time_outs + MANY + MANY / 2 {
        let starts = Duration::from_millis(dice.roll(0..spread_ms));
        let after = Duration::from_micros(dice.roll(LEAVES_MS.start * 1000..LEAVES_MS.end * 1000));
        let how = if n % 2 == 0 {
            Leave::Close
        } else {
            Leave::Reset
        };
        let (path, leaves) = if n < time_outs {
            (format!("/hang/waits/{n}"), None)
        } else if n < time_outs + MANY {
            (format!("/hang/leaves/{n}"), Some((after, how)))
        } else {
            (format!("/good/{n}"), None)
        };
        clients.push(Client {
            path,
            starts,
            leaves,
        });
    }
    clients
}

/// Lets every client do what its schedule says.
#[track_caller]
fn play(scene: &Scene, clients: &[Client]) -> Answers {
    let target = scene.proxy.target();
    let mut answers = Answers::default();
    scene.lab.proxy().enter(|| {
        let start = deadline::now();
        thread::scope(|scope| {
            let running: Vec<_> = clients
                .iter()
                .map(|client| {
                    scope.spawn(move || {
                        deadline::pause_until(start + client.starts);
                        let mut dialogue = Dialogue::open(target);
                        dialogue.ask("GET", &client.path);
                        let Some((after, how)) = client.leaves else {
                            return Some(dialogue.answer());
                        };
                        deadline::pause_until(deadline::now() + after);
                        dialogue.leave(how);
                        None
                    })
                })
                .collect();
            for client in running {
                let answer = client.join().expect("a client never panics");
                if let Some(answer) = answer {
                    *answers.0.entry(answer).or_default() += 1;
                }
            }
        });
    });
    answers
}

/// What the proxy's log says about each path.
fn fates(scene: &Scene) -> BTreeMap<String, Fate> {
    let text = scene.proxy.text();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("request "));
    lines
        .filter_map(|line| {
            let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key));
            // `HAProxy` says C for a client that left, whichever way.
            let fate = match (word("end="), word("status=")?) {
                (Some("sH"), _) | (None, "504") => Fate::TimedOut,
                (Some(end), _) if end.starts_with('C') => Fate::ClientLeft,
                (None, "499") => Fate::ClientLeft,
                (Some("--") | None, "200") => Fate::Answered,
                _ => return None,
            };
            Some((word("path=")?.to_owned(), fate))
        })
        .collect()
}

/// How often gw502 said what of which fate.
#[derive(Default)]
struct Confusion(BTreeMap<(Fate, String), u64>);

impl Confusion {
    fn count(&self, fate: Fate, wanted: impl Fn(&str) -> bool) -> u64 {
        let of_fate = self.0.iter().filter(|((of, _), _)| *of == fate);
        of_fate
            .filter(|((_, said), _)| wanted(said))
            .map(|(_, count)| count)
            .sum()
    }

    fn judge(&self, time_outs: u64, differences: &mut Differences) {
        let accused = self.count(Fate::ClientLeft, |said| !said.starts_with("aborted/"));
        differences.check("clients that left and are called a failure", &0, &accused);
        let real = self.count(Fate::TimedOut, |_| true);
        let found = self.count(Fate::TimedOut, |said| said == "timeout/response-timeout");
        if found * 100 < real * 95 {
            differences.note(format!("{found} of {real} time-outs were found"));
        }
        // That there was something to tell apart.
        let left = self.count(Fate::ClientLeft, |_| true);
        if real < time_outs || left * 100 < MANY * 95 {
            differences.note(format!(
                "only {real} time-outs and {left} clients that left"
            ));
        }
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<12}{:<30}COUNT", "REALLY", "SEEN")?;
        for ((fate, said), count) in &self.0 {
            let fate = format!("{fate:?}");
            writeln!(formatter, "{fate:<12}{said:<30}{count}")?;
        }
        Ok(())
    }
}
