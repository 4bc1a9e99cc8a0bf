//! What is remembered of an upstream that failed.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::bounds::{ENDS, EPISODES, FACTS, IDLES, PROXIES, SAMPLE_BYTES, SAMPLES, WAITS};
use super::health::{Health, Outcome, State};
use super::words::short;
use crate::aggregate::Totals;
use crate::event::{Cause, Class, Evidence, Failure, Party, Phase};

/// What a proxy waited for when it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Patience {
    /// The handshake.
    Connect,
    /// The answer.
    Answer,
    /// The upstream to take the request.
    Send,
}

/// A wait that the proxy ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) patience: Patience,
    /// Index in [`Track::proxies`].
    pub(super) proxy: usize,
    pub(super) us: u32,
}

/// The end of a listener.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) pid: u32,
    pub(super) at_ns: u64,
    /// `php-fpm8.2[4090] was killed by SIGKILL (OOM)`.
    pub(super) words: String,
    /// Whether the process ended, not only its listening.
    pub(super) exited: bool,
}

/// A run of failures, up to the first second in which connections succeeded and none failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Episode {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) failures: u64,
    /// Those of class refused among them.
    pub(super) refused: u64,
    /// Those whose evidence says that nothing listened, on this host.
    pub(super) no_listener: u64,
    /// Refusals since the last of those, of which nothing is known: the listener may have been back
    /// by the time of the look.
    pub(super) late: u64,
    /// When the listener ended, where that is known.
    pub(super) ended_ns: Option<u64>,
    /// Whether connections succeeded in between.
    pub(super) mixed: bool,
    /// Whether some did in the first or the last second of it: before it, after it, or in between.
    pub(super) edges: bool,
    /// Seconds with failures.
    seconds: u64,
    /// Whether connections succeeded in the last of them.
    last_mixed: bool,
    /// When success was first known again.
    pub(super) returned_ns: Option<u64>,
}

/// An accept queue at its limit.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) failures: u64,
    pub(super) length: u32,
    pub(super) limit: u32,
    pub(super) owner: Option<String>,
}

/// Something of which there is a limited number: in use, and the limit.
pub(super) type Fill = (u64, u64);

/// The troubles before, of which the upstream was healthy again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Their last failure.
    pub(super) until_ns: u64,
    /// Failures among theirs whose record was lost.
    pub(super) lost: u64,
}

/// An upstream that failed, and what explains its present trouble, or its last one.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) health: Health,
    told: State,
    /// `None` in the first trouble.
    pub(super) past: Option<Past>,
    pub(super) proxies: Vec<(String, u64)>,
    /// Failures of proxies beyond those.
    pub(super) other_proxies: u64,
    pub(super) causes: BTreeMap<Cause, u64>,
    samples: Vec<Failure>,
    pub(super) waits: VecDeque<Wait>,
    /// Microseconds that connections were idle before they met their end.
    pub(super) idles: VecDeque<u64>,
    /// Also those of troubles before: a loop may leave it healthy for a while each time.
    pub(super) ends: VecDeque<End>,
    pub(super) episodes: VecDeque<Episode>,
    /// Episodes, also those no longer in `episodes`.
    pub(super) episodes_seen: u64,
    pub(super) queue: Option<Queue>,
    pub(super) descriptors: Option<Fill>,
    pub(super) ports: Option<Fill>,
    /// Failures of connections that had brought an answer before, over the run.
    pub(super) reused: u64,
    /// Handshakes finished before the first failure.
    pub(super) established_before: u64,
}

impl Track {
    /// Of an upstream whose counters were last at `before`, and that fails at `at_ns`.
    pub(super) fn new(before: Totals, at_ns: u64) -> Self {
        Self {
            health: Health::new(before, at_ns),
            told: State::Healthy,
            past: None,
            proxies: Vec::new(),
            other_proxies: 0,
            causes: BTreeMap::new(),
            samples: Vec::new(),
            waits: VecDeque::new(),
            idles: VecDeque::new(),
            ends: VecDeque::new(),
            episodes: VecDeque::new(),
            episodes_seen: 0,
            queue: None,
            descriptors: None,
            ports: None,
            reused: 0,
            established_before: before.established,
        }
    }

    /// Whether its trouble is over: the next failure begins another.
    pub(super) const fn is_over(&self) -> bool {
        self.health.is_over()
    }

    /// It fails again. What explained its troubles before says nothing of this one; in them the
    /// records of `lost` failures were lost.
    pub(super) fn begin_anew(&mut self, before: Totals, at_ns: u64, lost: u64) {
        let until_ns = self.health.last_failure_ns();
        *self = Self {
            told: self.told,
            past: Some(Past { until_ns, lost }),
            ends: mem::take(&mut self.ends),
            reused: self.reused,
            ..Self::new(before, at_ns)
        };
    }

