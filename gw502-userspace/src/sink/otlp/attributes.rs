//! Pure: the fields of a record as attributes.
//!
//! Where OpenTelemetry's semantic conventions have a name for a field, it has that name; any other
//! is called `gw502.` and its path, so that a field that is new or that nobody thought of arrives
//! as well. Objects become paths, lists stay lists.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde_json::{Map, Value};

/// Fields that the conventions have names for.
const NAMES: &[(&str, &[&str])] = &[
    // Whoever gets a record twice may drop one of the two by this.
    ("id", &["log.record.uid"]),
    ("host", &["host.name"]),
    ("cause", &["gw502.cause", "error.type"]),
    (
        "upstream.address",
        &["server.address", "network.peer.address"],
    ),
    ("upstream.port", &["server.port", "network.peer.port"]),
    ("upstream.path", &["server.address", "network.peer.address"]),
    (
        "local.address",
        &["client.address", "network.local.address"],
    ),
    ("local.port", &["client.port", "network.local.port"]),
    ("proxy.pid", &["process.pid"]),
    ("proxy.exe", &["process.executable.path"]),
    ("proxy.cgroup", &["process.linux.cgroup"]),
    ("proxy.container", &["container.id"]),
];

/// The attributes of a record: all its fields except those named, which the log record has of its
/// own.
pub(super) fn of(record: &Map<String, Value>, without: &[&str]) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    for (key, value) in record {
        if !without.contains(&&**key) {
            flatten(key, value, &mut attributes);
        }
    }
    derive(record, &mut attributes);
    // What a proxy cancelled itself is no error.
    if record.get("class").and_then(Value::as_str) == Some("aborted") {
        attributes.retain(|attribute| attribute.key != "error.type");
    }
    attributes.sort_by(|left, right| left.key.cmp(&right.key));
    attributes
}

/// What follows from the fields, and has a name of its own.
fn derive(record: &Map<String, Value>, attributes: &mut Vec<KeyValue>) {
    let field = |one: &str, other: &str| record.get(one)?.get(other)?.as_str();
    if let Some(address) = field("upstream", "address") {
        let kind = if address.contains(':') {
            "ipv6"
        } else {
            "ipv4"
        };
        attributes.push(text("network.type", kind));
        attributes.push(text("network.transport", "tcp"));
    }
    if field("upstream", "path").is_some() {
        attributes.push(text("network.transport", "unix"));
    }
    if let Some(name) = field("proxy", "exe").and_then(|path| path.rsplit('/').next()) {
        attributes.push(text("process.executable.name", name));
    }
}

fn flatten(path: &str, value: &Value, into: &mut Vec<KeyValue>) {
    if let Value::Object(fields) = value {
        for (key, value) in fields {
            flatten(&format!("{path}.{key}"), value, into);
        }
        return;
    }
    let Some(value) = any(value) else { return };
    match NAMES.iter().find(|(field, _)| *field == path) {
        Some((_, names)) => into.extend(names.iter().map(|name| attribute(name, value.clone()))),
        None => into.push(attribute(&format!("gw502.{path}"), value)),
    }
}

fn any(value: &Value) -> Option<AnyValue> {
    let any = match value {
        Value::Null => return None,
        Value::Bool(value) => Any::BoolValue(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Any::IntValue(value),
            (None, Some(value)) => Any::DoubleValue(value),
            (None, None) => Any::StringValue(number.to_string()),
        },
        Value::String(value) => Any::StringValue(value.clone()),
        Value::Array(values) => Any::ArrayValue(ArrayValue {
            values: values.iter().filter_map(any).collect(),
        }),
        Value::Object(fields) => Any::KvlistValue(KeyValueList {
            values: fields
                .iter()
                .filter_map(|(key, value)| Some(attribute(key, any(value)?)))
                .collect(),
        }),
    };
    Some(AnyValue { value: Some(any) })
}

fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

/// An attribute that is a text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, words(value))
}

/// A text.
pub(super) fn words(value: &str) -> AnyValue {
    AnyValue {
        value: Some(Any::StringValue(value.to_owned())),
    }
}
