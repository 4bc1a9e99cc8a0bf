//! Pure: measures as OTLP metrics.
//!
//! Names: each `_` of the Prometheus name is a dot, and a unit at its end is the metric's unit:
//! `gw502_upstream_connect_seconds` is `gw502.upstream.connect` in `s`. A receiver that translates to
//! Prometheus names (dots to `_`, then the unit, then `_total` after a sum that only grows) so shows
//! the very names and labels of our own page. What has no unit is sent without one: `1` would come
//! out as `_ratio`.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::attributes;
use super::payload::{Payload, Signal};
use super::resource::scope;
use crate::metrics::model::{Family, Measures, Point, Type, Value};

/// What measures are of: the time since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Counters were zero then: nanoseconds since 1970.
    pub start_ns: u64,
    /// When they were read: nanoseconds since 1970.
    pub now_ns: u64,
}

/// All measures as one request; `None` when there are none, which receivers need not be told.
pub(super) fn payload(measures: &Measures, span: Span, resource: &Resource) -> Option<Payload> {
    let points = measures.families.iter().map(|family| family.points.len());
    let count = u64::try_from(points.sum::<usize>()).unwrap_or(u64::MAX);
    if count == 0 {
        return None;
    }
    Some(Payload {
        signal: Signal::Metrics,
        count,
        bytes: request(measures, span, resource).encode_to_vec().into(),
    })
}

pub(super) fn request(
    measures: &Measures,
    span: Span,
    resource: &Resource,
) -> ExportMetricsServiceRequest {
    let families = measures.families.iter();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: families
                    .filter(|family| !family.points.is_empty())
                    .map(|family| metric(family, span))
                    .collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(family: &Family, span: Span) -> Metric {
    let cumulative = AggregationTemporality::Cumulative.into();
    let points = family.points.iter();
    let data = match family.kind {
        // An info counts one, which adds up where labels are summed away.
        Type::Counter | Type::Info => Data::Sum(Sum {
            data_points: points.map(|point| number(point, span)).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: family.kind == Type::Counter,
        }),
        Type::Gauge => Data::Gauge(Gauge {
            data_points: points
                .map(|point| NumberDataPoint {
                    start_time_unix_nano: 0,
                    ..number(point, span)
                })
                .collect(),
        }),
        Type::Histogram => Data::Histogram(Histogram {
            data_points: points.filter_map(|point| histogram(point, span)).collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: name(family),
        description: family.help.to_owned(),
        unit: unit(family).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn name(family: &Family) -> String {
    let suffix = family.unit.map(|unit| format!("_{unit}"));
    let suffix = suffix.as_deref().unwrap_or_default();
    let name = family.name.strip_suffix(suffix).unwrap_or(family.name);
    let name = name.replace('_', ".");
    match family.kind {
        // Nobody puts that back.
        Type::Info => name + ".info",
        Type::Counter | Type::Gauge | Type::Histogram => name,
    }
}

/// The unit as UCUM has it.
fn unit(family: &Family) -> &'static str {
    match family.unit {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some(other) => other,
        None => "",
    }
}

fn labels(point: &Point) -> Vec<KeyValue> {
    let labels = point.labels.iter();
    labels
        .map(|(key, value)| attributes::text(key, value))
        .collect()
}

fn number(point: &Point, span: Span) -> NumberDataPoint {
    let value = match point.value {
        // Beyond what OTLP can say it stays at the end.
        Value::Count(count) => Some(Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX))),
        Value::Level(level) => Some(Number::AsDouble(level)),
        Value::Buckets { .. } => None,
    };
    NumberDataPoint {
        attributes: labels(point),
        start_time_unix_nano: span.start_ns,
        time_unix_nano: span.now_ns,
        value,
        ..NumberDataPoint::default()
    }
}

fn histogram(point: &Point, span: Span) -> Option<HistogramDataPoint> {
    let Value::Buckets {
        buckets,
        above,
        sum,
    } = &point.value
    else {
        return None;
    };
    let counts = buckets.iter().map(|(_, count)| *count).chain([*above]);
    Some(HistogramDataPoint {
        attributes: labels(point),
        start_time_unix_nano: span.start_ns,
        time_unix_nano: span.now_ns,
        count: counts.clone().fold(0, u64::saturating_add),
        sum: Some(*sum),
        bucket_counts: counts.collect(),
        explicit_bounds: buckets.iter().map(|(bound, _)| *bound).collect(),
        ..HistogramDataPoint::default()
    })
}
