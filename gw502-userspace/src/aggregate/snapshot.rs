//! The counters at a moment: what a rate over time needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Counted, Totals, UPSTREAMS, UpstreamId};

/// What had been counted at a moment, of the upstreams whose counters moved since the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `CLOCK_BOOTTIME` of the reading, nanoseconds.
    pub at_ns: u64,
    /// Totals since the start, not differences: one that is missing costs no count.
    pub upstreams: Vec<(Option<UpstreamId>, Totals)>,
    /// What could not be kept since the start; absent when that has not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<BTreeMap<String, u64>>,
}

/// Makes snapshots of whole readings.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    last: BTreeMap<Option<UpstreamId>, Totals>,
    losses: BTreeMap<String, u64>,
}

impl Changes {
    /// What has changed at `at_ns` since the last call; `None` when nothing has.
    pub fn at(&mut self, at_ns: u64, counted: &Counted) -> Option<Snapshot> {
        let mut upstreams = Vec::new();
        for (id, totals) in &counted.upstreams {
            if self.last.get(id) == Some(totals) {
                continue;
            }
            upstreams.push((id.clone(), *totals));
            // One more than have counters of their own: the sum of the others.
            if self.last.len() <= UPSTREAMS || self.last.contains_key(id) {
                self.last.insert(id.clone(), *totals);
            }
        }
        let losses = (self.losses != counted.losses).then(|| counted.losses.clone());
        if let Some(losses) = &losses {
            self.losses.clone_from(losses);
        }
        (losses.is_some() || !upstreams.is_empty()).then_some(Snapshot {
            at_ns,
            upstreams,
            losses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Endpoint, Upstream};

    fn id(port: u16) -> UpstreamId {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let upstream = Upstream::Tcp(Endpoint { address, port });
        UpstreamId { upstream, netns: 1 }
    }

    fn counted(attempts: &[u64]) -> Counted {
        let of = |(port, attempts): (u16, &u64)| {
            let totals = Totals {
                attempts: *attempts,
                ..Totals::default()
            };
            (Some(id(port)), totals)
        };
        Counted {
            upstreams: (1..).zip(attempts).map(of).collect(),
            ..Counted::default()
        }
    }

    #[test]
    fn only_what_moved_is_said_and_in_totals() {
        let mut changes = Changes::default();
        let first = changes.at(1, &counted(&[3, 4])).unwrap();
        assert_eq!(first.upstreams.len(), 2);
        let second = changes.at(2, &counted(&[3, 9])).unwrap();
        assert_eq!(second.upstreams, [counted(&[3, 9]).upstreams[1].clone()]);
        assert_eq!(second.losses, None);
        assert_eq!(changes.at(3, &counted(&[3, 9])), None);
    }

    #[test]
    fn a_loss_alone_is_said() {
        let mut changes = Changes::default();
        let mut counted = counted(&[]);
        assert_eq!(changes.at(1, &counted), None);
        counted.losses.insert("ring_full".to_owned(), 4);
        let snapshot = changes.at(2, &counted).unwrap();
        assert_eq!(snapshot.losses, Some(counted.losses.clone()));
        assert_eq!(changes.at(3, &counted), None);
    }
}
