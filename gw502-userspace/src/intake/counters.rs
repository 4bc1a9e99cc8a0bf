//! The counting maps: per-CPU numbers added up.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, MapError, PerCpuArray, PerCpuHashMap};
use gw502_common::wire::{
    LossReason, Pair, SkipReason, Turns, UnixKey, UpstreamCounts, UpstreamKey,
};

use crate::aggregate::{Counted, Totals, UpstreamId};
use crate::event::{Endpoint, Upstream, address};

/// The maps that only count.
#[expect(missing_debug_implementations, reason = "aya's per-CPU maps have none")]
pub struct Counters {
    upstreams: PerCpuHashMap<MapData, UpstreamKey, UpstreamCounts>,
    unix: PerCpuHashMap<MapData, UnixKey, UpstreamCounts>,
    losses: PerCpuArray<MapData, u64>,
    skips: PerCpuArray<MapData, u64>,
    turns: PerCpuArray<MapData, Turns>,
}

impl Counters {
    /// Takes the maps over.
    pub fn new(
        upstreams: Map,
        unix: Map,
        losses: Map,
        skips: Map,
        turns: Map,
    ) -> Result<Self, MapError> {
        Ok(Self {
            upstreams: upstreams.try_into()?,
            unix: unix.try_into()?,
            losses: losses.try_into()?,
            skips: skips.try_into()?,
            turns: turns.try_into()?,
        })
    }

    /// Everything counted up to now.
    pub fn read(&self) -> Result<Counted, MapError> {
        Ok(Counted {
            upstreams: self.upstreams()?,
            losses: totals(&self.losses, LossReason::ALL.map(|r| (r as u32, r.name())))?,
            skips: totals(&self.skips, SkipReason::ALL.map(|r| (r as u32, r.name())))?,
        })
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

    fn upstreams(&self) -> Result<Vec<(Option<UpstreamId>, Totals)>, MapError> {
        let mut all = Vec::new();
        for entry in &self.upstreams {
            let (key, cpus) = entry?;
            let totals = cpus.iter().fold(Totals::default(), add);
            let id = (key != UpstreamKey::default()).then(|| UpstreamId {
                netns: key.netns,
                upstream: Upstream::Tcp(Endpoint {
                    address: address(key.address),
                    port: key.port,
                }),
            });
            all.push((id, totals));
        }
        for entry in &self.unix {
            let (key, cpus) = entry?;
            let id = UpstreamId {
                netns: key.netns,
                upstream: (&key.address).into(),
            };
            all.push((Some(id), cpus.iter().fold(Totals::default(), add)));
        }
        Ok(all)
    }
}

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

fn add(sum: Totals, cpu: &UpstreamCounts) -> Totals {
    let UpstreamCounts {
        attempts,
        established,
        endings,
    } = cpu;
    Totals {
        attempts: sum.attempts + attempts,
        established: sum.established + established,
        ended: sum.ended + endings.iter().sum::<u64>(),
    }
}
