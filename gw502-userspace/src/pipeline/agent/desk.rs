//! What comes in becomes records for the sinks and measures for the page.

use std::path::PathBuf;
use std::sync::Arc;

use gw502_common::wire::LossReason;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backlog::Backlog;
use super::mark::Mark;
use super::storm::Storm;
use super::workers::Workers;
use super::{file, name, notify};
use crate::aggregate::Counted;
use crate::clock::{self, TimeAnchor};
use crate::config::{self, Config};
use crate::diagnose::{Engine, Place};
use crate::event::{EventId, Failure};
use crate::kernel::root::KernelRoot;
use crate::kernel::switches::Switches;
use crate::metrics::listeners::Listeners;
use crate::metrics::model::Measures;
use crate::metrics::own::Own;
use crate::metrics::process;
use crate::metrics::serve::{Server, Shown};
use crate::metrics::upstreams::Upstreams;
use crate::plan::Plan;
use crate::render::json::{Stamp, shipped_diagnosis, shipped_failure};
use crate::render::{Origin, text};
use crate::sink::ship::{Kind, Record};
use gw502_common::hooks::Capability;

/// Where everything meets.
pub(super) struct Desk {
    path: Option<PathBuf>,
    config: Config,
    origin: Origin,
    host_netns: Option<u32>,
    /// Tells this run from all others.
    run: String,
    /// When the host started, seconds since 1970.
    boot_s: f64,
    engine: Engine,
    upstreams: Upstreams,
    listeners: Listeners,
    /// `None` when the kernel cannot be asked.
    backlog: Option<Backlog>,
    /// Whether a hook sees what full queues drop.
    sees_overflows: bool,
    storm: Storm,
    workers: Workers,
    page: Option<Server>,
    show: watch::Sender<Shown>,
    switches: Switches,
    mark: Option<Mark>,
    own: Own,
}

impl Desk {
    #[expect(clippy::too_many_arguments, reason = "it is where everything meets")]
    pub(super) fn new(
        path: Option<PathBuf>,
        config: Config,
        origin: Origin,
        host_netns: Option<u32>,
        plan: &Plan,
        workers: Workers,
        page: Option<Server>,
        show: watch::Sender<Shown>,
    ) -> Self {
        let backends: Vec<_> = plan.choices.iter().filter_map(|c| c.backend).collect();
        let hooks = plan.choices.iter().map(|choice| {
            let backend = choice.backend.map_or("none", |backend| backend.name());
            (choice.capability.name(), backend)
        });
        let started = origin.anchor.wall(clock::boot_ns().unwrap_or(0));
        let unix_ns = u64::try_from(started.as_nanosecond()).unwrap_or(0);
        let run = EventId::new(unix_ns, 0, origin.id).to_string();
        let (mark, killed) = mark(&config, &run);
        let own = Own {
            previous_killed: mark.is_some().then_some(killed),
            hooks: hooks.collect(),
            // Each is a time series from the start.
            losses: LossReason::ALL
                .map(|reason| (reason.name().to_owned(), 0))
                .into(),
            memory_limit: config::memory_bytes(&config),
            ..Own::default()
        };
        let boot = origin.anchor.wall(0).as_duration();
        Self {
            run,
            mark,
            boot_s: boot.as_secs_f64(),
            engine: Engine::default(),
            upstreams: Upstreams::new(config.limits.series),
            listeners: Listeners::default(),
            backlog: host_netns.and_then(backlog),
            sees_overflows: plan.backend(Capability::AcceptQueues).is_some(),
            storm: Storm::new(config.limits.storm),
            switches: Switches::new(&KernelRoot::new(None), &backends),
            path,
            config,
            origin,
            host_netns,
            workers,
            page,
            show,
            own,
        }
    }

