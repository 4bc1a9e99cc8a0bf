//! `gw502.failure/1` and `gw502.summary/1`: one object a line.

mod diagnosis;
mod shipped;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

pub use self::diagnosis::{diagnosis, report};
pub use self::shipped::{Stamp, shipped_diagnosis, shipped_failure};
use super::{Origin, Summary, Unrecorded};
use crate::aggregate::UpstreamSummary;
use crate::event::{Cause, Class, Endpoint, Errno, EventId, Evidence, Failure, Upstream};

/// An address as it stands in JSON.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Address {
    address: String,
    port: u16,
}

impl From<Endpoint> for Address {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            address: endpoint.address.to_string(),
            port: endpoint.port,
        }
    }
}

/// An upstream as it stands in JSON.
#[derive(Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum UpstreamName<'a> {
    /// Over TCP.
    Tcp {
        #[serde(flatten)]
        address: Address,
        /// Its name in the proxy's configuration.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    /// Over a unix socket; abstract names are written with `@` for their zero bytes.
    Unix {
        path: &'a str,
        /// Its name in the proxy's configuration.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
}

impl<'a> UpstreamName<'a> {
    fn new(upstream: &'a Upstream, name: Option<&'a str>) -> Self {
        match upstream {
            Upstream::Tcp(endpoint) => Self::Tcp {
                address: (*endpoint).into(),
                name,
            },
            Upstream::Unix { path } => Self::Unix { path, name },
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Proxy<'a> {
    pid: u32,
    comm: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailureLine<'a> {
    /// Always `gw502.failure/1`.
    schema: &'static str,
    /// When it ended: RFC 3339 in UTC, nanoseconds.
    time: String,
    /// Name of the host that saw it.
    host: &'a str,
    /// Unique, sorts by time (ULID alphabet), the same again in a replay.
    id: String,
    /// What happened to the attempt, as TCP tells it.
    class: Class,
    /// Why: `gw502 explain CAUSE` has a page for each.
    cause: Cause,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    errno: Option<Errno>,
    /// `connect`, `request` (sent, no answer yet) or `idle`.
    phase: &'static str,
    /// Where the proxy connected to.
    upstream: UpstreamName<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<Address>,
    /// Inode number of the network namespace.
    netns: u32,
    /// Who connected.
    proxy: Proxy<'a>,
    /// Microseconds since the connect started; since the request left when `phase` is `request`.
    elapsed_us: u64,
    /// SYNs sent again.
    syn_retransmits: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_us: Option<u32>,
    /// Payload bytes sent on the connection, each counted once.
    bytes_sent: u64,
    /// Payload bytes received on the connection.
    bytes_received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<u16>,
    /// What led to the cause, most telling first.
    evidence: &'a [Evidence],
    /// Backend that saw it.
    hook: &'a str,
    /// Events lost between the one before and this one.
    lost_before: u64,
    /// Of `gw502 agent`: which run of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    /// Of `gw502 agent`: counts the failures that a run shipped, from 1. One that is missing was lost
    /// on the way to where this is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    /// Of `gw502 agent`: how many failures since the one before were counted in its metrics and not
    /// shipped, because there were too many in a second for `[limits] storm`; absent when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled_out: Option<u64>,
}

/// One failure as a line of JSON, newline included.
pub fn failure(failure: &Failure, origin: &Origin) -> Bytes {
    line(&failure_line(failure, origin))
}

fn failure_line<'a>(failure: &'a Failure, origin: &'a Origin) -> FailureLine<'a> {
    let time = origin.anchor.wall(failure.at_ns);
    let unix_ns = u64::try_from(time.as_nanosecond()).unwrap_or(0);
    FailureLine {
        schema: "gw502.failure/1",
        time: format!("{time:.9}"),
        host: &origin.host,
        id: EventId::new(unix_ns, failure.cpu, origin.id).to_string(),
        class: failure.class,
        cause: failure.cause,
        errno: failure.errno,
        phase: failure.phase.code(),
        upstream: UpstreamName::new(&failure.upstream, failure.upstream_name.as_deref()),
        local: failure.local.map(Into::into),
        netns: failure.netns,
        proxy: Proxy {
            pid: failure.proxy.pid,
            comm: &failure.proxy.comm,
            exe: failure.proxy.exe.as_deref(),
            cgroup: failure.proxy.cgroup.as_deref(),
            container: failure.proxy.container.as_deref(),
        },
        elapsed_us: failure.elapsed_us,
        syn_retransmits: failure.syn_retransmits,
        rtt_us: failure.rtt_us,
        bytes_sent: failure.bytes_sent,
        bytes_received: failure.bytes_received,
        expect: failure.expected_status(),
        evidence: &failure.evidence,
        hook: &failure.hook,
        lost_before: failure.lost_before,
        run: None,
        sequence: None,
        sampled_out: None,
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UpstreamLine<'a> {
    /// Absent for the sum of all upstreams that found no room of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamName<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<u32>,
    attempts: u64,
    established: u64,
    failed: u64,
    failures: BTreeMap<&'static str, u64>,
    causes: BTreeMap<&'static str, u64>,
    aborted: u64,
    lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SummaryLine<'a> {
    schema: &'static str,
    host: &'a str,
    upstreams: Vec<UpstreamLine<'a>>,
    lost: &'a BTreeMap<String, u64>,
    skipped: &'a BTreeMap<String, u64>,
    /// Of a replay: events that `gw502 record` counted and, by its options, did not write.
    #[serde(skip_serializing_if = "Option::is_none")]
    unrecorded: Option<&'a Unrecorded>,
}

/// The end of a run as a line of JSON, newline included.
pub fn summary(summary: &Summary, origin: &Origin) -> Bytes {
    line(&SummaryLine {
        schema: "gw502.summary/1",
        host: &origin.host,
        upstreams: summary
            .upstreams
            .iter()
            .map(|row| upstream(row, origin))
            .collect(),
        lost: &summary.losses,
        skipped: &summary.skips,
        unrecorded: summary.unrecorded.as_ref(),
    })
}

fn upstream<'a>(row: &'a UpstreamSummary, origin: &Origin) -> UpstreamLine<'a> {
    UpstreamLine {
        upstream: row
            .id
            .as_ref()
            .map(|id| UpstreamName::new(&id.upstream, None)),
        netns: row.id.as_ref().map(|id| id.netns),
        attempts: row.attempts,
        established: row.established,
        failed: row.failed(),
        failures: row
            .classes
            .iter()
            .map(|(class, count)| (class.code(), *count))
            .collect(),
        causes: row
            .causes
            .iter()
            .map(|(cause, count)| (cause.code(), *count))
            .collect(),
        aborted: row.aborted,
        lost: row.lost,
        since: row
            .since_ns
            .map(|at_ns| format!("{:.9}", origin.anchor.wall(at_ns))),
    }
}

/// Serialising our own structs of strings and numbers cannot fail; if it ever did, the line would
/// say so rather than be missing.
pub(super) fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|error| {
        format!("{{\"schema\":\"gw502.error/1\",\"error\":\"{error}\"}}").into_bytes()
    });
    bytes.push(b'\n');
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests;
