//! Pure: values into text and JSON.

pub mod doctor;
pub mod explain;
pub mod json;
pub mod text;

use crate::aggregate::UpstreamSummary;
use crate::clock::TimeAnchor;
use crate::diagnose::Report;

/// What every rendering needs to know of the host.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Name of the host.
    pub host: String,
    /// Name and release of its kernel.
    pub kernel: String,
    /// 48 bits that differ from host to host and boot to boot.
    pub id: u64,
    /// Boot time to wall-clock time.
    pub anchor: TimeAnchor,
    /// The time zone in which people read it.
    pub zone: jiff::tz::TimeZone,
}

#[cfg(test)]
impl Origin {
    /// A host that is always the same.
    pub(crate) fn sample() -> Self {
        Self {
            host: "edge-1".to_owned(),
            kernel: "Linux 6.1.0".to_owned(),
            id: 7,
            anchor: TimeAnchor {
                offset_ns: 1_700_000_000_000_000_000,
            },
            zone: jiff::tz::TimeZone::UTC,
        }
    }
}

/// Everything there is to say when a run ends.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Upstreams, the worst first.
    pub upstreams: Vec<UpstreamSummary>,
    /// What could not be kept, by reason.
    pub losses: std::collections::BTreeMap<String, u64>,
    /// Attempts of watched processes that were not asked for, by reason.
    pub skips: std::collections::BTreeMap<String, u64>,
    /// Whether what the proxy cancelled was shown.
    pub aborted_shown: bool,
    /// Events that a recording does not hold; they are in the totals all the same.
    pub unrecorded: Option<Unrecorded>,
}

/// Events that were counted and not recorded, because nobody asked for them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unrecorded {
    /// How many.
    pub events: u64,
    /// What `gw502 record` was asked for.
    pub options: String,
}

impl Summary {
    /// The same of a diagnosis: its numbers are those of the table. `options` is what a recording
    /// was to hold.
    pub fn of(report: &Report, options: &str, aborted_shown: bool) -> Self {
        let unrecorded = Unrecorded {
            events: report.unrecorded,
            options: options.to_owned(),
        };
        Self {
            upstreams: report
                .failing
                .iter()
                .chain(&report.healthy)
                .cloned()
                .collect(),
            losses: report.losses.clone(),
            skips: report.skips.clone(),
            aborted_shown,
            unrecorded: Some(unrecorded).filter(|left_out| left_out.events > 0),
        }
    }

    /// Failures of all upstreams.
    pub fn failed(&self) -> u64 {
        sum(self.upstreams.iter().map(UpstreamSummary::failed))
    }

    /// What the proxies cancelled themselves.
    pub fn aborted(&self) -> u64 {
        sum(self.upstreams.iter().map(|upstream| upstream.aborted))
    }
}

/// A sum that stays at the end of its range: the counts may come from a file.
fn sum(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}
