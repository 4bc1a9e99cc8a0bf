//! Pure: a failure in one sentence, for the eyes of whoever reads logs.

use serde_json::Value;

use crate::event::Evidence;
use crate::render::text::printable;
use crate::sink::fields::named;

/// A failure: `nginx[7] could not reach 10.2.0.7:8080 (api): refused, no-listener: …`.
pub(super) fn failure(record: &Value) -> String {
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
        named(record),
        word("class"),
        word("cause"),
    );
    let facts = facts(record);
    printable(&if facts.is_empty() {
        sentence
    } else {
        format!("{sentence}: {}", facts.join(", "))
    })
}

/// The evidence in words. What a newer gw502 put into a spool may be unknown to us: it is among the
/// attributes.
fn facts(record: &Value) -> Vec<String> {
    let evidence = record.get("evidence").and_then(Value::as_array);
    let known = |value: &Value| serde_json::from_value::<Evidence>(value.clone()).ok();
    evidence
        .into_iter()
        .flatten()
        .filter_map(known)
        .map(|fact| fact.to_string())
        .collect()
}
