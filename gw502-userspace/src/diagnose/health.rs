//! The state of an upstream in one trouble, with hysteresis. What fails once it is healthy again
//! is another trouble.
//!
//! Judged are the last [`JUDGED`] intervals in which anything happened, of about a second each: an
//! upstream with a request a minute is judged by its last requests, not by its silence.
//!
//! - **failing**: at least half of the attempts failed, and [`ENOUGH`] of them. Fewer are no proof
//!   that it is more than bad luck, and one failure in 10,000 is a fact about that one. It is left
//!   when less than a quarter fail: between the two the state stays what it is, so that a rate of
//!   about half does not make it flap.
//! - **degraded**: something fails, and most does not.
//! - **recovering**: nothing has failed for [`QUIET_NS`], and attempts have succeeded since. After
//!   a relapse it takes twice the time that was quiet before it, so that a failure every ten
//!   seconds does not make it flap. What failed entirely does not recover by being left alone;
//!   what was degraded does after [`CALM_NS`] without a failure, since most worked all the time.
//! - **healthy**: nothing has failed for [`CALM_NS`].
//!
//! Attempts fail here when the connection never brought a byte of answer. The end of a reused
//! connection is a failure, but of how many requests is not known to TCP: it makes an upstream
//! degraded, never failing.

use std::collections::VecDeque;

use crate::aggregate::Totals;
use crate::event::Failure;

/// Intervals judged.
pub(super) const JUDGED: usize = 5;
/// Shortest interval.
const INTERVAL_NS: u64 = 900_000_000;
/// Failed attempts that it takes to be failing.
const ENOUGH: u64 = 3;
/// Without a failure so long: recovering…
const QUIET_NS: u64 = 5_000_000_000;
/// …and so long: healthy.
const CALM_NS: u64 = 60_000_000_000;

/// How an upstream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing failed, or not for a minute.
    #[default]
    Healthy,
    /// Nothing has failed for some seconds.
    Recovering,
    /// Some attempts fail.
    Degraded,
    /// Most attempts fail.
    Failing,
}

impl State {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Recovering => "recovering",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }

    /// Whether it fails now, as far as is known.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Degraded | Self::Failing)
    }
}

/// What happened between two readings of the counters.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    attempts: u64,
    failures: u64,
    /// Failures among them of connections that brought no answer at all.
    attempts_failed: u64,
}

/// What an interval came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is not over, or nothing happened in it.
    Nothing,
    /// Something failed; whether handshakes were finished meanwhile.
    Failures { established: bool },
    /// Handshakes were finished, and nothing failed.
    Success,
}

/// The state and what it follows from.
#[derive(Clone, Debug)]
pub(super) struct Health {
    state: State,
    /// First failure.
    since_ns: u64,
    last_failure_ns: u64,
    /// Without a failure so long: recovering.
    quiet_ns: u64,
    /// Whether anything succeeded after the last failure.
    proven: bool,
    recent: VecDeque<Interval>,
    open: Interval,
    opened_ns: u64,
    base: Totals,
}

impl Health {
    /// Of an upstream that fails at `at_ns`, and whose counters were last at `base`.
    pub(super) fn new(base: Totals, at_ns: u64) -> Self {
        Self {
            state: State::Healthy,
            since_ns: at_ns,
            last_failure_ns: at_ns,
            quiet_ns: QUIET_NS,
            proven: false,
            recent: VecDeque::with_capacity(JUDGED),
            open: Interval::default(),
            // The counters before are those of the reading before: the interval is over with the
            // next one, however soon.
            opened_ns: at_ns.saturating_sub(INTERVAL_NS),
            base,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Whether it is healthy again, and nothing has failed since.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Healthy) && self.open.failures == 0
    }

    pub(super) const fn since_ns(&self) -> u64 {
        self.since_ns
    }

    pub(super) const fn last_failure_ns(&self) -> u64 {
        self.last_failure_ns
    }

