//! Pure: an encoded request, and where in OTLP it belongs.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::{DecodeError, Message as _};

/// What OTLP carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Logs,
    Metrics,
}

impl Signal {
    /// The gRPC method.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The path over HTTP, below that of the endpoint.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// How many the receiver refused, and its words, from its response.
    pub(super) fn partial(self, response: Bytes) -> Result<(i64, String), DecodeError> {
        Ok(match self {
            Self::Logs => ExportLogsServiceResponse::decode(response)?
                .partial_success
                .map(|partial| (partial.rejected_log_records, partial.error_message)),
            Self::Metrics => ExportMetricsServiceResponse::decode(response)?
                .partial_success
                .map(|partial| (partial.rejected_data_points, partial.error_message)),
        }
        .unwrap_or_default())
    }
}

/// A request, ready to be sent, and sent again.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) signal: Signal,
    /// Log records or data points in it.
    pub(super) count: u64,
    /// The protobuf message.
    pub(super) bytes: Bytes,
}
