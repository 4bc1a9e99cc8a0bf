//! Pure: how full the accept queues of this host are, in a bounded number of series.
//!
//! A listener of the agent's own network namespace is measured as long as it is there, one of another
//! from the first time that its queue was full. When there are more than [`LISTENERS`], the rest is
//! summed up as `other`. A counter never falls: what a listener dropped stays, also when it is gone.

use std::collections::BTreeMap;

use super::model::{Family, Point, Type, Value};
use crate::aggregate::{Overflows, UpstreamId};

/// Listeners with series of their own, at most.
pub const LISTENERS: usize = 200;

/// Listeners whose drops the kernel side tells apart at most.
const KNOWN: usize = 1024;

/// Bytes that the counters and two pages of them take at most.
pub const fn bytes() -> u64 {
    /// A listener with the longest path of a unix socket.
    const ID: usize = size_of::<UpstreamId>() + 3 * 108;
    const POINT: usize = size_of::<Point>() + 2 * (size_of::<(&str, String)>() + 32) + ID;
    const ALL: usize = KNOWN * 4 * (ID + size_of::<u64>())
        + (LISTENERS + 1) * (2 * (ID + size_of::<Series>()) + 2 * 3 * POINT);
    ALL as u64
}

/// An accept queue at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Where it listens.
    pub at: UpstreamId,
    /// Connections that wait for `accept()`.
    pub length: u32,
    /// How many may wait.
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Series {
    overflows: u64,
    /// `None` when it is gone.
    now: Option<Level>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    length: u64,
    limit: u64,
}

impl Level {
    fn new(length: u32, limit: u32) -> Self {
        Self {
            length: length.into(),
            limit: limit.into(),
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// What the kernel side said last of each one's drops.
    told: BTreeMap<UpstreamId, u64>,
    series: BTreeMap<UpstreamId, Series>,
    /// Drops of those without a series.
    other: u64,
    /// What those hold, together.
    others: Level,
}

impl Listeners {
    /// Takes in a reading: the queues that can be seen, and the drops of all.
    pub fn read(&mut self, queues: &[Queue], overflows: &[(UpstreamId, Overflows)]) {
        for series in self.series.values_mut() {
            series.now = None;
        }
        self.others = Level::default();
        let told = std::mem::take(&mut self.told);
        for (id, overflows) in overflows {
            // It begins anew when it had forgotten a listener for another.
            let before = told.get(id).copied().unwrap_or(0);
            let new = overflows.drops.checked_sub(before);
            self.overflowed(id, *overflows, new.unwrap_or(overflows.drops));
            self.told.insert(id.clone(), overflows.drops);
        }
        // Of several sockets at one place, as with SO_REUSEPORT, each has a queue.
        let mut seen: BTreeMap<&UpstreamId, Level> = BTreeMap::new();
        for queue in queues {
            let level = seen.entry(&queue.at).or_default();
            level.length = level.length.saturating_add(queue.length.into());
            level.limit = level.limit.saturating_add(queue.limit.into());
        }
        // The fuller ones first, should the room not do for all.
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_by_key(|(_, level)| std::cmp::Reverse(level.length));
        for (id, level) in seen {
            if let Some(series) = self.own(id) {
                series.now = Some(level);
            } else {
                self.others.length = self.others.length.saturating_add(level.length);
                self.others.limit = self.others.limit.saturating_add(level.limit);
            }
        }
        // Nothing is lost with those.
        self.series
            .retain(|_, series| series.now.is_some() || series.overflows > 0);
    }

    fn overflowed(&mut self, id: &UpstreamId, overflows: Overflows, new: u64) {
        match self.own(id) {
            Some(series) => {
                series.overflows = series.overflows.saturating_add(new);
                if new > 0 {
                    series.now = Some(Level::new(overflows.length, overflows.limit));
                }
            }
            None => self.other = self.other.saturating_add(new),
        }
    }

    fn own(&mut self, id: &UpstreamId) -> Option<&mut Series> {
        if !self.series.contains_key(id) && self.series.len() >= LISTENERS {
            return None;
        }
        Some(self.series.entry(id.clone()).or_default())
    }

    /// All of it. Without `overflows`, where no hook sees them, there are none to be told.
    pub fn families(&self, overflows: bool) -> Vec<Family> {
        let (mut lengths, mut limits, mut drops) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |labels: BTreeMap<&'static str, String>, series: &Series| {
            let point = |value| Point {
                labels: labels.clone(),
                value,
            };
            if let Some(Level { length, limit }) = series.now {
                lengths.push(point(Value::Level(float(length))));
                limits.push(point(Value::Level(float(limit))));
            }
            if overflows {
                drops.push(point(Value::Count(series.overflows)));
            }
        };
        for (id, series) in &self.series {
            let labels = [
                ("listener", id.upstream.to_string()),
                ("netns", id.netns.to_string()),
            ];
            add(labels.into(), series);
        }
        let other = Series {
            overflows: self.other,
            now: Some(self.others),
        };
        add([("listener", "other".to_owned())].into(), &other);
        let family = |name, help, kind, points| Family {
            name,
            help,
            kind,
            unit: None,
            points,
        };
        vec![
            family(
                "gw502_listener_queue_length",
                "Connections that wait for accept(); of other network namespaces only when they have just dropped one",
                Type::Gauge,
                lengths,
            ),
            family(
                "gw502_listener_queue_limit",
                "How many may wait; one more than that is still taken",
                Type::Gauge,
                limits,
            ),
            family(
                "gw502_listener_overflows",
                "SYNs and last segments of handshakes dropped because the queue was full",
                Type::Counter,
                drops,
            ),
        ]
    }
}

/// Exact up to 2^53, which is more than any queue holds.
#[expect(clippy::cast_precision_loss, reason = "see above")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::id;