    /// All is at work.
    pub(super) fn ready(&self) {
        let sinks = self.config.sinks.len();
        let page = self.page.as_ref().map_or_else(
            || "no page".to_owned(),
            |page| format!("metrics on {}", page.address()),
        );
        let status = format!("sinks: {sinks}, {page}");
        log::info!("run {}: {status}", self.run);
        notify::ready(&status);
    }

    /// A failure, or what the proxy cancelled.
    pub(super) fn event(&mut self, failure: &Failure) {
        self.engine.event(failure, true);
        self.upstreams.event(failure);
        if !failure.is_failure() && !self.config.watch.aborted {
            return;
        }
        if let Some(sampled_out) = self.storm.admit(failure) {
            self.ship(failure, sampled_out);
        }
    }

    fn ship(&mut self, failure: &Failure, sampled_out: u64) {
        self.own.failures = self.own.failures.saturating_add(1);
        self.own.sampled_out = self.own.sampled_out.saturating_add(sampled_out);
        let stamp = Stamp {
            run: &self.run,
            sequence: self.own.failures,
        };
        self.workers.push(&Record {
            kind: Kind::Failure,
            json: shipped_failure(failure, &self.origin, stamp, sampled_out),
        });
    }

    /// Once a second: everything counted by `at_ns`.
    pub(super) fn counted(&mut self, counted: &Counted, at_ns: u64) {
        self.clock();
        self.engine.counted(counted, at_ns);
        self.upstreams.counted(counted, at_ns);
        self.queues(counted);
        let losses = counted.losses.iter();
        let losses = losses.map(|(reason, count)| (reason.clone(), *count));
        self.own.losses.extend(losses);
        self.second_is_over();
        self.changes(at_ns);
        self.publish();
        notify::alive();
    }

    /// The wall clock may be set while the agent runs, most often soon after the host has started.
    fn clock(&mut self) {
        match TimeAnchor::now() {
            Ok(now) => {
                if let Some(seconds) = self.origin.anchor.follow(now) {
                    log::info!("the clock was set: times differ by {seconds:+.1} s from here on");
                }
            }
            Err(error) => log::debug!("cannot read the clock: {error}"),
        }
    }

    fn queues(&mut self, counted: &Counted) {
        let read = self.backlog.as_ref().map_or(Ok(Vec::new()), Backlog::read);
        match read {
            Ok(queues) => self.listeners.read(&queues, &counted.queues),
            Err(error) => log::debug!("cannot read the accept queues: {error}"),
        }
    }

    fn second_is_over(&mut self) {
        if let Some((failure, others)) = self.storm.next() {
            self.ship(&failure, others);
        }
    }

    /// Ships the diagnoses of the upstreams whose state has changed.
    fn changes(&mut self, at_ns: u64) {
        let Self {
            engine,
            origin,
            host_netns,
            workers,
            own,
            run,
            ..
        } = self;
        let time = |at_ns| text::time_of_day(at_ns, origin);
        let place = Place {
            time: &time,
            host_netns: *host_netns,
        };
        let changes = engine.changes(place, &|_class, _cause| true);
        for (diagnosis, nth) in changes.iter().zip(0..) {
            own.diagnoses = own.diagnoses.saturating_add(1);
            let stamp = Stamp {
                run,
                sequence: own.diagnoses,
            };
            workers.push(&Record {
                kind: Kind::Diagnosis,
                json: shipped_diagnosis(diagnosis, origin, stamp, (at_ns, nth)),
            });
        }
    }

    /// Shows everything as it is now.
    fn publish(&mut self) {
        self.own.sinks = self.workers.snapshots();
        self.own.cut = self.workers.cut();
        self.own.pushes = self.workers.pushes();
        self.own.series = self.upstreams.used();
        match process::read(self.boot_s) {
            Ok(process) => self.own.process = process,
            Err(error) => log::debug!("cannot read about this process: {error}"),
        }
        let mut wrong = self.switches.off();
        let stuck = self.own.sinks.iter().filter(|(_, sink)| sink.stuck);
        wrong.extend(stuck.map(|(name, _)| {
            format!("sink `{name}` is stuck: records wait, and none has left for a minute")
        }));
        let mut families = self.upstreams.families(self.engine.states());
        families.extend(self.listeners.families(self.sees_overflows));
        families.extend(self.own.families());
        self.show.send_replace(Shown {
            measures: Arc::new(Measures { families }),
            wrong,
            at: Instant::now(),
        });
    }

