//! The live half of every verb that watches: kernel → ring → decode → classify → enrich → refine.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use aya::maps::MapError;
use jiff::tz::TimeZone;
use tokio::signal::unix::Signal;
use tokio::time::MissedTickBehavior;

use super::setup;
use super::stop::Stop;
use crate::aggregate::{Counted, Idle};
use crate::classify::Classifier;
use crate::cli::Problem;
use crate::cli::args::Selection;
use crate::cli::exit::Exit;
use crate::clock::{self, TimeAnchor};
use crate::enrich::{HostBook, ProcessBook};
use crate::event::Failure;
use crate::intake::calls::Calls;
use crate::intake::counters::Counters;
use crate::intake::decode::{DecodeError, Decoded};
use crate::intake::ring::{BATCH, Ring};
use crate::kernel::processes;
use crate::kernel::root::KernelRoot;
use crate::plan::{Plan, blind_to, listed};
use crate::probe::{Probe, Watch};
use crate::render::Origin;
use crate::rule;

/// How often to look for `connect()` calls that do not return.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// More, please.
    Go,
    /// Enough.
    Stop,
}

/// What a run that counts comes to know.
pub(super) enum Moment<'a> {
    /// A failure, or what the proxy cancelled.
    Event(&'a Failure),
    /// Everything counted by now, `CLOCK_BOOTTIME` nanoseconds. The events it counts have mostly
    /// been handed over before.
    Counted(&'a Counted, u64),
    /// A SIGHUP, where [`Live::hear_hangups`] asked for them.
    HungUp,
}

/// Programs in the kernel, and everything needed to turn their records into failures.
pub(super) struct Live {
    probe: Probe,
    ring: Ring,
    counters: Counters,
    calls: Calls,
    stop: Stop,
    hangup: Option<Signal>,
    idle: Option<Idle>,
    stages: Stages,
}

/// What stands between a record and a failure.
struct Stages {
    classifier: Classifier,
    processes: ProcessBook,
    host: HostBook,
    /// Records lost before the last one that came.
    lost_total: u64,
    /// Records that could not be decoded.
    undecodable: u64,
}

impl Live {
    /// Attaches every program and says so: what happens from then on is not missed.
    pub(super) fn start(selection: &Selection) -> Result<(Self, Origin), Problem> {
        let root = KernelRoot::new(selection.btf.clone());
        let watch = setup::watch(selection, &root)?;
        let stop = Stop::new(selection.duration).map_err(|error| failed("cannot wait", &error))?;
        let origin = origin(&root).map_err(|error| failed("cannot tell the time", &error))?;

        let mut probe = setup::load(&root, &watch, selection.ways.wish())?;
        let taken = probe
            .ring()
            .and_then(|ring| Ok((ring, probe.counters()?, probe.calls(root.clone())?)))
            .and_then(|taken| Ok((taken, probe.servers()?)));
        let ((ring, counters, calls), servers) =
            taken.map_err(|error| failed("cannot read from the kernel", &error))?;
        let ring = Ring::new(ring).map_err(|error| failed("cannot wait for the kernel", &error))?;
        announce(&root, &origin, &watch, probe.plan());
        let stages = Stages {
            classifier: Classifier::default(),
            processes: ProcessBook::new(root.clone()),
            host: HostBook::new(root, servers),
            lost_total: 0,
            undecodable: 0,
        };
        Ok((
            Self {
                probe,
                ring,
                counters,
                calls,
                stop,
                hangup: None,
                idle: None,
                stages,
            },
            origin,
        ))
    }

    /// The run goes on when the reader of standard output leaves.
    pub(super) fn outlive_stdout(&mut self) {
        self.stop.outlive_stdout();
    }

    /// From now on SIGHUPs are handed over like everything else.
    pub(super) fn hear_hangups(&mut self, hangup: Signal) {
        self.hangup = Some(hangup);
    }

    /// From now on upstreams that are idle for so long are forgotten, so that there is room for others
    /// however long the run is: [`Counted::forgotten`] says which.
    pub(super) fn forget_after(&mut self, idle: Duration) {
        let for_ns = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        self.idle = Some(Idle::new(for_ns));
    }

    /// How everything is seen.
    pub(super) const fn plan(&self) -> &Plan {
        self.probe.plan()
    }

    /// Hands every failure to `take` until it or the user has enough; then detaches, and hands
    /// over what is still in the ring.
    pub(super) async fn follow<E: From<io::Error> + From<MapError>>(
        &mut self,
        mut take: impl FnMut(&Failure) -> Result<Flow, E>,
    ) -> Result<(), E> {
        self.watch(false, |moment| match moment {
            Moment::Event(failure) => take(failure),
            Moment::Counted(..) | Moment::HungUp => Ok(Flow::Go),
        })
        .await
    }

    /// The same, and hands over what was counted: once a second, and at the end.
    pub(super) async fn follow_counting<E: From<io::Error> + From<MapError>>(
        &mut self,
        take: impl FnMut(Moment<'_>) -> Result<Flow, E>,
    ) -> Result<(), E> {
        self.watch(true, take).await
    }

    async fn watch<E: From<io::Error> + From<MapError>>(
        &mut self,
        counting: bool,
        mut all: impl FnMut(Moment<'_>) -> Result<Flow, E>,
    ) -> Result<(), E> {
        let Self {
            probe,
            ring,
            counters,
            calls,
            stop,
            hangup,
            idle,
            stages,
        } = self;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flow = Flow::Go;
        let mut asked = std::pin::pin!(stop.asked());
        while flow == Flow::Go {
            let mut take = |failure: &Failure| all(Moment::Event(failure));
            tokio::select! {
                () = &mut asked => break,
                () = next(hangup) => flow = all(Moment::HungUp)?,
                result = ring.ready(|record| stages.hand_over(&record, &mut take, &mut flow)) => {
                    result?;
                }
                _ = look.tick() => {
                    stages.blocked(calls, &mut take, &mut flow)?;
                    if counting {
                        let hand_over = |record| stages.hand_over(&record, &mut take, &mut flow);
                        ring.drain(BATCH, hand_over)?;
                        let mut counted = count(probe, counters, calls, stages)?;
                        let now_ns = clock::boot_ns().map_err(io::Error::from)?;
                        if let Some(idle) = idle {
                            counted.forgotten = idle.read(&counted, now_ns);
                            counters.forget(&counted.forgotten)?;
                            for id in &counted.forgotten {
                                calls.forget(id);
                            }
                        }
                        if all(Moment::Counted(&counted, now_ns))? == Flow::Stop {
                            flow = Flow::Stop;
                        }
                    }
                }
            }
        }
        calls.left(clock::boot_ns().map_err(io::Error::from)?)?;
        probe.detach();
        let mut take = |failure: &Failure| all(Moment::Event(failure));
        let hand_over = |record| stages.hand_over(&record, &mut take, &mut flow);
        ring.drain(usize::MAX, hand_over)?;
        stages.blocked(calls, &mut take, &mut flow)?;
        if counting {
            let counted = count(probe, counters, calls, stages)?;
            let now_ns = clock::boot_ns().map_err(io::Error::from)?;
            all(Moment::Counted(&counted, now_ns))?;
        }
        Ok(())
    }

    /// Everything counted; final once [`Self::follow`] has ended.
    pub(super) fn counted(&mut self) -> Result<Counted, MapError> {
        count(&self.probe, &self.counters, &self.calls, &self.stages)
    }
}

/// The next signal, where there are any.
async fn next(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}

fn count(
    probe: &Probe,
    counters: &Counters,
    calls: &Calls,
    stages: &Stages,
) -> Result<Counted, MapError> {
    let mut counted = counters.read()?;
    for (upstream, totals) in calls.totals() {
        counted.add(upstream, totals);
    }
    let turns = counters.turns()?;
    let ours = [
        ("undecodable", stages.undecodable),
        ("recursion", probe.recursion_misses(&turns)),
        ("return_missed", calls.missed()),
    ];
    let ours = ours.into_iter().filter(|(_, count)| *count > 0);
    for (reason, count) in ours {
        *counted.losses.entry(reason.to_owned()).or_default() += count;
    }
    Ok(counted)
}

impl Stages {
    /// Calls of `connect()` that do not return, on their way to `take`.
    fn blocked<E: From<MapError> + From<io::Error>>(
        &mut self,
        calls: &mut Calls,
        take: &mut impl FnMut(&Failure) -> Result<Flow, E>,
        flow: &mut Flow,
    ) -> Result<(), E> {
        let now_ns = clock::boot_ns().map_err(io::Error::from)?;
        for record in calls.overdue(now_ns)? {
            self.hand_over(&Ok(record), take, flow)?;
        }
        Ok(())
    }

    /// A record on its way to `take`; a record that is none is counted and goes no further.
    fn hand_over<E>(
        &mut self,
        record: &Result<Decoded, DecodeError>,
        take: &mut impl FnMut(&Failure) -> Result<Flow, E>,
        flow: &mut Flow,
    ) -> Result<(), E> {
        if let Some(failure) = self.failure(record) {
            *flow = take(&failure)?;
        }
        Ok(())
    }

    fn failure(&mut self, record: &Result<Decoded, DecodeError>) -> Option<Failure> {
        let decoded = match record {
            Ok(decoded) => decoded,
            Err(error) => {
                self.undecodable += 1;
                log::error!("cannot decode a record of the kernel side: {error}");
                return None;
            }
        };
        let lost_total = decoded.header().lost_total;
        let lost_before = lost_total.saturating_sub(self.lost_total);
        self.lost_total = self.lost_total.max(lost_total);
        let mut failure = self.classifier.classify(decoded, lost_before);
        self.processes.enrich(&mut failure);
        self.host.enrich(&mut failure);
        rule::refine(&mut failure);
        Some(failure)
    }
}

/// An error of our own while running.
pub(super) fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    let help = "run it again with -vv and report what it says";
    Problem::new(Exit::Failed, what, error, help)
}

/// One line on stderr once every hook is attached: what happens after it is never missed.
fn announce(root: &KernelRoot, origin: &Origin, watch: &Watch, plan: &Plan) {
    let who = if watch.all_processes {
        "every process".to_owned()
    } else {
        describe(
            &watch.names,
            &watch.pids,
            &processes::running(root, &watch.names),
        )
    };
    let hooks = plan.backends().join(", ");
    let mut blind = String::new();
    for choice in &plan.choices {
        // A way to see connects always misses some; what a detail misses changes names.
        let tells = choice.backend.is_none() || choice.capability.is_detail();
        let missed = blind_to(choice.capability, choice.backend);
        if tells && !missed.is_empty() {
            blind += " · blind to ";
            blind += &listed(missed);
        }
    }
    let line = format!("ready: {who} · hooks: {hooks}{blind} · {}\n", origin.kernel);
    io::stderr()
        .lock()
        .write_all(line.as_bytes())
        .unwrap_or_else(|error| {
            log::debug!("cannot write to stderr: {error}");
        });
}

/// Names those that run; the others are watched as well, once they start.
fn describe(names: &[String], pids: &[u32], running: &BTreeMap<String, usize>) -> String {
    let mut parts: Vec<String> = running
        .iter()
        .map(|(name, count)| format!("{name} ({count})"))
        .collect();
    parts.extend(pids.iter().map(|pid| format!("pid {pid}")));
    match (parts.is_empty(), names) {
        (false, _) => format!("watching {}", parts.join(", ")),
        (true, [name]) => format!("watching {name} (not running yet)"),
        (true, names) => format!("watching {} names of proxies (none runs yet)", names.len()),
    }
}

fn origin(root: &KernelRoot) -> nix::Result<Origin> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let boot = std::fs::read_to_string(root.proc("sys/kernel/random/boot_id")).unwrap_or_default();
    // FNV-1a: any mixing will do to keep hosts and boots apart.
    let id = host
        .bytes()
        .chain(boot.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Ok(Origin {
        host,
        kernel: root.kernel(),
        id,
        anchor: TimeAnchor::now()?,
        zone: TimeZone::system(),
    })
}