    /// Whether a listener ended in this trouble, not in one before.
    pub(super) fn is_of_now(&self, end: &End) -> bool {
        self.past.is_none_or(|past| end.at_ns > past.until_ns)
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        self.health.failure(failure);
        let reused = failure.bytes_received > 0;
        self.reused = self.reused.saturating_add(u64::from(reused));
        let proxy = self.proxy(&failure.proxy.comm);
        let count = self.causes.entry(failure.cause).or_default();
        *count = count.saturating_add(1);
        self.sample(failure);
        if let (Some(proxy), Some(patience)) = (proxy, patience(failure)) {
            let us = u32::try_from(failure.elapsed_us).unwrap_or(u32::MAX);
            let wait = Wait {
                patience,
                proxy,
                us,
            };
            push(&mut self.waits, WAITS, wait);
        }
        if !matches!(self.episodes.back(), Some(last) if last.returned_ns.is_none()) {
            self.episodes_seen = self.episodes_seen.saturating_add(1);
            let episode = Episode {
                first_ns: failure.at_ns,
                ..Episode::default()
            };
            push(&mut self.episodes, EPISODES, episode);
        }
        let facts: Vec<_> = failure.evidence.iter().take(FACTS).collect();
        let mut no_listener = matches!(failure.cause, Cause::SocketMissing | Cause::SocketStale);
        let mut ended_ns = None;
        for fact in facts {
            no_listener |= matches!(
                fact,
                Evidence::NoListener
                    | Evidence::ListenerExited { .. }
                    | Evidence::ListenerClosed { .. }
            );
            ended_ns = ended_ns.max(self.fact(failure, fact));
        }
        if let Some(episode) = self.episodes.back_mut() {
            episode.last_ns = episode.last_ns.max(failure.at_ns);
            episode.failures = episode.failures.saturating_add(1);
            let refused = failure.class == Class::Refused;
            episode.refused = episode.refused.saturating_add(u64::from(refused));
            episode.no_listener = episode.no_listener.saturating_add(u64::from(no_listener));
            episode.late = match failure.cause {
                Cause::Refused if !no_listener => episode.late.saturating_add(1),
                _ => 0,
            };
            episode.ended_ns = episode.ended_ns.or(ended_ns);
        }
    }

    /// Remembers a fact; when it is the end of a listener, says when that was.
    fn fact(&mut self, failure: &Failure, fact: &Evidence) -> Option<u64> {
        match fact {
            Evidence::ListenerExited {
                owner,
                exit,
                ago_us,
            } => {
                let words = format!("{owner} {}", past(&exit.to_string()));
                Some(self.end(failure, owner.pid, *ago_us, &words, true))
            }
            Evidence::ListenerClosed {
                owner,
                ago_us,
                ended,
            } => {
                let words = format!("{owner} stopped listening");
                Some(self.end(failure, owner.pid, *ago_us, &words, *ended))
            }
            Evidence::AcceptQueueFull {
                length,
                limit,
                owner,
                ..
            } => {
                let failures = self.queue.as_ref().map_or(0, |queue| queue.failures);
                let longest = self.queue.as_ref().map_or(0, |queue| queue.length);
                self.queue = Some(Queue {
                    failures: failures.saturating_add(1),
                    length: longest.max(*length),
                    limit: *limit,
                    owner: owner.as_ref().map(|owner| short(&owner.to_string())),
                });
                None
            }
            Evidence::IdleBefore { idle_us } if failure.cause == Cause::KeepaliveRace => {
                push(&mut self.idles, IDLES, *idle_us);
                None
            }
            Evidence::Descriptors { open, limit } => {
                self.descriptors = Some((*open, *limit));
                None
            }
            Evidence::LocalPorts { used, range } => {
                self.ports = Some(((*used).into(), (*range).into()));
                None
            }
            _ => None,
        }
    }

    fn end(&mut self, failure: &Failure, pid: u32, ago_us: u64, words: &str, exited: bool) -> u64 {
        /// Two failures after the same end differ in when they put it, by rounding alone.
        const SAME_NS: u64 = 50_000_000;
        let at_ns = failure.at_ns.saturating_sub(ago_us.saturating_mul(1000));
        let same = |end: &End| end.pid == pid && end.at_ns.abs_diff(at_ns) <= SAME_NS;
        if !self.ends.iter().any(same) {
            let words = short(words);
            let end = End {
                pid,
                at_ns,
                words,
                exited,
            };
            push(&mut self.ends, ENDS, end);
        }
        at_ns
    }

    pub(super) fn tick(&mut self, now_ns: u64, totals: Totals) {
        let outcome = self.health.tick(now_ns, totals);
        self.outcome(now_ns, outcome);
    }

    /// The last tick of all, however soon after the one before.
    pub(super) fn close(&mut self, now_ns: u64, totals: Totals) {
        let outcome = self.health.close(now_ns, totals);
        self.outcome(now_ns, outcome);
    }

