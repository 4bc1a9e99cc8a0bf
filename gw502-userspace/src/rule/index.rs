//! The pages by name: one a cause, and what TCP cannot show.

use super::{NOT_VISIBLE, Page, of};
use crate::event::{Cause, Class};

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A cause.
    Cause(Cause),
    /// What TCP cannot show.
    NotVisible,
}

impl Topic {
    /// Every topic, causes in the order of their classes.
    pub fn all() -> impl Iterator<Item = Self> {
        let causes = Class::ALL.iter().flat_map(|class| of_class(*class));
        causes.map(Self::Cause).chain([Self::NotVisible])
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.code(),
            Self::NotVisible => "not-visible",
        }
    }

    /// Its page.
    pub fn page(self) -> &'static Page {
        match self {
            Self::Cause(cause) => &of(cause).page,
            Self::NotVisible => &NOT_VISIBLE,
        }
    }

    /// The classes of events that have this cause, its own first.
    pub fn classes(self) -> Vec<Class> {
        let Self::Cause(cause) = self else {
            return Vec::new();
        };
        let mut classes = vec![cause.class()];
        // Evidence can name a cause in events of several classes; so can the end of a race.
        let refined = of(cause).condition.as_ref();
        let refined = refined.map_or(&[][..], |condition| condition.refines);
        let others = refined.iter().map(|plain| plain.class());
        let race = (cause == Cause::KeepaliveRace).then_some(Class::Closed);
        for class in others.chain(race) {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }
}

/// The causes that have a class as their own: each cause has one.
pub fn of_class(class: Class) -> impl Iterator<Item = Cause> {
    let causes = Cause::ALL.iter().copied();
    causes.filter(move |cause| cause.class() == class)
}

/// The causes that events of a class can have, those that have it as their own first.
pub fn within(class: Class) -> impl Iterator<Item = Cause> {
    let causes = Cause::ALL.iter().copied();
    let others = causes.filter(move |cause| {
        cause.class() != class && Topic::Cause(*cause).classes().contains(&class)
    });
    of_class(class).chain(others)
}

/// The topic of that name, or the ones that may be meant, the likeliest first.
pub fn find(name: &str) -> Result<Topic, Vec<Topic>> {
    if let Some(topic) = Topic::all().find(|topic| topic.name() == name) {
        return Ok(topic);
    }
    let name = name.to_lowercase().replace(['_', ' '], "-");
    if let Some(topic) = Topic::all().find(|topic| topic.name() == name) {
        return Err(vec![topic]);
    }
    let mut near: Vec<_> = Topic::all()
        .filter_map(|topic| {
            let distance = distance(&name, topic.name());
            let part = name.len() >= 4 && topic.name().contains(&name);
            let close = distance <= 2 || distance * 3 <= topic.name().len();
            (part || close).then_some((!part, distance, topic))
        })
        .collect();
    near.sort_by_key(|(whole, distance, _)| (*whole, *distance));
    Err(near.into_iter().map(|(_, _, topic)| topic).collect())
}

/// Letters to insert, leave out or change to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut last = above + 1;
        let mut next = vec![last];
        for ((wanted, diagonal), left_out) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            last = (diagonal + usize::from(letter != *wanted))
                .min(left_out + 1)
                .min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_a_topic_once() {
        let topics: Vec<_> = Topic::all().map(Topic::name).collect();
        assert_eq!(topics.len(), Cause::ALL.len() + 1);
        for cause in Cause::ALL {
            assert_eq!(find(cause.code()), Ok(Topic::Cause(*cause)));
        }
        assert_eq!(find("not-visible"), Ok(Topic::NotVisible));
    }

    #[test]
    fn distances_are_those_of_a_person_typing() {
        for (from, to, expected) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("refused", "refused", 0),
            ("refusd", "refused", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_slip_is_understood_and_nonsense_is_not() {
        let first = |name: &str| find(name).unwrap_err().first().map(|topic| topic.name());
        assert_eq!(first("refusd"), Some("refused"));
        assert_eq!(first("upstream_exited"), Some("upstream-exited"));
        assert_eq!(first("keepalive"), Some("keepalive-race"));
        assert_eq!(first("crashed"), Some("upstream-crashed"));
        assert_eq!(first("no-listner"), Some("no-listener"));
        assert_eq!(first("zebra"), None);
        assert_eq!(first(""), None);
    }

    #[test]
    fn causes_that_end_in_several_ways_have_several_classes() {
        let classes = |cause| Topic::Cause(cause).classes();
        assert_eq!(
            classes(Cause::UpstreamCrashed),
            [Class::Reset, Class::Closed]
        );
        assert_eq!(classes(Cause::KeepaliveRace), [Class::Reset, Class::Closed]);
        assert_eq!(
            classes(Cause::QueueFullReset),
            [Class::Refused, Class::Reset]
        );
        assert_eq!(classes(Cause::NoListener), [Class::Refused]);
    }
}
