//! The sinks at work: started, changed by a reload, and stopped, without losing what waits.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::pusher::{Pusher, Pushes, unix_ns};
use crate::clock;
use crate::config::{Config, SinkConfig, Way};
use crate::deliver::{Courier, Settings, Snapshot, Spool};
use crate::metrics::serve::Shown;
use crate::sink::journald::Journald;
use crate::sink::otlp::Otlp;
use crate::sink::ship::{Record, Sink, in_a_line};
use crate::sink::syslog::Syslog;
use crate::sink::{LogFile, StdoutLines};

/// What waits when the agent stops is delivered within this.
const GRACE: Duration = Duration::from_secs(5);
/// A sink that hangs even then is left behind.
const PATIENCE: Duration = Duration::from_secs(8);

/// Why a sink cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("sink `{name}`: {why}")]
pub(super) struct WorkerError {
    name: String,
    why: String,
}

/// A sink at work.
#[derive(Debug)]
struct Worker {
    config: SinkConfig,
    courier: Courier,
    cut: Option<Arc<AtomicU64>>,
    /// What was cut before the sink was changed.
    cut_before: u64,
    pusher: Option<Pusher>,
    pushes: Arc<Pushes>,
}

impl Worker {
    /// Messages cut, where the sink may cut some.
    fn cut(&self) -> Option<u64> {
        let cut = self.cut.as_ref()?.load(Ordering::Relaxed);
        Some(self.cut_before.saturating_add(cut))
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Workers {
    all: Vec<Worker>,
    /// Sinks of an earlier configuration that still deliver what they had.
    leaving: Vec<Receiver<()>>,
    /// Names the host to receivers.
    host: String,
    /// Where jitter starts: it differs from host to host.
    seed: u64,
    /// When the run began, nanoseconds since 1970.
    start_ns: u64,
    shown: watch::Receiver<Shown>,
}

/// What is ready to start.
struct Prepared {
    config: SinkConfig,
    sink: Box<dyn Sink>,
    cut: Option<Arc<AtomicU64>>,
    /// Of a sink that is new.
    spool: Option<Spool>,
    pushes: Option<(Otlp, Duration)>,
}

/// What a reload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reloaded {
    pub(super) kept: usize,
    pub(super) changed: usize,
    pub(super) started: usize,
    pub(super) ended: usize,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kept,
            changed,
            started,
            ended,
        } = self;
        write!(
            f,
            "sinks: {kept} kept, {changed} changed, {started} started, {ended} ended"
        )
    }
}

/// Whether each sink can be had, as far as that can be told without starting it.
pub(super) fn check(config: &Config, host: &str) -> Result<(), WorkerError> {
    for sink in &config.sinks {
        drop(build(sink, host)?);
    }
    Ok(())
}

/// The sink, and where it counts messages that were too long for it.
type Built = (Box<dyn Sink>, Option<Arc<AtomicU64>>);

fn build(config: &SinkConfig, host: &str) -> Result<Built, WorkerError> {
    let failed = |why: String| WorkerError {
        name: config.name.clone(),
        why,
    };
    let sink: Box<dyn Sink> = match &config.way {
        Way::Stdout => Box::new(StdoutLines::new().map_err(|error| failed(error.to_string()))?),
        Way::File(file) => Box::new(LogFile::new(file.clone(), clock::wall)),
        Way::Syslog(syslog) => {
            let syslog = Syslog::new(syslog.clone());
            let syslog = syslog.map_err(|error| failed(error.to_string()))?;
            let cut = syslog.cut();
            return Ok((Box::new(syslog), Some(cut)));
        }
        Way::Journald(journald) => Box::new(Journald::new(journald.clone())),
        Way::Otlp(otlp) => {
            let otlp = Otlp::new(otlp, host);
            Box::new(otlp.map_err(|error| failed(error.to_string()))?)
        }
    };
    Ok((sink, None))
}

