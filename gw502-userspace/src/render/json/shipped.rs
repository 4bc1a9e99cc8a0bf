//! Records of the agent: the same objects, with what tells duplicates and gaps.

use bytes::Bytes;

use super::diagnosis::diagnosis_line;
use super::{failure_line, line};
use crate::diagnose::Diagnosis;
use crate::event::{EventId, Failure};
use crate::render::Origin;

/// What tells a record from all others.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The run of the agent.
    pub run: &'a str,
    /// Which of its kind in this run, from 1.
    pub sequence: u64,
}

/// A failure as a record: without a line feed. `sampled_out` were not shipped since the one before.
pub fn shipped_failure(
    failure: &Failure,
    origin: &Origin,
    stamp: Stamp<'_>,
    sampled_out: u64,
) -> Bytes {
    let mut object = failure_line(failure, origin);
    object.run = Some(stamp.run);
    object.sequence = Some(stamp.sequence);
    object.sampled_out = Some(sampled_out).filter(|count| *count > 0);
    record(line(&object))
}

/// A diagnosis as a record: without a line feed. It was made at `at_ns`, `CLOCK_BOOTTIME`, as the
/// `nth` of that moment.
pub fn shipped_diagnosis(
    diagnosis: &Diagnosis,
    origin: &Origin,
    stamp: Stamp<'_>,
    (at_ns, nth): (u64, u32),
) -> Bytes {
    /// No event has this CPU in its id: Linux knows at most 8,192, and those above 4,095 share ids
    /// with others only if they saw something in the same nanosecond.
    const NO_CPU: u32 = 0xfff;
    let time = origin.anchor.wall(at_ns);
    let unix_ns = u64::try_from(time.as_nanosecond()).unwrap_or(0);
    let unix_ns = unix_ns.saturating_add(nth.into());
    let mut object = diagnosis_line(diagnosis, origin);
    object.time = Some(format!("{time:.9}"));
    object.id = Some(EventId::new(unix_ns, NO_CPU, origin.id).to_string());
    object.run = Some(stamp.run);
    object.sequence = Some(stamp.sequence);
    record(line(&object))
}

fn record(mut line: Bytes) -> Bytes {
    if line.ends_with(b"\n") {
        line.truncate(line.len() - 1);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Counted;
    use crate::diagnose::Engine;
    use crate::diagnose::tests::made::{PLACE, refused};

    const STAMP: Stamp<'static> = Stamp {
        run: "R",
        sequence: 7,
    };

    fn check(record: &Bytes, schema: &str) -> serde_json::Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let schema = std::fs::read(path.join(schema)).unwrap();
        let schema = serde_json::from_slice(&schema).unwrap();
        let value: serde_json::Value = serde_json::from_slice(record).unwrap();
        jsonschema::validate(&schema, &value).unwrap();
        assert!(!record.contains(&b'\n'));
        value
    }

    #[test]
    fn a_failure_has_run_sequence_and_what_was_left_out() {
        let failure = refused(80, 1_500_000_000);
        let record = shipped_failure(&failure, &Origin::sample(), STAMP, 0);
        let value = check(&record, "gw502.failure.1.schema.json");
        assert_eq!(
            (&value["run"], &value["sequence"]),
            (&"R".into(), &7.into())
        );
        assert_eq!(value.get("sampled_out"), None);
        let record = shipped_failure(&failure, &Origin::sample(), STAMP, 9);
        let value = check(&record, "gw502.failure.1.schema.json");
        assert_eq!(value["sampled_out"], 9);
    }

    #[test]
    fn diagnoses_of_one_moment_have_ids_of_their_own() {
        let mut engine = Engine::default();
        engine.event(&refused(80, 1_000_000_000), true);
        engine.event(&refused(81, 1_000_000_000), true);
        engine.counted(&Counted::default(), 2_000_000_000);
        let report = engine.report(PLACE, &|_, _| true);
        let records = report.diagnoses.iter().zip(0..);
        let values = records.map(|(diagnosis, nth)| {
            let at = (2_000_000_000, nth);
            let record = shipped_diagnosis(diagnosis, &Origin::sample(), STAMP, at);
            check(&record, "gw502.diagnosis.1.schema.json")
        });
        let values: Vec<_> = values.collect();
        assert_eq!(values.len(), 2);
        assert!(values[0]["id"].as_str() < values[1]["id"].as_str());
        assert_eq!(values[0]["time"], "2023-11-14T22:13:22.000000000Z");
        assert_eq!(values[0]["sequence"], 7);
    }
}
