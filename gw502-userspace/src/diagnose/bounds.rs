//! How much memory a diagnosis takes at most, whatever the host does or a file says.

use super::Reading;
use super::track::Track;
use crate::aggregate::{UPSTREAMS, UpstreamId};
use crate::event::{Evidence, Failure};

/// Failures kept of an upstream, of one cause each, to be shown as evidence.
pub(super) const SAMPLES: usize = 2;
/// Facts kept of one.
pub(super) const FACTS: usize = 16;
/// Bytes of the names in one, by its length as JSON; of a longer one the names are left out.
pub(super) const SAMPLE_BYTES: usize = 2048;
/// Waits kept.
pub(super) const WAITS: usize = 32;
/// Idle times before a keep-alive race kept.
pub(super) const IDLES: usize = 16;
/// Ends of listeners kept.
pub(super) const ENDS: usize = 6;
/// Times without a listener, or other runs of failures, kept.
pub(super) const EPISODES: usize = 6;
/// Names of proxies kept; failures of others are counted together.
pub(super) const PROXIES: usize = 4;
/// Bytes of a name, four for each of its characters.
const NAME: usize = 4 * 80;

/// Bytes of one upstream that failed, at most.
pub const TRACK_BYTES: usize = size_of::<Track>()
    + SAMPLES * (size_of::<Failure>() + FACTS * size_of::<Evidence>() + SAMPLE_BYTES)
    + WAITS * 16
    + IDLES * 8
    + ENDS * (64 + NAME)
    + EPISODES * 64
    + PROXIES * (32 + NAME)
    // Counts by cause: here, and in the tally by class as well.
    + 2 * 50 * 24;

/// Bytes of the counters of one upstream.
pub const COUNTER_BYTES: usize = 2 * (size_of::<UpstreamId>() + 3 * 108 + size_of::<Reading>());

/// Bytes of a diagnosis in the worst case: every upstream that can be told apart fails, in every
/// way, and all names are as long as they may be.
pub const ENGINE_BYTES: usize = UPSTREAMS * (TRACK_BYTES + COUNTER_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_what_the_documentation_says() {
        println!("{TRACK_BYTES} bytes an upstream, {ENGINE_BYTES} in all");
        const { assert!(TRACK_BYTES < 19 * 1024 && ENGINE_BYTES < 96 * 1024 * 1024) };
    }
}