impl Workers {
    /// Starts all sinks.
    pub(super) fn start(
        config: &Config,
        host: &str,
        seed: u64,
        shown: watch::Receiver<Shown>,
    ) -> Result<Self, WorkerError> {
        let mut workers = Self {
            all: Vec::new(),
            leaving: Vec::new(),
            host: host.to_owned(),
            seed,
            start_ns: unix_ns(),
            shown,
        };
        workers.apply(config)?;
        Ok(workers)
    }

    /// Hands a record to every sink that wants it. Never blocks.
    pub(super) fn push(&self, record: &Record) {
        let wanting = self.all.iter();
        for worker in wanting.filter(|worker| worker.config.records.contains(&record.kind)) {
            worker.courier.push(record.clone());
        }
    }

    /// Every sink and how it does.
    pub(super) fn snapshots(&self) -> Vec<(String, Snapshot)> {
        let now = Instant::now();
        let workers = self.all.iter();
        workers
            .map(|worker| {
                let name = worker.config.name.clone();
                (name, worker.courier.status().snapshot(now))
            })
            .collect()
    }

    /// Messages that were too long for a sink and lost their end, by sink.
    pub(super) fn cut(&self) -> Vec<(String, u64)> {
        let workers = self.all.iter();
        let cut = workers.filter_map(|worker| Some((worker.config.name.clone(), worker.cut()?)));
        cut.collect()
    }

    /// How often metrics were taken, and how often they were not, by sink that gets some.
    pub(super) fn pushes(&self) -> Vec<(String, (u64, u64))> {
        let workers = self.all.iter();
        let pushing = workers.filter(|worker| worker.pusher.is_some());
        let pushes = pushing.map(|one| (one.config.name.clone(), one.pushes.counts()));
        pushes.collect()
    }

    /// From now on these are the sinks. Those that stay as they were open their files anew, and
    /// those that are gone deliver what they have. When one cannot be had nothing changes; when the
    /// host has no thread for one, the others do.
    pub(super) fn apply(&mut self, config: &Config) -> Result<Reloaded, WorkerError> {
        let alive = |leaving: &Receiver<()>| leaving.try_recv() == Err(TryRecvError::Empty);
        self.leaving.retain(alive);
        let mut prepared = Vec::new();
        for sink in &config.sinks {
            if !self.all.iter().any(|worker| worker.config == *sink) {
                prepared.push(self.prepare(sink, &config.spool)?);
            }
        }
        let mut fresh = Vec::new();
        let mut threadless = None;
        let mut done = Reloaded {
            kept: 0,
            changed: 0,
            started: 0,
            ended: 0,
        };
        let old = std::mem::take(&mut self.all);
        for mut worker in old {
            if config.sinks.contains(&worker.config) {
                worker.courier.reopen();
                done.kept += 1;
                fresh.push(worker);
                continue;
            }
            let next = prepared.iter().position(|next| follows(next, &worker));
            if let Some(at) = next {
                let next = prepared.swap_remove(at);
                worker.courier.change(next.sink, next.config.queue);
                worker.cut_before = worker.cut().unwrap_or(worker.cut_before);
                worker.cut = next.cut;
                worker.pusher = None;
                match self.pusher(&next.config.name, next.pushes, &worker.pushes) {
                    Ok(pusher) => worker.pusher = pusher,
                    Err(error) => threadless = Some(error),
                }
                worker.config = next.config;
                done.changed += 1;
                fresh.push(worker);
            } else {
                done.ended += 1;
                self.leaving.extend(leave(worker));
            }
        }
        self.all = fresh;
        for new in prepared {
            match self.run(new) {
                Ok(worker) => self.all.push(worker),
                Err(error) => threadless = Some(error),
            }
            done.started += 1;
        }
        self.all.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        threadless.map_or(Ok(done), Err)
    }

