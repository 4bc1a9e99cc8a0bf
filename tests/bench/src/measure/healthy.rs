//! The healthy path: what work costs while something is attached and nothing fails.
//!
//! In rounds. Each round makes every load once with each thing attached, in an order that rotates,
//! and gives one ratio to the same load of the same round with nothing attached. The machine's slow
//! moods fall on all of a round alike, and the median of the rounds does not see its short ones.
//!
//! Every other round is a short one, with the connect loop of the watched process alone: what is
//! looked for there is smallest.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::{Bench, pause};
use crate::attach::gw502::Counted;
use crate::attach::hooks::Variant;
use crate::attach::peer::Tool;
use crate::attach::{Attached, Configuration};
use crate::clock;
use crate::report::{Cell, HealthyReport, Row};
use crate::site::Upstream;
use crate::statistics::{Spread, interval, median};

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// connect, accept, close: of a process that is watched. What it mostly takes.
    Connect,
    /// The same burst: what it takes on average, with whoever else wanted the CPU.
    ConnectAverage,
    /// The same, of one that is not.
    ConnectUnwatched,
    /// System calls.
    Syscall,
    /// Requests through nginx with a new connection to the upstream for each.
    Proxy,
    /// The same with connections that are kept.
    ProxyKept,
}

impl Load {
    pub(crate) const ALL: [Self; 6] = [
        Self::Connect,
        Self::ConnectAverage,
        Self::ConnectUnwatched,
        Self::Syscall,
        Self::ProxyKept,
        Self::Proxy,
    ];

    /// The head of its column.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT LOOP",
            Self::ConnectAverage => "…AVERAGE",
            Self::ConnectUnwatched => "…NOT WATCHED",
            Self::Syscall => "SYSCALL",
            Self::Proxy => "NGINX",
            Self::ProxyKept => "NGINX KEEP-ALIVE",
        }
    }
}

/// One piece of work; each gives the times of one load or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Burst {
    Connect,
    ConnectUnwatched,
    Syscall,
    ProxyKept,
    Proxy,
}

/// What came of a burst.
#[derive(Debug)]
struct Done {
    /// Microseconds of one operation.
    times: Vec<(Load, f64)>,
    /// New connections that gw502, if it is there, has to have seen; at least.
    watched: u64,
}

/// Microseconds of one operation, by what was attached and what was done, in one round.
type Round = BTreeMap<(Configuration, Load), f64>;

/// All rounds.
#[derive(Debug)]
pub(crate) struct Healthy {
    rounds: Vec<Round>,
    order: Vec<Configuration>,
    /// Tools that could not take part, and why.
    absent: BTreeMap<Tool, String>,
    /// What gw502 made of it all.
    pub(crate) counted: Counted,
}

/// Makes rounds until the time is up.
pub(super) fn measure(bench: &mut Bench) -> Result<Healthy> {
    let order = configurations(bench);
    let mut healthy = Healthy {
        rounds: Vec::new(),
        order: order.clone(),
        absent: BTreeMap::new(),
        counted: Counted::default(),
    };
    let start = clock::now()?;
    let size = bench.size;
    for number in 0_u32.. {
        if number >= size.least_rounds && clock::since(start)? >= size.healthy {
            break;
        }
        let mut round = Round::new();
        let whole = number.is_multiple_of(2);
        let bursts: &[Burst] = if whole {
            &Burst::ALL
        } else {
            &[Burst::Connect]
        };
        let first = usize::try_from(number / 2)? % order.len();
        let (before, from) = order.split_at(first);
        for configuration in from.iter().chain(before) {
            if let Configuration::Peer(tool) = configuration
                && (!whole
                    || !(number / 2).is_multiple_of(size.peers_every)
                    || healthy.absent.contains_key(tool))
            {
                continue;
            }
            healthy.visit(bench, *configuration, bursts, &mut round)?;
        }
        healthy.rounds.push(round);
    }
    Ok(healthy)
}

