//! What the kernel side remembers of upstreams on this host: looked up once one has failed.

use std::collections::BTreeMap;

use aya::maps::{HashMap, Map, MapData, MapError};
use gw502_common::wire::{Departure, Flow, Listening, ResetSent, Unaccepted, UpstreamKey};

/// The maps.
#[expect(missing_debug_implementations, reason = "aya's maps have none")]
pub struct Servers {
    listeners: HashMap<MapData, UpstreamKey, Listening>,
    ended: HashMap<MapData, Flow, Departure>,
    unaccepted: HashMap<MapData, Flow, Unaccepted>,
    resets: HashMap<MapData, Flow, ResetSent>,
    /// What the kernel calls the reasons for a RST.
    reasons: BTreeMap<u32, String>,
}

impl Servers {
    /// Takes the maps over.
    pub fn new(
        listeners: Map,
        ended: Map,
        unaccepted: Map,
        resets: Map,
        reasons: BTreeMap<u32, String>,
    ) -> Result<Self, MapError> {
        Ok(Self {
            listeners: listeners.try_into()?,
            ended: ended.try_into()?,
            unaccepted: unaccepted.try_into()?,
            resets: resets.try_into()?,
            reasons,
        })
    }

    /// What became of listening at exactly this address; `None` when nothing has since the programs
    /// were loaded.
    pub fn listening(&self, at: UpstreamKey) -> Option<Listening> {
        found(self.listeners.get(&at, 0))
    }

    /// The process that ended with this connection open.
    pub fn ended(&self, flow: &Flow) -> Option<Departure> {
        found(self.ended.get(flow, 0))
    }

    /// The RST that this host sent on this connection, and the kernel's name for the reason.
    pub fn reset(&self, flow: &Flow) -> Option<(ResetSent, &str)> {
        let reset = found(self.resets.get(flow, 0))?;
        Some((reset, self.reasons.get(&reset.reason)?))
    }

    /// The end of this connection before anybody accepted it.
    pub fn unaccepted(&self, flow: &Flow) -> Option<Unaccepted> {
        found(self.unaccepted.get(flow, 0))
    }
}

/// An error is no evidence: the plain cause stands.
fn found<V>(looked_up: Result<V, MapError>) -> Option<V> {
    match looked_up {
        Ok(value) => Some(value),
        Err(MapError::KeyNotFound) => None,
        Err(error) => {
            log::debug!("cannot look up an upstream in the kernel side: {error}");
            None
        }
    }
}
