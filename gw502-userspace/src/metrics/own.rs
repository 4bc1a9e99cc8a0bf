//! Pure: what the agent measures of itself.

use std::collections::BTreeMap;

use super::model::{Family, Point, Type, Value};
use crate::deliver::Snapshot;

/// Everything about the agent at one moment. Counters count since its start.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Capability and backend of every way to see that is in use.
    pub hooks: Vec<(&'static str, &'static str)>,
    /// What the kernel side or intake could not keep, by reason.
    pub losses: BTreeMap<String, u64>,
    /// Each sink, by name.
    pub sinks: Vec<(String, Snapshot)>,
    /// Messages that were too long for a sink and lost their end, by name.
    pub cut: Vec<(String, u64)>,
    /// Times that metrics were taken, and times that they were not, by sink that gets some.
    pub pushes: Vec<(String, (u64, u64))>,
    /// Records handed to the sinks.
    pub failures: u64,
    /// The same of diagnoses.
    pub diagnoses: u64,
    /// Failures that were counted and, in a storm, not shipped.
    pub sampled_out: u64,
    /// Times that the configuration was read anew, and times that it was not taken.
    pub reloads: (u64, u64),
    /// Whether the run before was killed; `None` where that cannot be told.
    pub previous_killed: Option<bool>,
    /// Upstreams that have series, and how many may.
    pub series: (usize, usize),
    /// Bytes that what grows takes at most.
    pub memory_limit: u64,
    /// Of the process.
    pub process: Process,
}

/// What the kernel says of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_fds: u64,
    /// When it started, seconds since 1970.
    pub started_s: f64,
}

impl Own {
    /// All of it.
    pub fn families(&self) -> Vec<Family> {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let hooks = self.hooks.iter();
        let hooks = hooks.map(|(seen, how)| count(&[("capability", *seen), ("backend", *how)], 1));
        let losses = self.losses.iter();
        let losses = losses.map(|(reason, lost)| count(&[("reason", reason)], *lost));
        let (ok, failed) = self.reloads;
        let (used, limit) = self.series;
        let bare = |value| [level(&[], value)];
        let mut families = vec![
            family(
                "gw502_build",
                "Version of gw502",
                Type::Info,
                [count(&version, 1)],
            ),
            family("gw502_hook", "What is seen, and how", Type::Info, hooks),
            family(
                "gw502_events_lost",
                "Records, counters and evidence that could not be kept, by reason",
                Type::Counter,
                losses,
            ),
            family(
                "gw502_records",
                "Records made for the sinks",
                Type::Counter,
                [
                    count(&[("kind", "failure")], self.failures),
                    count(&[("kind", "diagnosis")], self.diagnoses),
                ],
            ),
            family(
                "gw502_records_sampled_out",
                "Failures that were counted and, in a storm, not shipped",
                Type::Counter,
                [count(&[], self.sampled_out)],
            ),
            family(
                "gw502_reloads",
                "Times that the configuration was read anew",
                Type::Counter,
                [
                    count(&[("result", "ok")], ok),
                    count(&[("result", "failed")], failed),
                ],
            ),
            family(
                "gw502_previous_run_killed",
                "1 when the run before was killed, and what it had in memory is lost",
                Type::Gauge,
                self.previous_killed
                    .map(|killed| level(&[], f64::from(u8::from(killed)))),
            ),
            family(
                "gw502_upstream_series",
                "Upstreams that have series of their own",
                Type::Gauge,
                bare(float(used)),
            ),
            family(
                "gw502_upstream_series_limit",
                "How many upstreams may have series of their own",
                Type::Gauge,
                bare(float(limit)),
            ),
            family(
                "gw502_memory_limit_bytes",
                "What queues, diagnosis and series take at most",
                Type::Gauge,
                bare(float(self.memory_limit)),
            ),
        ];
        families.extend(self.sinks());
        families.extend(self.process.families());
        families
    }

    fn sinks(&self) -> impl Iterator<Item = Family> {
        let shed = self.sinks.iter().flat_map(|(sink, at)| {
            let reasons = at.shed.iter();
            reasons.map(|(reason, records)| {
                count(&[("sink", sink), ("reason", reason.name())], *records)
            })
        });
        let shed = family(
            "gw502_sink_shed",
            "Records given up, the oldest first",
            Type::Counter,
            shed,
        );
        let cut = self.cut.iter();
        let cut = family(
            "gw502_sink_cut",
            "Messages that were too long for a datagram and lost their end",
            Type::Counter,
            cut.map(|(sink, messages)| count(&[("sink", sink)], *messages)),
        );
        let pushes = self.pushes.iter().flat_map(|(sink, (taken, failed))| {
            let results = [("ok", taken), ("failed", failed)];
            results
                .map(|(result, count_of)| count(&[("sink", sink), ("result", result)], *count_of))
        });
        let pushes = family(
            "gw502_sink_metrics_pushes",
            "Times that the metrics were sent to a receiver",
            Type::Counter,
            pushes,
        );
        let counts = SINK_COUNTS.iter().map(|(name, help, counted)| {
            let sinks = self.sinks.iter();
            let points = sinks.map(|(sink, at)| count(&[("sink", sink)], counted(at)));
            family(name, help, Type::Counter, points)
        });
        let levels = SINK_LEVELS.iter().map(|(name, help, value)| {
            let sinks = self.sinks.iter();
            let points =
                sinks.filter_map(|(sink, at)| Some(level(&[("sink", sink)], float(value(at)?))));
            family(name, help, Type::Gauge, points)
        });
        counts.chain([shed, cut, pushes]).chain(levels)
    }
}