fn configurations(bench: &Bench) -> Vec<Configuration> {
    let mut order = vec![Configuration::Nothing];
    for variant in bench.rack.hooks.variants() {
        order.push(Configuration::Empty(variant));
        order.push(Configuration::Gw502(variant));
    }
    // Half a round away from the first.
    order.insert(order.len().div_ceil(2), Configuration::Again);
    order.extend(Tool::ALL.map(Configuration::Peer));
    order
}

impl Healthy {
    /// Attaches one thing, does the work, and detaches it.
    fn visit(
        &mut self,
        bench: &mut Bench,
        configuration: Configuration,
        bursts: &[Burst],
        round: &mut Round,
    ) -> Result<()> {
        pause()?;
        let attached = bench
            .rack
            .attach(configuration, &bench.scratch, &mut bench.watched);
        let attached = match (attached, configuration) {
            (Err(error), Configuration::Peer(tool)) => {
                self.absent.insert(tool, format!("{error:#}"));
                return Ok(());
            }
            (attached, _) => attached?,
        };
        let mut connections = 0;
        for burst in bursts {
            pause()?;
            let Done { times, watched } = burst.make(bench)?;
            connections += watched;
            let times = times.into_iter();
            round.extend(times.map(|(load, time)| ((configuration, load), time)));
        }
        match attached {
            Attached::Nothing | Attached::Empty(_) => Ok(()),
            Attached::Peer(peer) => peer.stop(),
            Attached::Gw502(tracer) => self.add(tracer.stop()?, connections),
        }
    }

    /// gw502 must have seen what was made, or the path that was measured is not the watched one.
    fn add(&mut self, counted: Option<Counted>, connections: u64) -> Result<()> {
        let counted = counted.context("gw502's output was not kept")?;
        if counted.attempts < connections {
            bail!(
                "gw502 saw {} of {connections} connections: it did not watch the load",
                counted.attempts
            );
        }
        self.counted.attempts += counted.attempts;
        self.counted.failed += counted.failed;
        self.counted.lost += counted.lost;
        Ok(())
    }

    /// What is measured of gw502 in each round, as `f` of two times: with `what` attached, and with
    /// nothing.
    fn each(
        &self,
        what: Configuration,
        load: Load,
        f: impl Fn(f64, f64) -> f64,
    ) -> impl Iterator<Item = f64> {
        self.rounds.iter().filter_map(move |round| {
            let with = round.get(&(what, load))?;
            let without = round.get(&(Configuration::Nothing, load))?;
            Some(f(*with, *without))
        })
    }

    /// The ratio to nothing, in each round.
    pub(crate) fn ratios(&self, what: Configuration, load: Load) -> Vec<f64> {
        self.each(what, load, |with, without| with / without)
            .collect()
    }

    /// The microseconds that come on top of nothing, in each round.
    pub(crate) fn added(&self, what: Configuration, load: Load) -> Vec<f64> {
        self.each(what, load, |with, without| with - without)
            .collect()
    }

    /// What of gw502 was measured.
    pub(crate) fn variants(&self) -> impl Iterator<Item = Variant> {
        self.order.iter().filter_map(|what| match what {
            Configuration::Gw502(variant) => Some(*variant),
            _ => None,
        })
    }

    /// The table.
    pub(super) fn report(&self) -> HealthyReport {
        let row = |what: &Configuration| Row {
            configuration: what.name(),
            absent: match what {
                Configuration::Peer(tool) => self.absent.get(tool).cloned(),
                _ => None,
            },
            cells: Load::ALL
                .iter()
                .filter_map(|load| self.cell(*what, *load))
                .collect(),
        };
        HealthyReport {
            rounds: self.rounds.len(),
            rows: self.order.iter().map(row).collect(),
            gw502_attempts: self.counted.attempts,
            gw502_failed: self.counted.failed,
            gw502_lost: self.counted.lost,
        }
    }

    fn cell(&self, what: Configuration, load: Load) -> Option<Cell> {
        let ratios = self.ratios(what, load);
        let microseconds: Vec<f64> = self.each(what, load, |with, _| with).collect();
        Some(Cell {
            load,
            microseconds: Spread::of(&microseconds)?,
            ratio: Spread::of(&ratios)?,
            ratio_interval: median_interval(&ratios)?,
            rounds_microseconds: microseconds,
        })
    }
}

