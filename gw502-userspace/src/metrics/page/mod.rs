//! Pure: measures as the text that Prometheus reads, in the format that it asks for.
//!
//! `OpenMetrics` 1.0 comes from the Prometheus project's own library. The older text format differs in
//! the comments alone, where a name is that of the samples and there are no units and infos; so it
//! is made of the same text.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::model::{Family, Measures, Point, Type, Value};

/// The formats that Prometheus knows how to ask for and that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Text,
}

impl Format {
    /// What the `Accept` header of a request asks for. Of those that it takes the one of the highest
    /// `q` (RFC 9110, section 12.5.1), of equals `OpenMetrics`; text, when it takes neither.
    pub fn accepted(accept: &str) -> Self {
        let weight = |kind: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?;
                let q = parts.find_map(|part| part.strip_prefix("q="));
                let q: f32 = q.map_or(Some(1.0), |q| q.trim().parse().ok())?;
                name.eq_ignore_ascii_case(kind).then_some(q)
            });
            ranges.fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of the answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The page. Writing to memory cannot fail; if it ever did, the page would end without its end mark,
/// which Prometheus takes for the failure that it is.
pub fn page(measures: &Arc<Measures>, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All(Arc::clone(measures))));
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return text;
    }
    match format {
        Format::OpenMetrics => text,
        Format::Text => older(&text),
    }
}

#[derive(Debug)]
struct All(Arc<Measures>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(measures) = self;
        for family in measures.families.iter().filter(|f| !f.points.is_empty()) {
            let unit = family.unit.map(|unit| Unit::Other(unit.to_owned()));
            let metrics = encoder.encode_descriptor(
                stem(family),
                family.help,
                unit.as_ref(),
                kind(family),
            )?;
            points(family, metrics)?;
        }
        Ok(())
    }
}

/// The library puts the unit at the end of the name.
fn stem(family: &Family) -> &str {
    let suffix = family.unit.and_then(|unit| family.name.strip_suffix(unit));
    let stem = suffix.and_then(|name| name.strip_suffix('_'));
    stem.unwrap_or(family.name)
}

const fn kind(family: &Family) -> MetricType {
    match family.kind {
        Type::Counter => MetricType::Counter,
        Type::Gauge => MetricType::Gauge,
        Type::Info => MetricType::Info,
        Type::Histogram => MetricType::Histogram,
    }
}

fn points(family: &Family, mut metrics: MetricEncoder<'_>) -> fmt::Result {
    for point in &family.points {
        let labels: Vec<(&str, &str)> = point
            .labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        if family.kind == Type::Info {
            metrics.encode_info(&labels)?;
        } else if labels.is_empty() {
            sample(point, &mut metrics)?;
        } else {
            sample(point, &mut metrics.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn sample(point: &Point, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    match &point.value {
        Value::Count(count) => metric.encode_counter::<NoLabelSet, u64, f64>(count, None),
        Value::Level(level) => metric.encode_gauge(level),
        Value::Buckets {
            buckets,
            above,
            sum,
        } => {
            let mut all = buckets.clone();
            all.push((f64::INFINITY, *above));
            let count = all.iter().map(|(_, count)| *count);
            let count = count.fold(0, u64::saturating_add);
            metric.encode_histogram::<NoLabelSet>(*sum, count, &all, None)
        }
    }
}

/// `OpenMetrics` in the older format. A sample never begins with `#`, and a line feed in a label is
/// escaped, so that it can be told line by line.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    // The help stands before the type, which says how the samples are called.
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let help = help.take().unwrap_or_default();
            older.extend(["# HELP ", name, suffix, " ", help, "\n"]);
            older.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

#[cfg(test)]
mod tests;