    fn outcome(&mut self, now_ns: u64, outcome: Outcome) {
        let open = self.episodes.back_mut();
        let Some(open) = open.filter(|episode| episode.returned_ns.is_none()) else {
            return;
        };
        match outcome {
            Outcome::Nothing => {}
            Outcome::Failures { established } => {
                // What was the last second is not, and the first is an edge.
                open.mixed |= open.last_mixed && open.seconds > 1;
                open.edges |= established;
                open.last_mixed = established;
                open.seconds = open.seconds.saturating_add(1);
            }
            Outcome::Success => open.returned_ns = Some(now_ns.max(open.last_ns)),
        }
    }

    /// Whether the state has changed since this was asked last.
    pub(super) fn news(&mut self) -> bool {
        let state = self.health.state();
        mem::replace(&mut self.told, state) != state
    }

    /// A failure of this cause.
    pub(super) fn sample_of(&self, cause: Cause) -> Option<&Failure> {
        self.samples.iter().find(|sample| sample.cause == cause)
    }

    /// The upstream's name in the proxy's configuration.
    pub(super) fn name(&self) -> Option<&str> {
        let mut names = self
            .samples
            .iter()
            .filter_map(|sample| sample.upstream_name.as_deref());
        names.next()
    }

    /// Failures of a cause.
    pub(super) fn count(&self, cause: Cause) -> u64 {
        self.causes.get(&cause).copied().unwrap_or(0)
    }

    /// The proxy that failed most.
    pub(super) fn top_proxy(&self) -> Option<&str> {
        let most = self.proxies.iter().max_by_key(|(_, failures)| *failures);
        most.map(|(comm, _)| comm.as_str())
    }

    fn proxy(&mut self, comm: &str) -> Option<usize> {
        let comm = short(comm);
        if let Some(at) = self.proxies.iter().position(|(known, _)| *known == comm) {
            if let Some((_, failures)) = self.proxies.get_mut(at) {
                *failures = failures.saturating_add(1);
            }
            return Some(at);
        }
        if self.proxies.len() < PROXIES {
            self.proxies.push((comm, 1));
            return Some(self.proxies.len() - 1);
        }
        self.other_proxies = self.other_proxies.saturating_add(1);
        None
    }

    /// Keeps it if its cause has none yet, or one with fewer facts; of causes, the most frequent.
    fn sample(&mut self, failure: &Failure) {
        let same = self.samples.iter().position(|s| s.cause == failure.cause);
        if let Some(sample) = same.and_then(|at| self.samples.get_mut(at)) {
            if sample.evidence.len() < failure.evidence.len().min(FACTS) {
                *sample = kept(failure);
            }
            return;
        }
        if self.samples.len() < SAMPLES {
            self.samples.push(kept(failure));
            return;
        }
        let counts = self.samples.iter().map(|sample| self.count(sample.cause));
        let rarest = (0..).zip(counts).min_by_key(|(_, count)| *count);
        if let Some((at, fewer)) = rarest
            && fewer < self.count(failure.cause)
            && let Some(sample) = self.samples.get_mut::<usize>(at)
        {
            *sample = kept(failure);
        }
    }
}

/// What the proxy waited for, if it was the one to give up.
fn patience(failure: &Failure) -> Option<Patience> {
    let by_proxy = Evidence::GaveUp { by: Party::Proxy };
    if !failure.evidence.contains(&by_proxy) {
        return None;
    }
    match (failure.phase, failure.cause) {
        (_, Cause::PeerVanished) => None,
        (Phase::Connect, _) => Some(Patience::Connect),
        (Phase::Request, Cause::SendStalled) => Some(Patience::Send),
        (Phase::Request, _) => Some(Patience::Answer),
        (Phase::Idle, _) => None,
    }
}

/// `killed by SIGKILL` reads `was killed by SIGKILL` after a name.
fn past(exit: &str) -> String {
    if exit.starts_with("killed") {
        format!("was {exit}")
    } else {
        exit.to_owned()
    }
}

/// A copy of bounded size: with its names and facts, or without.
fn kept(failure: &Failure) -> Failure {
    let length = serde_json::to_vec(failure).map_or(usize::MAX, |json| json.len());
    if length <= SAMPLE_BYTES && failure.evidence.len() <= FACTS {
        return failure.clone();
    }
    let mut bare = Failure {
        evidence: Vec::new(),
        upstream_name: None,
        hook: Cow::Borrowed("unknown"),
        ..failure.clone()
    };
    bare.proxy.comm = short(&bare.proxy.comm);
    (bare.proxy.exe, bare.proxy.cgroup, bare.proxy.container) = (None, None, None);
    bare
}

fn push<T>(queue: &mut VecDeque<T>, most: usize, value: T) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(value);
}
