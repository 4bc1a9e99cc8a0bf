//! OTLP: failures and diagnoses as logs, measures as metrics; over gRPC or HTTP.
//!
//! - `logs`, with `attributes` and `sentence`: pure; a record as a log record.
//! - `metrics`, `resource`: pure; measures as metrics, and who sends it all.
//! - `payload`: an encoded request; `answer`: pure; what the receiver made of it.
//! - `grpc`, `http`: a request over a connection, which `connect` opens with `tls` and `headers`.
//! - `exporter`: requests over one connection, kept as long as all goes well.
//!
//! No proxy is ever used, whatever the environment says: `HTTP_PROXY` and its like are meant for
//! other programs, and what fails in silence behind a proxy is what we are here to find.

mod answer;
mod attributes;
mod connect;
mod exporter;
mod grpc;
mod headers;
mod http;
mod logs;
mod metrics;
mod payload;
mod resource;
mod sentence;
mod tls;

use opentelemetry_proto::tonic::resource::v1::Resource;

pub use self::connect::EndpointError;
use self::exporter::Exporter;
pub use self::metrics::Span;
use super::ship::{DeliverError, Delivery, Record, Sink};
use crate::config::OtlpConfig;
use crate::metrics::model::Measures;

/// Somewhere that measures are pushed to.
pub trait MeasureSink: Send {
    /// Sends everything, as it was at the end of `span`. `Ok` once the receiver has it. What is not
    /// delivered needs no second try: the next push says all of it again.
    fn push<'a>(&'a mut self, measures: &'a Measures, span: Span) -> Delivery<'a>;
}

/// An OTLP receiver.
#[derive(Debug)]
pub struct Otlp {
    exporter: Exporter,
    resource: Resource,
    host: String,
}

impl Otlp {
    /// Sends there, in the name of `host`. Connects when there is something to send.
    pub fn new(config: &OtlpConfig, host: &str) -> Result<Self, EndpointError> {
        Ok(Self {
            exporter: Exporter::new(config)?,
            resource: resource::resource(host, &config.resource),
            host: host.to_owned(),
        })
    }
}

impl Sink for Otlp {
    fn deliver<'a>(&'a mut self, records: &'a [Record]) -> Delivery<'a> {
        Box::pin(async move {
            let mut refused_of_all = 0_u64;
            let mut words = String::new();
            for payload in logs::payloads(records, &self.resource, &self.host) {
                match self.exporter.export(&payload).await {
                    Err(DeliverError::Never { refused, why }) => {
                        refused_of_all = refused_of_all.saturating_add(refused);
                        words = why;
                    }
                    other => other?,
                }
            }
            match refused_of_all {
                0 => Ok(()),
                refused => Err(DeliverError::Never {
                    refused,
                    why: words,
                }),
            }
        })
    }
}

impl MeasureSink for Otlp {
    fn push<'a>(&'a mut self, measures: &'a Measures, span: Span) -> Delivery<'a> {
        Box::pin(async move {
            match metrics::payload(measures, span, &self.resource) {
                Some(payload) => self.exporter.export(&payload).await,
                None => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
