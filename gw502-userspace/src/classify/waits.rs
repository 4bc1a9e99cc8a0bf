//! How long proxies wait before they give up: a timer's wait recurs, an impatient client's does not.
//!
//! Pure and driven by events alone, so a replay comes to the same conclusions.

use std::collections::{BTreeMap, VecDeque};

use crate::event::Phase;

/// Waits remembered of one proxy in one phase.
const HISTORY: usize = 128;
/// Proxies and phases remembered; beyond that all is forgotten and learnt again.
const PROXIES: usize = 256;

/// A proxy's timer fires late by its clock's grain and the time until it is scheduled: tens of
/// milliseconds on a busy host. Early by as much as its clock was stale when it was set.
///
/// So much is granted where it is known that no client had left. Where nothing is known of the
/// clients, a wait has to be closer to be no coincidence.
const LATE_US: u64 = 150_000;
const LATE_UNPROVEN_US: u64 = 30_000;
const EARLY_US: u64 = 4_000;
/// Time-outs are configured in whole seconds more often than not.
const BEAT_US: u64 = 1_000_000;

/// Two waits of one timer differ by no more than this.
const ALIKE_US: u64 = 8_000;
/// So many earlier waits alike make it a timer's.
const OFTEN: usize = 3;

/// Waits that ended without a client leaving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    seen: BTreeMap<([u8; 16], Phase), VecDeque<u64>>,
}

impl Waits {
    /// Whether a wait of `wait_us` that the proxy `comm` ended in `phase` is a timer's. Remembers
    /// it for those to come.
    pub(super) fn is_timers(
        &mut self,
        comm: [u8; 16],
        phase: Phase,
        wait_us: u64,
        clients_stayed: bool,
    ) -> bool {
        if self.seen.len() >= PROXIES && !self.seen.contains_key(&(comm, phase)) {
            self.seen.clear();
        }
        let history = self.seen.entry((comm, phase)).or_default();
        let alike = history
            .iter()
            .filter(|seen| seen.abs_diff(wait_us) <= ALIKE_US)
            .count();
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(wait_us);
        let late_us = if clients_stayed {
            LATE_US
        } else {
            LATE_UNPROVEN_US
        };
        alike >= OFTEN || on_the_beat(wait_us, late_us)
    }
}

/// A whole number of seconds, one at least.
const fn on_the_beat(wait_us: u64, late_us: u64) -> bool {
    let past = (wait_us + EARLY_US) % BEAT_US;
    wait_us + EARLY_US >= BEAT_US && past <= late_us + EARLY_US
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: [u8; 16] = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn whole_seconds_are_a_timers() {
        let mut waits = Waits::default();
        for wait in [1_000_000, 60_012_000, 1_999_500, 2_030_000] {
            assert!(
                waits.is_timers(NGINX, Phase::Request, wait, false),
                "{wait}"
            );
        }
        for wait in [0, 2_000, 500_000, 999_000 - 4_000, 2_031_000, 1_500_000] {
            assert!(
                !Waits::default().is_timers(NGINX, Phase::Request, wait, false),
                "{wait}"
            );
        }
    }

    #[test]
    fn a_late_timer_is_believed_where_no_client_left() {
        for (wait, stayed, unknown) in [
            (2_031_556, true, false),
            (2_150_000, true, false),
            (2_151_000, false, false),
        ] {
            let named = |known| Waits::default().is_timers(NGINX, Phase::Request, wait, known);
            assert_eq!((named(true), named(false)), (stayed, unknown), "{wait}");
        }
    }

    #[test]
    fn any_wait_that_recurs_is_a_timers_from_the_fourth_on() {
        let mut waits = Waits::default();
        let named = [1_500_000, 1_502_000, 1_499_000, 1_501_500]
            .map(|wait| waits.is_timers(NGINX, Phase::Request, wait, false));
        assert_eq!(named, [false, false, false, true]);
        // …of this proxy, in this phase.
        assert!(!waits.is_timers(NGINX, Phase::Connect, 1_500_000, false));
        assert!(!waits.is_timers(
            *b"haproxy\0\0\0\0\0\0\0\0\0",
            Phase::Request,
            1_500_000,
            false
        ));
    }

    #[test]
    fn waits_all_over_the_place_are_nobodys() {
        let mut waits = Waits::default();
        for n in 0..300_u64 {
            let wait = 50_000 + n * 21_000;
            let named = waits.is_timers(NGINX, Phase::Request, wait, false);
            assert_eq!(named, on_the_beat(wait, LATE_UNPROVEN_US), "{wait}");
        }
    }
}
