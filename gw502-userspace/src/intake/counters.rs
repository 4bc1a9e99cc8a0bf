//! The counting maps: per-CPU numbers added up.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use gw502_common::wire::{
    LossReason, Pair, QueueCounts, SkipReason, Turns, UnixKey, UpstreamCounts, UpstreamKey,
};

use crate::aggregate::{Connects, Counted, Overflows, Totals, UpstreamId};
use crate::event::{Endpoint, Upstream, address};

/// The maps that only count.
#[expect(missing_debug_implementations, reason = "aya's per-CPU maps have none")]
pub struct Counters {
    upstreams: PerCpuHashMap<MapData, UpstreamKey, UpstreamCounts>,
    unix: PerCpuHashMap<MapData, UnixKey, UpstreamCounts>,
    losses: PerCpuArray<MapData, u64>,
    skips: PerCpuArray<MapData, u64>,
    turns: PerCpuArray<MapData, Turns>,
    queues: HashMap<MapData, UpstreamKey, QueueCounts>,
}

impl Counters {
    /// Takes the maps over.
    pub fn new(
        upstreams: Map,
        unix: Map,
        losses: Map,
        skips: Map,
        turns: Map,
        queues: Map,
    ) -> Result<Self, MapError> {
        Ok(Self {
            upstreams: upstreams.try_into()?,
            unix: unix.try_into()?,
            losses: losses.try_into()?,
            skips: skips.try_into()?,
            turns: turns.try_into()?,
            queues: queues.try_into()?,
        })
    }

    /// Everything counted up to now.
    pub fn read(&self) -> Result<Counted, MapError> {
        let (upstreams, connects) = self.upstreams()?;
        Ok(Counted {
            upstreams,
            connects,
            queues: self.queues()?,
            forgotten: Vec::new(),
            losses: totals(&self.losses, LossReason::ALL.map(|r| (r as u32, r.name())))?,
            skips: totals(&self.skips, SkipReason::ALL.map(|r| (r as u32, r.name())))?,
        })
    }

    /// Drops the counters of these upstreams, which nobody uses: should one of them be tried again
    /// this very moment, the count of that goes with it.
    pub fn forget(&mut self, ids: &[UpstreamId]) -> Result<(), MapError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<_> = ids.iter().collect();
        let keys: Vec<_> = self.upstreams.keys().collect::<Result<_, _>>()?;
        for key in keys {
            if key != UpstreamKey::default() && ids.contains(&tcp(&key)) {
                gone(self.upstreams.remove(&key))?;
            }
        }
        let keys: Vec<_> = self.unix.keys().collect::<Result<_, _>>()?;
        for key in keys {
            if ids.contains(&unix(&key)) {
                gone(self.unix.remove(&key))?;
            }
        }
        Ok(())
    }

    /// How the programs of each [`Pair`] took turns.
    pub fn turns(&self) -> Result<Vec<Turns>, MapError> {
        Pair::ALL
            .iter()
            .map(|(pair, _)| {
                let cpus = self.turns.get(&(*pair as u32), 0)?;
                Ok(cpus.iter().fold(Turns::default(), |sum, cpu| Turns {
                    covered: sum.covered + cpu.covered,
                    overwritten: sum.overwritten + cpu.overwritten,
                }))
            })
            .collect()
    }

    fn upstreams(&self) -> Result<(Of<Totals>, Of<Connects>), MapError> {
        let (mut totals, mut connects) = (Vec::new(), Vec::new());
        let mut add = |id: Option<UpstreamId>, cpus: &PerCpuValues<UpstreamCounts>| {
            let (counted, took) = sum(cpus);
            totals.push((id.clone(), counted));
            connects.push((id, took));
        };
        for entry in &self.upstreams {
            let (key, cpus) = entry?;
            let id = (key != UpstreamKey::default()).then(|| tcp(&key));
            add(id, &cpus);
        }
        for entry in &self.unix {
            let (key, cpus) = entry?;
            add(Some(unix(&key)), &cpus);
        }
        Ok((totals, connects))
    }

    fn queues(&self) -> Result<Vec<(UpstreamId, Overflows)>, MapError> {
        let mut all = Vec::new();
        for entry in &self.queues {
            match entry {
                Ok((place, counts)) => {
                    let QueueCounts {
                        drops,
                        length,
                        limit,
                    } = counts;
                    let overflows = Overflows {
                        drops,
                        length,
                        limit,
                    };
                    all.push((tcp(&place), overflows));
                }
                // It gave its place to another one this very moment.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

/// Nothing there to remove is as good.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        other => other,
    }
}

fn unix(key: &UnixKey) -> UpstreamId {
    UpstreamId {
        netns: key.netns,
        upstream: (&key.address).into(),
    }
}

fn tcp(key: &UpstreamKey) -> UpstreamId {
    UpstreamId {
        netns: key.netns,
        upstream: Upstream::Tcp(Endpoint {
            address: address(key.address),
            port: key.port,
        }),
    }
}

/// Something of each upstream.
type Of<T> = Vec<(Option<UpstreamId>, T)>;

fn totals<const N: usize>(
    map: &PerCpuArray<MapData, u64>,
    reasons: [(u32, &'static str); N],
) -> Result<BTreeMap<String, u64>, MapError> {
    let mut counted = BTreeMap::new();
    for (index, name) in reasons {
        let total: u64 = map.get(&index, 0)?.iter().sum();
        if total > 0 {
            counted.insert(name.to_owned(), total);
        }
    }
    Ok(counted)
}

fn sum(cpus: &[UpstreamCounts]) -> (Totals, Connects) {
    let (mut totals, mut connects) = (Totals::default(), Connects::default());
    for cpu in cpus {
        let UpstreamCounts {
            attempts,
            connect_ns: sum_ns,
            connects: buckets,
            endings,
        } = *cpu;
        connects.add(&Connects { buckets, sum_ns });
        totals.attempts += attempts;
        totals.ended += endings.iter().sum::<u64>();
    }
    totals.established = connects.count();
    (totals, connects)
}