/// Name and help of a family, and what of a sink it shows.
type OfSink<T> = (&'static str, &'static str, fn(&Snapshot) -> T);

/// What is counted of a sink.
const SINK_COUNTS: &[OfSink<u64>] = &[
    (
        "gw502_sink_delivered",
        "Records that the receiver took",
        |at| at.delivered,
    ),
    (
        "gw502_sink_refused",
        "Records that the receiver did not want; they are gone",
        |at| at.refused,
    ),
    (
        "gw502_sink_retries",
        "Deliveries that failed and are tried again",
        |at| at.retries,
    ),
    (
        "gw502_sink_damaged",
        "Records in the spool that could not be read; they are gone",
        |at| at.damaged,
    ),
    (
        "gw502_sink_spool_failures",
        "Times that the spool could not be written or read",
        |at| at.spool_failures,
    ),
];

/// What goes up and down.
const SINK_LEVELS: &[OfSink<Option<u64>>] = &[
    (
        "gw502_sink_stuck",
        "1 when records wait and none has left for a minute",
        |at| Some(u64::from(at.stuck)),
    ),
    (
        "gw502_sink_queue_records",
        "Records that wait in memory",
        |at| Some(at.queue.records),
    ),
    (
        "gw502_sink_queue_bytes",
        "Bytes that wait in memory",
        |at| Some(at.queue.bytes),
    ),
    (
        "gw502_sink_queue_limit_bytes",
        "Bytes that may wait in memory",
        |at| Some(at.queue.limit),
    ),
    (
        "gw502_sink_spool_records",
        "Records that wait on disk",
        |at| Some(at.spool?.records),
    ),
    (
        "gw502_sink_spool_bytes",
        "Bytes that the spool takes on disk",
        |at| Some(at.spool?.bytes),
    ),
    (
        "gw502_sink_spool_limit_bytes",
        "Bytes that the spool may take",
        |at| Some(at.spool?.limit),
    ),
];

impl Process {
    fn families(&self) -> [Family; 3] {
        let gauge = |name, help, value| family(name, help, Type::Gauge, [level(&[], value)]);
        [
            gauge(
                "process_resident_memory_bytes",
                "Bytes of the agent in memory",
                float(self.resident_bytes),
            ),
            gauge(
                "process_open_fds",
                "Descriptors that the agent has open",
                float(self.open_fds),
            ),
            gauge(
                "process_start_time_seconds",
                "When the agent started, in seconds since 1970",
                self.started_s,
            ),
        ]
    }
}

fn family(
    name: &'static str,
    help: &'static str,
    kind: Type,
    points: impl IntoIterator<Item = Point>,
) -> Family {
    let unit = ["bytes", "seconds"];
    let mut unit = unit.into_iter().filter(|unit| name.ends_with(unit));
    Family {
        name,
        help,
        kind,
        unit: unit.next(),
        points: points.into_iter().collect(),
    }
}

fn point(labels: &[(&'static str, &str)], value: Value) -> Point {
    let labels = labels.iter();
    Point {
        labels: labels
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value,
    }
}

fn count(labels: &[(&'static str, &str)], count: u64) -> Point {
    point(labels, Value::Count(count))
}

fn level(labels: &[(&'static str, &str)], level: f64) -> Point {
    point(labels, Value::Level(level))
}

/// As a gauge has it. Exact up to 2^53, which no number of ours reaches.
fn float(count: impl TryInto<u64>) -> f64 {
    let count = count.try_into().unwrap_or(u64::MAX);
    let (high, low) = (count >> 32, count & 0xffff_ffff);
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(high).mul_add(4_294_967_296.0, half(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_are() {
        assert_eq!(float(0_u64).to_string(), "0");
        assert_eq!(
            float(1_u64 << 40 | 7).to_string(),
            (1_u64 << 40 | 7).to_string()
        );
    }

    #[test]
    fn every_reason_of_a_sink_is_there_before_anything_happened() {
        let status = crate::deliver::Status::new("one", 64, Some(128));
        let own = Own {
            sinks: vec![(
                "one".to_owned(),
                status.snapshot(tokio::time::Instant::now()),
            )],
            ..Own::default()
        };
        let families = own.families();
        let points = |name: &str| {
            let family = families.iter().find(|family| family.name == name).unwrap();
            family.points.clone()
        };
        assert_eq!(points("gw502_sink_shed").len(), 4);
        assert_eq!(
            points("gw502_sink_queue_limit_bytes")[0].value,
            Value::Level(64.0)
        );
        assert_eq!(
            points("gw502_sink_spool_limit_bytes")[0].value,
            Value::Level(128.0)
        );
        assert!(
            points("gw502_sink_shed")
                .iter()
                .all(|point| point.labels["sink"] == "one")
        );
        let names: std::collections::BTreeSet<_> = families.iter().map(|f| f.name).collect();
        assert_eq!(names.len(), families.len(), "a name is there once");
        let units = families.iter().all(|family| {
            family
                .unit
                .is_none_or(|unit| family.name.ends_with(&format!("_{unit}")))
        });
        assert!(units);
    }
}
