//! When listeners began and ended, against the time of a failure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gw502_common::wire::{Departure, Listening};

/// A listener that began so shortly before an attempt may not have been there for its SYN.
/// Nanoseconds.
const MARGIN_NS: u64 = 10_000_000;

/// What became of listening at the addresses that could have taken a connection.
#[derive(Debug, Default)]
pub(super) struct Times(pub(super) Vec<Listening>);

impl Times {
    /// Whether whoever listens now did so when an attempt began: nobody has begun since.
    pub(super) fn began_before(&self, start_ns: u64) -> bool {
        let Self(all) = self;
        all.iter()
            .all(|one| one.began_ns.saturating_add(MARGIN_NS) < start_ns || one.began_ns == 0)
    }

    /// Whether it holds for `at_ns` that nobody listened at `looked_ns`: nobody has stopped, or
    /// begun, in between.
    pub(super) fn nobody_since(&self, at_ns: u64, looked_ns: u64) -> bool {
        let Self(all) = self;
        let between = at_ns.min(looked_ns)..=at_ns.max(looked_ns);
        !all.iter()
            .any(|one| between.contains(&one.ended.at_ns) || between.contains(&one.began_ns))
    }

    /// Who stopped last before `at_ns`.
    pub(super) fn ended_before(&self, at_ns: u64) -> Option<Departure> {
        let Self(all) = self;
        let ended = all.iter().map(|one| one.ended);
        ended
            .filter(|ended| ended.tgid != 0 && ended.at_ns <= at_ns)
            .max_by_key(|ended| ended.at_ns)
    }
}

/// The addresses whose listeners take a connection to `address`: itself, and the wildcards.
pub(super) fn addresses(address: IpAddr) -> impl Iterator<Item = [u8; 16]> {
    let v4 = address
        .is_ipv4()
        .then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    [Some(address), v4, Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
        .into_iter()
        .flatten()
        .map(bytes)
}

/// An address as the kernel side writes it.
pub(super) const fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who began and ended listening then; 0 is never. Milliseconds.
    fn times(began: u64, ended: u64) -> Times {
        let mut listening = Listening {
            began_ns: began * 1_000_000,
            ..Listening::default()
        };
        if ended > 0 {
            listening.ended.at_ns = ended * 1_000_000;
            listening.ended.tgid = 7;
        }
        Times(vec![listening])
    }

    fn ms(ms: u64) -> u64 {
        ms * 1_000_000
    }

    #[test]
    fn who_began_meanwhile_was_not_there() {
        assert!(Times::default().began_before(ms(100)));
        assert!(times(50, 40).began_before(ms(100)));
        assert!(!times(95, 40).began_before(ms(100)));
        assert!(!times(101, 40).began_before(ms(100)));
    }

    #[test]
    fn who_ended_meanwhile_may_have_been_there() {
        assert!(times(50, 90).nobody_since(ms(100), ms(110)));
        assert!(!times(50, 105).nobody_since(ms(100), ms(110)));
        assert!(!times(105, 90).nobody_since(ms(110), ms(100)));
    }

    #[test]
    fn the_last_end_counts_and_only_before_the_failure() {
        let at = |times: Times, at| times.ended_before(ms(at)).map(|ended| ended.at_ns);
        assert_eq!(at(times(0, 90), 100), Some(ms(90)));
        assert_eq!(at(times(0, 110), 100), None);
        assert_eq!(at(times(50, 0), 100), None);
        let [Times(mut one), Times(other)] = [times(0, 50), times(0, 60)];
        one.extend(other);
        assert_eq!(at(Times(one), 100), Some(ms(60)));
    }

    #[test]
    fn a_v4_address_is_taken_by_both_wildcards() {
        let four = addresses(IpAddr::V4(Ipv4Addr::LOCALHOST)).collect::<Vec<_>>();
        assert_eq!(four.len(), 3);
        assert_eq!(addresses(IpAddr::V6(Ipv6Addr::LOCALHOST)).count(), 2);
    }
}
