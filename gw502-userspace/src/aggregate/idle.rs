//! Upstreams that nobody tries any more make room for others.

use std::collections::BTreeMap;

use super::{Counted, Totals, UpstreamId};

/// When each upstream's counter last moved. The kernel side has room for so many, and addresses of
/// containers come and go for as long as an agent runs.
#[derive(Clone, Debug)]
pub struct Idle {
    for_ns: u64,
    moved: BTreeMap<UpstreamId, (Totals, u64)>,
}

impl Idle {
    /// Upstreams are idle once nothing has been counted of them for so long.
    pub const fn new(for_ns: u64) -> Self {
        Self {
            for_ns,
            moved: BTreeMap::new(),
        }
    }

    /// Takes in what had been counted at `now_ns`. Returns the upstreams that are idle by then, and
    /// knows them no more.
    pub fn read(&mut self, counted: &Counted, now_ns: u64) -> Vec<UpstreamId> {
        let mut idle = Vec::new();
        for (id, totals) in &counted.upstreams {
            let Some(id) = id else {
                continue; // the sum of those that found no room
            };
            match self.moved.get_mut(id) {
                Some((before, at_ns)) if before == totals => {
                    if now_ns.saturating_sub(*at_ns) >= self.for_ns {
                        idle.push(id.clone());
                    }
                }
                Some(known) => *known = (*totals, now_ns),
                None => {
                    self.moved.insert(id.clone(), (*totals, now_ns));
                }
            }
        }
        for id in &idle {
            self.moved.remove(id);
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::id;

    fn counted(attempts: &[(Option<u16>, u64)]) -> Counted {
        let totals = |attempts| Totals {
            attempts,
            ..Totals::default()
        };
        let upstreams = attempts.iter();
        Counted {
            upstreams: upstreams
                .map(|(port, attempts)| (port.map(id), totals(*attempts)))
                .collect(),
            ..Counted::default()
        }
    }

    #[test]
    fn an_upstream_is_idle_once_its_counter_has_stood_still_for_so_long() {
        let mut idle = Idle::new(10);
        let both = counted(&[(Some(1), 5), (Some(2), 5), (None, 9)]);
        assert_eq!(idle.read(&both, 0), []);
        let one = counted(&[(Some(1), 5), (Some(2), 6), (None, 9)]);
        assert_eq!(idle.read(&one, 9), []);
        assert_eq!(idle.read(&one, 10), [id(1)]);
        assert_eq!(idle.read(&one, 19), [id(2)], "the first one is new again");
        assert_eq!(idle.read(&counted(&[(None, 9)]), 100), []);
    }
}