    pub(super) fn failure(&mut self, failure: &Failure) {
        if self.state == State::Recovering && self.open.failures == 0 {
            let calm_ns = failure.at_ns.saturating_sub(self.last_failure_ns);
            self.quiet_ns = calm_ns.saturating_mul(2).clamp(QUIET_NS, CALM_NS);
        }
        self.last_failure_ns = self.last_failure_ns.max(failure.at_ns);
        self.proven = false;
        self.open.failures = self.open.failures.saturating_add(1);
        if failure.bytes_received == 0 {
            self.open.attempts_failed = self.open.attempts_failed.saturating_add(1);
        }
    }

    /// The counters are at `totals`, and it is `now_ns`.
    pub(super) fn tick(&mut self, now_ns: u64, totals: Totals) -> Outcome {
        if now_ns.saturating_sub(self.opened_ns) < INTERVAL_NS {
            return Outcome::Nothing;
        }
        self.close(now_ns, totals)
    }

    /// The same, however short the interval was.
    pub(super) fn close(&mut self, now_ns: u64, totals: Totals) -> Outcome {
        let attempts = totals.attempts.saturating_sub(self.base.attempts);
        let established = totals.established > self.base.established;
        let interval = Interval {
            attempts,
            ..self.open
        };
        if interval.failures > 0 || attempts > 0 {
            if self.recent.len() == JUDGED {
                self.recent.pop_front();
            }
            self.recent.push_back(interval);
        }
        self.base = totals;
        self.open = Interval::default();
        self.opened_ns = now_ns;
        let outcome = match (interval.failures > 0, established) {
            (true, established) => Outcome::Failures { established },
            (false, true) => Outcome::Success,
            (false, false) => Outcome::Nothing,
        };
        self.proven |= outcome == Outcome::Success;
        self.state = self.next(now_ns, interval.failures > 0);
        if self.state == State::Healthy {
            self.recent.clear();
        }
        outcome
    }