    /// Reads the configuration anew. When it is not taken, the old one holds.
    pub(super) fn reload(&mut self) {
        notify::reloading();
        let result = file::read(self.path.as_deref())
            .map_err(|error| error.to_string())
            .and_then(|config| self.take(config));
        let file = name(self.path.as_deref());
        match result {
            Ok(done) => {
                self.own.reloads.0 = self.own.reloads.0.saturating_add(1);
                log::info!("{file} was read anew: {done}");
            }
            Err(why) => {
                self.own.reloads.1 = self.own.reloads.1.saturating_add(1);
                for line in why.lines() {
                    log::error!("{file} was not taken, and what was before holds: {line}");
                }
            }
        }
        self.ready();
        self.publish();
    }

    /// From now on `config` holds; says what that changed.
    fn take(&mut self, mut config: Config) -> Result<String, String> {
        let page = if config.page == self.config.page {
            None
        } else {
            let shown = self.show.subscribe();
            let page = super::page(config.page, &shown);
            Some(page.map_err(|error| format!("cannot serve metrics there: {error}"))?)
        };
        let done = self.workers.apply(&config).map_err(|e| e.to_string())?;
        if let Some(page) = page {
            self.page = page;
        }
        self.storm.set_limit(config.limits.storm);
        self.upstreams.set_limit(config.limits.series);
        self.own.memory_limit = config::memory_bytes(&config);
        let aborted = config.watch.aborted;
        if config.spool != self.config.spool {
            log::warn!(
                "[spool] holds for sinks that are new; for the others from the next start on"
            );
        }
        if config.limits.idle != self.config.limits.idle {
            log::warn!("`idle` in [limits] holds from the next start on");
            config.limits.idle = self.config.limits.idle;
        }
        config.watch.aborted = self.config.watch.aborted;
        if config.watch != self.config.watch {
            log::warn!("[watch] holds from the next start on, except for `aborted`");
            config.watch = self.config.watch.clone();
        }
        config.watch.aborted = aborted;
        self.config = config;
        Ok(done.to_string())
    }

    /// The end: what is known is shipped, and what waits is delivered.
    pub(super) fn finish(mut self) {
        self.second_is_over();
        self.engine.close();
        if let Ok(now_ns) = clock::boot_ns() {
            self.changes(now_ns);
        }
        self.publish();
        self.workers.finish();
        if let Some(mark) = self.mark {
            mark.clear();
        }
        log::info!(
            "run {}: {} failures and {} diagnoses were shipped",
            self.run,
            self.own.failures,
            self.own.diagnoses
        );
    }
}

/// Marks the run, where there is a spool; and says whether the one before was killed.
fn mark(config: &Config, run: &str) -> (Option<Mark>, bool) {
    if !config.sinks.iter().any(|sink| sink.way.is_network()) {
        return (None, false);
    }
    match Mark::set(&config.spool, run) {
        Ok((mark, before)) => {
            if let Some(before) = &before {
                log::warn!(
                    "run {before} was killed: what it had in memory is lost, and what failed until \
                     now was not seen"
                );
            }
            (Some(mark), before.is_some())
        }
        Err(error) => {
            let folder = config.spool.display();
            log::warn!("cannot tell in {folder} whether a run was killed: {error}");
            (None, false)
        }
    }
}

fn backlog(netns: u32) -> Option<Backlog> {
    match Backlog::open(netns) {
        Ok(backlog) => Some(backlog),
        Err(error) => {
            log::warn!("no metrics of accept queues: cannot ask the kernel about them: {error}");
            None
        }
    }
}
