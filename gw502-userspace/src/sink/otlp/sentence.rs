//! Pure: a record in one sentence, for the eyes of whoever reads logs.

use serde_json::{Map, Value};

use crate::event::Evidence;

/// A failure: `nginx[7] could not reach 10.2.0.7:8080 (api): refused, no-listener: …`.
pub(super) fn failure(record: &Map<String, Value>) -> String {
    let word = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or("?");
    let proxy = record.get("proxy");
    let comm = proxy.and_then(|proxy| proxy.get("comm")?.as_str());
    let pid = proxy.and_then(|proxy| proxy.get("pid")?.as_u64());
    let verb = match word("class") {
        "aborted" => "gave up on",
        _ => "failed at",
    };
    let sentence = format!(
        "{}[{}] {verb} {}: {}, {}",
        comm.unwrap_or("?"),
        pid.unwrap_or(0),
        upstream(record).unwrap_or_default(),
        word("class"),
        word("cause"),
    );
    let facts = facts(record);
    clean(&if facts.is_empty() {
        sentence
    } else {
        format!("{sentence}: {}", facts.join(", "))
    })
}

/// A diagnosis: `10.2.0.7:8080 (api) is failing: …`.
pub(super) fn diagnosis(record: &Map<String, Value>) -> String {
    let word = |name: &str| record.get(name).and_then(Value::as_str);
    let upstream = upstream(record).unwrap_or_else(|| "other upstreams".to_owned());
    let state = word("state").unwrap_or("?");
    clean(&match word("summary") {
        Some(summary) => format!("{upstream} is {state}: {summary}"),
        None => format!("{upstream} is {state}"),
    })
}

/// `10.2.0.7:8080 (api)`.
fn upstream(record: &Map<String, Value>) -> Option<String> {
    let upstream = record.get("upstream")?;
    let word = |name: &str| upstream.get(name).and_then(Value::as_str);
    let place = match (word("address"), upstream.get("port")) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        _ => word("path")?.to_owned(),
    };
    Some(match word("name") {
        Some(name) => format!("{place} ({name})"),
        None => place,
    })
}

/// The evidence in words. What a newer gw502 put into a spool may be unknown to us: it is among the
/// attributes.
fn facts(record: &Map<String, Value>) -> Vec<String> {
    let evidence = record.get("evidence").and_then(Value::as_array);
    let known = |value: &Value| serde_json::from_value::<Evidence>(value.clone()).ok();
    evidence
        .into_iter()
        .flatten()
        .filter_map(known)
        .map(|fact| fact.to_string())
        .collect()
}

/// Names of processes and paths may hold any character: one line stays one line.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
