//! The counting maps: per-CPU numbers added up.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, MapError, PerCpuArray, PerCpuHashMap};
use gw502_common::wire::{LossReason, SkipReason, UpstreamCounts, UpstreamKey};

use crate::aggregate::{Totals, UpstreamId};
use crate::event::{Endpoint, address};

/// The maps that only count.
#[expect(missing_debug_implementations, reason = "aya's per-CPU maps have none")]
pub struct Counters {
    upstreams: PerCpuHashMap<MapData, UpstreamKey, UpstreamCounts>,
    losses: PerCpuArray<MapData, u64>,
    skips: PerCpuArray<MapData, u64>,
}

impl Counters {
    /// Takes the maps over.
    pub fn new(upstreams: Map, losses: Map, skips: Map) -> Result<Self, MapError> {
        Ok(Self {
            upstreams: upstreams.try_into()?,
            losses: losses.try_into()?,
            skips: skips.try_into()?,
        })
    }

    /// Every upstream's totals now. Key `None` collects the upstreams that found no room.
    pub fn upstreams(&self) -> Result<BTreeMap<Option<UpstreamId>, Totals>, MapError> {
        let mut all = BTreeMap::new();
        for entry in &self.upstreams {
            let (key, cpus) = entry?;
            let totals = cpus.iter().fold(Totals::default(), add);
            let id = (key != UpstreamKey::default()).then(|| UpstreamId {
                netns: key.netns,
                upstream: Endpoint {
                    address: address(key.address),
                    port: key.port,
                },
            });
            all.insert(id, totals);
        }
        Ok(all)
    }

    /// What could not be kept, by reason, reasons with none left out.
    pub fn losses(&self) -> Result<BTreeMap<&'static str, u64>, MapError> {
        totals(
            &self.losses,
            LossReason::ALL.map(|reason| (reason as u32, reason.name())),
        )
    }

    /// Attempts that nobody asked for, by reason, reasons with none left out.
    pub fn skips(&self) -> Result<BTreeMap<&'static str, u64>, MapError> {
        totals(
            &self.skips,
            SkipReason::ALL.map(|reason| (reason as u32, reason.name())),
        )
    }
}

fn totals<const N: usize>(
    map: &PerCpuArray<MapData, u64>,
    reasons: [(u32, &'static str); N],
) -> Result<BTreeMap<&'static str, u64>, MapError> {
    let mut counted = BTreeMap::new();
    for (index, name) in reasons {
        let total: u64 = map.get(&index, 0)?.iter().sum();
        if total > 0 {
            counted.insert(name, total);
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