/// Between what the median would have come out, 95 times of 100.
pub(crate) fn median_interval(samples: &[f64]) -> Option<(f64, f64)> {
    interval(samples.len(), |drawn| {
        let picked: Vec<f64> = drawn
            .iter()
            .filter_map(|index| samples.get(*index).copied())
            .collect();
        median(&picked)
    })
}

impl Burst {
    const ALL: [Self; 5] = [
        Self::Connect,
        Self::ConnectUnwatched,
        Self::Syscall,
        Self::ProxyKept,
        Self::Proxy,
    ];

    fn make(self, bench: &mut Bench) -> Result<Done> {
        let Bench {
            size,
            watched,
            unwatched,
            site,
            ..
        } = bench;
        let proxy = |upstream| site.measure(upstream, size.wrk_seconds);
        Ok(match self {
            Self::Connect => {
                let burst = watched.connect(size.connects)?;
                let average = (Load::ConnectAverage, burst.average());
                Done {
                    times: vec![(Load::Connect, burst.typical()), average],
                    watched: burst.count,
                }
            }
            Self::ConnectUnwatched => {
                let burst = unwatched.connect(size.connects)?;
                Done::one(Load::ConnectUnwatched, burst.typical())
            }
            Self::Syscall => {
                let burst = unwatched.syscalls(size.syscalls)?;
                Done::one(Load::Syscall, burst.typical())
            }
            Self::Proxy => {
                let throughput = proxy(Upstream::Fresh)?;
                Done {
                    watched: throughput.requests,
                    ..Done::one(Load::Proxy, throughput.microseconds())
                }
            }
            // How many of these requests had a new connection is not known.
            Self::ProxyKept => Done::one(Load::ProxyKept, proxy(Upstream::Kept)?.microseconds()),
        })
    }
}

impl Done {
    fn one(load: Load, microseconds: f64) -> Self {
        Self {
            times: vec![(load, microseconds)],
            watched: 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rounds in which the first load took so long with nothing, empty programs and gw502.
    pub(crate) fn healthy(rounds: &[(f64, f64, f64)]) -> Healthy {
        let what = [
            Configuration::Nothing,
            Configuration::Empty(Variant::Auto),
            Configuration::Gw502(Variant::Auto),
            Configuration::Again,
        ];
        let round = |(nothing, empty, gw502): &(f64, f64, f64)| {
            let times = [*nothing, *empty, *gw502, *nothing];
            let cells = what.iter().zip(times);
            Load::ALL
                .iter()
                .flat_map(|load| cells.clone().map(|(what, time)| ((*what, *load), time)))
                .collect()
        };
        Healthy {
            rounds: rounds.iter().map(round).collect(),
            order: what.to_vec(),
            absent: BTreeMap::new(),
            counted: Counted::default(),
        }
    }

    #[test]
    fn a_slow_round_is_slow_for_all_and_changes_no_ratio() {
        let healthy = healthy(&[(10.0, 11.0, 12.0), (20.0, 22.0, 24.0)]);
        let what = Configuration::Gw502(Variant::Auto);
        assert_eq!(healthy.ratios(what, Load::Connect), [1.2, 1.2]);
        assert_eq!(healthy.added(what, Load::Connect), [2.0, 4.0]);
    }

    #[test]
    fn a_round_in_which_a_tool_took_no_part_has_no_ratio() {
        let healthy = healthy(&[(10.0, 11.0, 12.0)]);
        let what = Configuration::Peer(Tool::Tcplife);
        assert_eq!(healthy.ratios(what, Load::Connect), Vec::<f64>::new());
        assert!(healthy.cell(what, Load::Connect).is_none());
    }

    #[test]
    fn fewer_connections_than_were_made_is_no_measurement() {
        let mut healthy = healthy(&[]);
        let counted = Counted {
            attempts: 9,
            ..Counted::default()
        };
        assert!(healthy.add(Some(counted), 10).is_err());
        assert!(healthy.add(Some(counted), 9).is_ok());
        assert_eq!(healthy.counted.attempts, 9);
    }
}