    fn queue(port: u16, length: u32) -> Queue {
        Queue {
            at: id(port),
            length,
            limit: 128,
        }
    }

    fn overflows(port: u16, drops: u64) -> (UpstreamId, Overflows) {
        let (length, limit) = (129, 128);
        let overflows = Overflows {
            drops,
            length,
            limit,
        };
        (id(port), overflows)
    }

    /// The values of a family by the port of the listener; of `other` under 0.
    fn values(listeners: &Listeners, name: &str) -> BTreeMap<u16, u64> {
        let families = listeners.families(true);
        let family = families.iter().find(|family| family.name == name);
        let points = family.unwrap().points.iter().map(|point| {
            let port = point.labels["listener"].rsplit_once(':');
            let port = port.map_or(0, |(_, port)| port.parse().unwrap());
            let value = match point.value {
                Value::Count(count) => count,
                Value::Level(level) => format!("{level}").parse().unwrap(),
                Value::Buckets { .. } => panic!("{point:?}"),
            };
            (port, value)
        });
        points.collect()
    }

    const LENGTH: &str = "gw502_listener_queue_length";
    const OVERFLOWS: &str = "gw502_listener_overflows";

    #[test]
    fn a_listener_is_measured_as_long_as_it_is_there() {
        let mut listeners = Listeners::default();
        listeners.read(&[queue(80, 3), queue(80, 4), queue(81, 0)], &[]);
        assert_eq!(
            values(&listeners, LENGTH),
            [(0, 0), (80, 7), (81, 0)].into()
        );
        listeners.read(&[queue(80, 1)], &[]);
        assert_eq!(values(&listeners, LENGTH), [(0, 0), (80, 1)].into());
        assert_eq!(values(&listeners, OVERFLOWS), [(0, 0), (80, 0)].into());
        assert!(listeners.families(false)[2].points.is_empty());
    }

    #[test]
    fn drops_are_counted_once_and_stay() {
        let mut listeners = Listeners::default();
        listeners.read(&[], &[overflows(80, 5)]);
        assert_eq!(values(&listeners, LENGTH), [(0, 0), (80, 129)].into());
        listeners.read(&[queue(80, 2)], &[overflows(80, 7)]);
        assert_eq!(values(&listeners, LENGTH), [(0, 0), (80, 2)].into());
        assert_eq!(values(&listeners, OVERFLOWS), [(0, 0), (80, 7)].into());
        listeners.read(&[queue(80, 2)], &[overflows(80, 7)]);
        // The kernel side had forgotten it.
        listeners.read(&[], &[overflows(80, 1)]);
        listeners.read(&[], &[]);
        assert_eq!(values(&listeners, OVERFLOWS), [(0, 0), (80, 8)].into());
        assert_eq!(values(&listeners, LENGTH), [(0, 0)].into(), "it is gone");
    }

    #[test]
    fn the_rest_is_summed_up() {
        let mut listeners = Listeners::default();
        let many = 1..=u16::try_from(LISTENERS).unwrap() + 10;
        let queues: Vec<_> = many.clone().map(|port| queue(port, port.into())).collect();
        listeners.read(&queues, &[]);
        let lengths = values(&listeners, LENGTH);
        assert_eq!(lengths.len(), LISTENERS + 1);
        assert_eq!(lengths[&0], (1..=10).sum::<u64>(), "the emptiest");
        let drops: Vec<_> = many.map(|port| overflows(port, 2)).collect();
        listeners.read(&queues, &drops);
        let drops = values(&listeners, OVERFLOWS);
        assert_eq!(drops.len(), LISTENERS + 1);
        assert_eq!(drops[&0], 2 * 10);
        assert_eq!(drops.values().sum::<u64>(), 2 * (LISTENERS as u64 + 10));
    }
}
