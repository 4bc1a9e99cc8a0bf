//! Pure: values into text and JSON.

pub mod doctor;
pub mod json;
pub mod text;

use crate::aggregate::UpstreamSummary;
use crate::clock::TimeAnchor;

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
}

impl Summary {
    /// Failures of all upstreams.
    pub fn failed(&self) -> u64 {
        self.upstreams.iter().map(UpstreamSummary::failed).sum()
    }

    /// What the proxies cancelled themselves.
    pub fn aborted(&self) -> u64 {
        self.upstreams.iter().map(|upstream| upstream.aborted).sum()
    }
}
