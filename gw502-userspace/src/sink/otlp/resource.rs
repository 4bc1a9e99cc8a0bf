//! Pure: who sends. Names are those of OpenTelemetry's semantic conventions.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::attributes::text;

/// `host.arch`, where OpenTelemetry and Rust call it differently.
const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "amd64",
    b"aarch64" => "arm64",
    _ => std::env::consts::ARCH,
};

/// gw502 on `host`, with these attributes besides or instead.
///
/// Prometheus tells senders apart by `service.name` (its `job`) and `service.instance.id` (its
/// `instance`): there is one gw502 to a host.
pub(super) fn resource(host: &str, more: &BTreeMap<String, String>) -> Resource {
    let mut attributes: BTreeMap<&str, &str> = BTreeMap::from([
        ("service.name", "gw502"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", host),
        ("host.name", host),
        ("host.arch", ARCHITECTURE),
        ("os.type", "linux"),
    ]);
    attributes.extend(more.iter().map(|(key, value)| (&**key, &**value)));
    Resource {
        attributes: attributes
            .into_iter()
            .map(|(key, value)| text(key, value))
            .collect(),
        ..Resource::default()
    }
}

/// The part of us that speaks: all of it.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "gw502".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