    fn prepare(&self, config: &SinkConfig, spools: &Path) -> Result<Prepared, WorkerError> {
        let failed = |why: String| WorkerError {
            name: config.name.clone(),
            why,
        };
        let (sink, cut) = build(config, &self.host)?;
        let pushes = match &config.way {
            Way::Otlp(otlp) => match otlp.metrics_every {
                Some(every) => {
                    let otlp = Otlp::new(otlp, &self.host);
                    Some((otlp.map_err(|error| failed(error.to_string()))?, every))
                }
                None => None,
            },
            Way::Stdout | Way::File(_) | Way::Syslog(_) | Way::Journald(_) => None,
        };
        let before = self.all.iter();
        let mut before = before.filter(|worker| worker.config.name == config.name);
        let has_spool = before.any(|worker| worker.config.way.is_network());
        let spool = if config.way.is_network() && !has_spool {
            let folder = spools.join(&config.name);
            let spool = Spool::open(&folder, config.queue.spool_bytes);
            Some(spool.map_err(|error| failed(in_a_line(&error)))?)
        } else {
            None
        };
        Ok(Prepared {
            config: config.clone(),
            sink,
            cut,
            spool,
            pushes,
        })
    }

    fn run(&self, new: Prepared) -> Result<Worker, WorkerError> {
        let Prepared {
            config,
            sink,
            cut,
            spool,
            pushes,
        } = new;
        let settings = if config.way.is_network() {
            Settings::network(self.seed)
        } else {
            Settings::local(self.seed)
        };
        let courier = Courier::start(&config.name, sink, config.queue, spool, settings);
        let courier = courier.map_err(|error| WorkerError {
            name: config.name.clone(),
            why: format!("cannot start a thread: {error}"),
        })?;
        let counts = Arc::default();
        let pusher = self.pusher(&config.name, pushes, &counts)?;
        Ok(Worker {
            config,
            courier,
            cut,
            cut_before: 0,
            pusher,
            pushes: counts,
        })
    }

    fn pusher(
        &self,
        name: &str,
        pushes: Option<(Otlp, Duration)>,
        counts: &Arc<Pushes>,
    ) -> Result<Option<Pusher>, WorkerError> {
        let Some((otlp, every)) = pushes else {
            return Ok(None);
        };
        let (shown, counts) = (self.shown.clone(), Arc::clone(counts));
        let pusher = Pusher::start(name, otlp, every, self.start_ns, shown, counts);
        pusher.map(Some).map_err(|error| WorkerError {
            name: name.to_owned(),
            why: format!("cannot start a thread: {error}"),
        })
    }

    /// Delivers what waits, all sinks at once, and ends them.
    pub(super) fn finish(mut self) {
        for worker in &mut self.all {
            worker.courier.stop(GRACE);
            if let Some(pusher) = &mut worker.pusher {
                pusher.stop();
            }
        }
        for worker in self.all {
            // It says itself what it could not deliver.
            drop(worker.courier.wait(PATIENCE));
            if let Some(pusher) = worker.pusher {
                pusher.wait(PATIENCE);
            }
        }
        for leaving in self.leaving {
            if leaving.recv_timeout(PATIENCE).is_err() {
                log::warn!("a sink of an earlier configuration hangs, and is left behind");
            }
        }
    }
}

/// Whether a sink takes over what waits for another.
fn follows(next: &Prepared, worker: &Worker) -> bool {
    let (new, old) = (&next.config, &worker.config);
    new.name == old.name && new.way.is_network() == old.way.is_network()
}

/// Ends a sink while the agent goes on. The thread that waits for it is told apart by nobody.
fn leave(worker: Worker) -> Option<Receiver<()>> {
    let (end, ended) = sync_channel(1);
    worker.courier.stop(GRACE);
    let name = worker.config.name.clone();
    let waiting = thread::Builder::new().name("leaving".to_owned());
    let waiting = waiting.spawn(move || {
        drop(worker.courier.wait(PATIENCE));
        drop(worker.pusher);
        // Nobody may be left to hear it.
        end.send(()).unwrap_or(());
    });
    match waiting {
        Ok(_detached) => Some(ended),
        Err(error) => {
            log::error!("sink `{name}`: cannot wait for its end: {error}");
            None
        }
    }
}
