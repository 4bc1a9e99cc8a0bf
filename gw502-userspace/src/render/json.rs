//! `gw502.failure/1` and `gw502.summary/1`: one object a line.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::{Origin, Summary};
use crate::aggregate::UpstreamSummary;
use crate::event::{Endpoint, Errno, EventId, Evidence, Failure};

/// An address as it stands in JSON.
#[derive(Serialize)]
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

#[derive(Serialize)]
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
struct FailureLine<'a> {
    schema: &'static str,
    time: String,
    host: &'a str,
    id: String,
    class: &'static str,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<Errno>,
    phase: &'static str,
    upstream: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<Address>,
    netns: u32,
    proxy: Proxy<'a>,
    elapsed_us: u64,
    syn_retransmits: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_us: Option<u32>,
    bytes_sent: u64,
    bytes_received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<u16>,
    evidence: &'a [Evidence],
    hook: &'a str,
    lost_before: u64,
}

/// One failure as a line of JSON, newline included.
pub fn failure(failure: &Failure, origin: &Origin) -> Bytes {
    let time = origin.anchor.wall(failure.at_ns);
    let unix_ns = u64::try_from(time.as_nanosecond()).unwrap_or(0);
    line(&FailureLine {
        schema: "gw502.failure/1",
        time: format!("{time:.9}"),
        host: &origin.host,
        id: EventId::new(unix_ns, failure.cpu, origin.id).to_string(),
        class: failure.class.code(),
        cause: failure.cause.code(),
        errno: failure.errno,
        phase: failure.phase.code(),
        upstream: failure.upstream.into(),
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
    })
}

#[derive(Serialize)]
struct UpstreamLine {
    /// Absent for the sum of all upstreams that found no room of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Address>,
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
struct SummaryLine<'a> {
    schema: &'static str,
    host: &'a str,
    upstreams: Vec<UpstreamLine>,
    lost: &'a BTreeMap<String, u64>,
    skipped: &'a BTreeMap<String, u64>,
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
    })
}

fn upstream(row: &UpstreamSummary, origin: &Origin) -> UpstreamLine {
    UpstreamLine {
        upstream: row.id.map(|id| id.upstream.into()),
        netns: row.id.map(|id| id.netns),
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
fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|error| {
        format!("{{\"schema\":\"gw502.error/1\",\"error\":\"{error}\"}}").into_bytes()
    });
    bytes.push(b'\n');
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use gw502_common::ending::Ending;
    use gw502_common::wire::{FailureRecord, RecordHeader};

    use super::failure as line_of;
    use super::*;
    use crate::classify::Classifier;
    use crate::clock::TimeAnchor;
    use crate::intake::decode::Decoded;

    #[test]
    fn a_failure_has_the_fields_of_its_schema_and_no_made_up_ones() {
        let mut record = FailureRecord {
            header: RecordHeader {
                at_ns: 1_412_123_456,
                cpu: 1,
                ..RecordHeader::default()
            },
            ..FailureRecord::default()
        };
        record.connection.start_ns = 1_411_911_456;
        record.connection.daddr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        record.connection.dport = 9000;
        record.connection.netns = 4_026_531_840;
        record.connection.tgid = 4121;
        record.connection.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
        record.socket.sport = 51844;
        record.socket.saddr = record.connection.daddr;
        let failure = Classifier::default().classify(
            &Decoded {
                ending: Ending::Refused,
                record,
            },
            0,
        );
        let anchor = TimeAnchor {
            offset_ns: 1_700_000_000_000_000_000,
        };
        let origin = Origin {
            host: "edge-1".to_owned(),
            kernel: "Linux 6.1.0".to_owned(),
            id: 7,
            anchor,
            zone: jiff::tz::TimeZone::UTC,
        };
        let expected = concat!(
            r#"{"schema":"gw502.failure/1","time":"2023-11-14T22:13:21.412123456Z","#,
            r#""host":"edge-1","id":"01HF7YAVC43RJ0008000000007","class":"refused","#,
            r#""cause":"refused","errno":"ECONNREFUSED","phase":"connect","#,
            r#""upstream":{"address":"127.0.0.1","port":9000},"#,
            r#""local":{"address":"127.0.0.1","port":51844},"netns":4026531840,"#,
            r#""proxy":{"pid":4121,"comm":"nginx"},"elapsed_us":212,"syn_retransmits":0,"#,
            r#""bytes_sent":0,"bytes_received":0,"expect":502,"#,
            r#""evidence":[{"what":"rst_received","state":"SYN_SENT"}],"#,
            r#""hook":"tracepoint","lost_before":0}"#,
            "\n"
        );
        assert_eq!(
            String::from_utf8_lossy(&line_of(&failure, &origin)),
            expected
        );
    }
}
