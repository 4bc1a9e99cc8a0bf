//! How long proxies wait before they give up: a timer's wait recurs, an impatient client's does not.
//!
//! Pure and driven by events alone, so a replay comes to the same conclusions.

use std::collections::{BTreeMap, VecDeque};

use crate::event::Phase;

/// Waits remembered of one proxy in one phase.
const HISTORY: usize = 128;
/// Proxies and phases remembered; beyond that all is forgotten and learnt again.
const PROXIES: usize = 256;

/// How far from its time a proxy's timer fires, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Slack {
    /// By as much as its clock was stale when it was set: event loops read the clock once a turn.
    early_us: u64,
    /// By its clock's grain and the time until it is scheduled: tens of milliseconds on a busy host.
    late_us: u64,
}

/// So much is granted where it is known that no client had left.
const PROVEN: Slack = Slack {
    early_us: 25_000,
    late_us: 150_000,
};
/// Where nothing is known of the clients, a wait has to be closer to be no coincidence.
const UNPROVEN: Slack = Slack {
    early_us: 4_000,
    late_us: 30_000,
};
/// Time-outs are configured in whole seconds more often than not.
const BEAT_US: u64 = 1_000_000;

/// Two waits of one timer differ by no more than this.
const ALIKE_US: u64 = 8_000;
/// So many earlier waits alike make it a timer's…
const OFTEN: usize = 3;
/// …if they stand out: most of the waits that differ by no more than this are alike. Those of
/// impatient clients lie all over the place, and of many some are alike by chance.
const AROUND_US: u64 = 25 * ALIKE_US;
/// Nobody configures less: what is given up sooner was not needed any more.
const SHORTEST_US: u64 = 100_000;

/// What is given up as soon as it is begun says nothing of anybody's patience, however often.
const MOMENT_US: u64 = 1_000;

/// Programs that try one address of an upstream at a time. Others may race two families (RFC 8305)
/// and drop the slower one after a wait that recurs, the delay between them: at most 2 s, section 8.
const ONE_AT_A_TIME: [&[u8]; 5] = [b"nginx", b"haproxy", b"apache2", b"httpd", b"varnishd"];
const LONGEST_RACE_US: u64 = 2_000_000;

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
        let slack = if clients_stayed { PROVEN } else { UNPROVEN };
        let history = self.seen.entry((comm, phase)).or_default();
        let is_timers = (recurs(history, wait_us) && !may_be_a_race(comm, phase, wait_us))
            || (on_the_beat(wait_us, slack) && keeps_the_beat(history));
        if wait_us >= MOMENT_US {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(wait_us);
        }
        is_timers
    }
}

/// Whether earlier waits were as long, and not just by chance.
fn recurs(history: &VecDeque<u64>, wait_us: u64) -> bool {
    let within = |range| {
        let near = history
            .iter()
            .filter(|seen| seen.abs_diff(wait_us) <= range);
        near.count()
    };
    let alike = within(ALIKE_US);
    wait_us >= SHORTEST_US && alike >= OFTEN && alike * 4 >= within(AROUND_US) * 3
}

/// Whether a wait on the beat is more than chance: clients that take requests back by HTTP/2 are
/// not seen to leave, and do so at any moment.
fn keeps_the_beat(history: &VecDeque<u64>) -> bool {
    let on_it = history.iter().filter(|seen| on_the_beat(**seen, PROVEN));
    on_it.count() * 2 >= history.len()
}

/// Whether the other address of an upstream may have won.
fn may_be_a_race(comm: [u8; 16], phase: Phase, wait_us: u64) -> bool {
    let name = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    phase == Phase::Connect && wait_us < LONGEST_RACE_US && !ONE_AT_A_TIME.contains(&name)
}

/// A whole number of seconds, one at least.
const fn on_the_beat(wait_us: u64, slack: Slack) -> bool {
    beats(wait_us, slack).is_some()
}

/// How many seconds a timer was set to that fired after `wait_us`, if it was set to whole ones.
pub const fn whole_seconds(wait_us: u64) -> Option<u64> {
    beats(wait_us, PROVEN)
}

const fn beats(wait_us: u64, Slack { early_us, late_us }: Slack) -> Option<u64> {
    let latest_us = wait_us + early_us;
    if latest_us >= BEAT_US && latest_us % BEAT_US <= late_us + early_us {
        Some(latest_us / BEAT_US)
    } else {
        None
    }
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
            (1_996_000, true, true),
            (1_975_000, true, false),
            (1_974_000, false, false),
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
            let named = waits.is_timers(NGINX, Phase::Request, wait, true);
            assert!(!named, "{wait}");
        }
    }

    #[test]
    fn many_impatient_clients_make_no_timer() {
        // All within a fifth of a second, and evenly spread: 8 ms hold many of them.
        let mut waits = Waits::default();
        for n in 0..300_u64 {
            let wait = 5_000 + n * 7_919_000 % 195_000;
            let named = waits.is_timers(NGINX, Phase::Request, wait, true);
            assert!(!named, "{wait}");
        }
    }

    /// They come by their length then, and those of a moment crowd together: what came before tells
    /// that they stand out from nothing.
    #[test]
    fn clients_that_began_together_make_no_timer() {
        let mut waits = Waits::default();
        for n in 0..200_u64 {
            let wait = 5_000 + n * 975;
            let named = waits.is_timers(NGINX, Phase::Request, wait, true);
            assert!(!named, "{wait}");
        }
    }

    #[test]
    fn a_timer_among_impatient_clients_is_found() {
        let mut waits = Waits::default();
        let mut named = Vec::new();
        for n in 0..20_u64 {
            waits.is_timers(NGINX, Phase::Request, 30_000 + n * 97_000, true);
            named.push(waits.is_timers(NGINX, Phase::Request, 3_500_000 + n * 100, true));
        }
        assert_eq!(named.iter().position(|named| *named), Some(OFTEN));
        assert!(named.iter().skip(OFTEN).all(|named| *named));
    }

    #[test]
    fn the_loser_of_a_race_is_not_timed_out() {
        for comm in [
            *b"caddy\0\0\0\0\0\0\0\0\0\0\0",
            *b"envoy\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            let mut waits = Waits::default();
            for n in 0..20_u64 {
                assert!(!waits.is_timers(comm, Phase::Connect, 300_000 + n * 20, true));
            }
        }
        // nginx has no race: 300 ms are what somebody configured.
        let mut waits = Waits::default();
        let named = [(); 4].map(|()| waits.is_timers(NGINX, Phase::Connect, 300_000, true));
        assert_eq!(named, [false, false, false, true]);
    }

    /// However many there are, they do not hide the time-outs among them.
    #[test]
    fn what_ends_at_once_says_nothing_of_timers() {
        let mut waits = Waits::default();
        for _ in 0..2 * HISTORY {
            waits.is_timers(NGINX, Phase::Request, 40, true);
        }
        assert!(waits.is_timers(NGINX, Phase::Request, 60_001_000, true));
    }

    #[test]
    fn what_ends_at_once_was_not_needed() {
        let mut waits = Waits::default();
        for _ in 0..20 {
            assert!(!waits.is_timers(NGINX, Phase::Connect, 40, true));
        }
    }
}
