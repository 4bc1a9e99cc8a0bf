//! Pure: metrics as values. The Prometheus page and OTLP are made of the same.

use std::collections::BTreeMap;

/// How a family's values behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows, since the start of the run.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Always 1; its labels tell.
    Info,
    /// How often a value was at most so big.
    Histogram,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter, and of an info (1).
    Count(u64),
    /// Of a gauge.
    Level(f64),
    /// Of a histogram: upper bounds with how many were at most so big and above the bound before,
    /// ascending; those above the last bound; and the sum of all.
    Buckets {
        /// Upper bound and count of each.
        buckets: Vec<(f64, u64)>,
        /// How many were above the last bound.
        above: u64,
        /// The sum of all values.
        sum: f64,
    },
}

/// A value of a family, told apart by its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Names as Prometheus wants them: `[a-z_]+`.
    pub labels: BTreeMap<&'static str, String>,
    /// The value.
    pub value: Value,
}

/// All values of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// As in Prometheus, without `_total` and `_info`.
    pub name: &'static str,
    /// One sentence, without a full stop.
    pub help: &'static str,
    /// How they behave.
    pub kind: Type,
    /// `seconds` or `bytes`, and then the name ends so.
    pub unit: Option<&'static str>,
    /// The values.
    pub points: Vec<Point>,
}

/// Everything there is to measure, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    /// In the order of the page.
    pub families: Vec<Family>,
}
