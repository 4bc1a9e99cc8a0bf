//! Pure: records as log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde_json::Value;

use super::payload::{Payload, Signal};
use super::resource::scope;
use super::{attributes, sentence};
use crate::sink::fields::{Fields, Severity};
use crate::sink::ship::{Kind, Record};

/// Bytes of log records in a request. Receivers take 4 MiB; the resource and the envelope are small.
const REQUEST_BYTES: usize = 3 << 20;

/// `records` in as few requests as receivers are sure to take.
pub(super) fn payloads(records: &[Record], resource: &Resource, host: &str) -> Vec<Payload> {
    let mut payloads = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for record in records {
        let record = log_record(record, host);
        let length = record.encoded_len();
        if bytes + length > REQUEST_BYTES && !batch.is_empty() {
            payloads.push(payload(std::mem::take(&mut batch), resource));
            bytes = 0;
        }
        bytes += length;
        batch.push(record);
    }
    if !batch.is_empty() {
        payloads.push(payload(batch, resource));
    }
    payloads
}

fn payload(log_records: Vec<LogRecord>, resource: &Resource) -> Payload {
    let count = u64::try_from(log_records.len()).unwrap_or(u64::MAX);
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    Payload {
        signal: Signal::Logs,
        count,
        bytes: request.encode_to_vec().into(),
    }
}

/// One record, from `host`, of which the resource tells.
pub(super) fn log_record(record: &Record, host: &str) -> LogRecord {
    let event_name = match record.kind {
        Kind::Failure => "gw502.failure",
        Kind::Diagnosis => "gw502.diagnosis",
    }
    .to_owned();
    let json = serde_json::from_slice::<Value>(&record.json).unwrap_or_default();
    let Some(fields) = json.as_object() else {
        // Not what we wrote; whoever reads it may still make sense of it.
        return LogRecord {
            event_name,
            body: Some(attributes::words(&String::from_utf8_lossy(&record.json))),
            ..LogRecord::default()
        };
    };
    let mut own = vec!["time"];
    if fields.get("host").and_then(Value::as_str) == Some(host) {
        own.push("host");
    }
    let flat = Fields::of(record);
    let severity = number(flat.severity);
    let body = match record.kind {
        Kind::Failure => sentence::failure(&json),
        Kind::Diagnosis => flat.line,
    };
    let time = flat
        .time
        .and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    let time = time.unwrap_or(0);
    LogRecord {
        time_unix_nano: time,
        // Whoever makes a record and sends it itself has observed it when it happened.
        observed_time_unix_nano: time,
        severity_number: severity.into(),
        severity_text: severity
            .as_str_name()
            .trim_start_matches("SEVERITY_NUMBER_")
            .to_owned(),
        body: Some(attributes::words(&body)),
        attributes: attributes::of(fields, &own),
        event_name,
        ..LogRecord::default()
    }
}

/// OTLP knows nothing between an error and the end of a program, and nothing between a warning and
/// what is just said.
const fn number(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Critical | Severity::Error => SeverityNumber::Error,
        Severity::Warning => SeverityNumber::Warn,
        Severity::Notice | Severity::Info => SeverityNumber::Info,
    }
}