    fn next(&self, now_ns: u64, failed: bool) -> State {
        let sum = |part: fn(&Interval) -> u64| {
            let parts = self.recent.iter().map(part);
            parts.fold(0, u64::saturating_add)
        };
        let failures = sum(|interval| interval.attempts_failed);
        // A failure may be of an attempt made before.
        let attempts = sum(|interval| interval.attempts).max(failures);
        let most = failures >= ENOUGH && failures >= attempts.div_ceil(2);
        let few = failures < attempts.div_ceil(4);
        let quiet_ns = now_ns.saturating_sub(self.last_failure_ns);
        match self.state {
            State::Failing if failed && !few => State::Failing,
            _ if failed && most => State::Failing,
            _ if failed => State::Degraded,
            State::Failing | State::Degraded if self.proven && quiet_ns >= self.quiet_ns => {
                State::Recovering
            }
            State::Degraded if quiet_ns >= CALM_NS => State::Recovering,
            State::Recovering if quiet_ns >= CALM_NS => State::Healthy,
            state => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::refused;

    const SECOND: u64 = 1_000_000_000;

    /// An upstream through seconds of (attempts, failed): its states.
    fn states(seconds: &[(u64, u64)]) -> Vec<State> {
        let mut health = Health::new(Totals::default(), SECOND);
        let mut totals = Totals::default();
        let tick = |(at, (attempts, failed)): (u64, &(u64, u64))| {
            let at_ns = at * SECOND;
            for _ in 0..*failed {
                health.failure(&refused(9000, at_ns));
            }
            totals.attempts += attempts;
            totals.established += attempts - failed;
            totals.ended += failed;
            health.tick(at_ns + SECOND - 1, totals);
            health.state()
        };
        (1..).zip(seconds).map(tick).collect()
    }

    fn last(seconds: &[(u64, u64)]) -> State {
        *states(seconds).last().unwrap()
    }

    #[test]
    fn one_failure_in_ten_thousand_is_not_failing() {
        assert_eq!(last(&[(10_000, 1)]), State::Degraded);
        assert_eq!(
            last(&[(100, 1), (100, 1), (100, 1), (100, 1)]),
            State::Degraded
        );
    }

    #[test]
    fn three_of_three_are_failing_and_two_of_two_are_not_yet() {
        assert_eq!(last(&[(2, 2)]), State::Degraded);
        assert_eq!(last(&[(3, 3)]), State::Failing);
        // One request at a time, as a quiet upstream gets them.
        assert_eq!(
            last(&[(1, 1), (0, 0), (1, 1), (0, 0), (1, 1)]),
            State::Failing
        );
    }

    #[test]
    fn a_busy_upstream_that_goes_down_is_failing_within_three_seconds() {
        let mut seconds = vec![(100, 0); 3];
        seconds.extend([(100, 100); 3]);
        assert_eq!(last(&seconds), State::Failing);
    }

    #[test]
    fn a_rate_of_about_half_does_not_flap() {
        let mut seconds = vec![(10, 6); 5];
        for _ in 0..10 {
            seconds.extend([(10, 4), (10, 6), (10, 3)]);
        }
        let states = states(&seconds);
        assert!(
            states.iter().all(|state| *state == State::Failing),
            "{states:?}"
        );
    }

    #[test]
    fn failing_is_left_when_few_fail() {
        let mut seconds = vec![(10, 10); 5];
        seconds.extend([(10, 1); 5]);
        assert_eq!(last(&seconds), State::Degraded);
    }

    #[test]
    fn what_failed_entirely_does_not_recover_by_being_left_alone() {
        let mut seconds = vec![(10, 10); 3];
        seconds.extend([(0, 0); 600]);
        assert_eq!(last(&seconds), State::Failing);
    }

    #[test]
    fn recovery_takes_success_and_time() {
        let mut seconds = vec![(10, 10); 3];
        seconds.extend([(10, 0); 4]);
        assert_eq!(last(&seconds), State::Failing);
        seconds.extend([(10, 0); 2]);
        assert_eq!(last(&seconds), State::Recovering);
        seconds.extend([(10, 0); 60]);
        assert_eq!(last(&seconds), State::Healthy);
    }

    #[test]
    fn a_relapse_is_the_same_trouble() {
        let mut health = Health::new(Totals::default(), SECOND);
        let mut totals = Totals::default();
        for (second, failed) in [(1, true), (2, false), (8, false), (9, true)] {
            if failed {
                health.failure(&refused(9000, second * SECOND));
            }
            totals.attempts += 1;
            totals.established += u64::from(!failed);
            health.tick(second * SECOND + SECOND - 1, totals);
        }
        assert_eq!(
            (health.state(), health.since_ns()),
            (State::Degraded, SECOND)
        );
    }

    /// Otherwise each of them would be two changes to be told.
    #[test]
    fn a_failure_every_ten_seconds_does_not_flap() {
        let every_ten: Vec<_> = (0..600)
            .map(|second| (5, u64::from(second % 10 == 0)))
            .collect();
        let mut states = states(&every_ten);
        states.dedup();
        assert_eq!(
            states,
            [State::Degraded, State::Recovering, State::Degraded]
        );
    }

    #[test]
    fn after_a_relapse_it_takes_twice_the_calm_before_and_a_minute_at_most() {
        let quiet_after = |failure: (u64, u64), calm: usize| {
            let mut seconds = vec![failure];
            seconds.extend(vec![(1, 0); calm - 1]);
            seconds.push(failure);
            let relapse = seconds.len();
            seconds.extend([(1, 0); 70]);
            let states = states(&seconds);
            states[relapse..]
                .iter()
                .position(|state| !state.is_active())
        };
        for failure in [(20, 1), (20, 20)] {
            assert_eq!(quiet_after(failure, 10), Some(19));
            assert_eq!(quiet_after(failure, 50), Some(59));
        }
    }

    #[test]
    fn reused_connections_never_make_it_failing() {
        let mut health = Health::new(Totals::default(), SECOND);
        for second in 1..9 {
            let mut failure = refused(9000, second * SECOND);
            failure.bytes_received = 100;
            health.failure(&failure);
            health.tick(second * SECOND + SECOND - 1, Totals::default());
        }
        assert_eq!(health.state(), State::Degraded);
    }
}
