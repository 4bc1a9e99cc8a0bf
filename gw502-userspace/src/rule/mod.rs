//! Pure: each cause is one rule in one file: its condition, its words, its runbook page, its test.
//!
//! [`crate::classify`] names the cause that the record alone shows; [`crate::enrich`] adds what the
//! host knows. [`refine`] then names the finer cause, from that evidence alone, so that a replay
//! comes to the same. Without the evidence the plain cause stands.

mod causes;
mod index;
mod not_visible;
mod page;
mod refine;
mod steps;
mod words;

pub use causes::of;
pub use index::{Topic, find, of_class, within};
pub use not_visible::NOT_VISIBLE;
pub use page::{Audience, Page, Step};
pub use refine::refine;
pub use steps::{Facts, NextStep, shown, steps};

use crate::event::{Cause, Evidence, Failure};

/// Everything there is to say about a cause.
#[derive(Debug)]
pub struct Rule {
    /// The cause.
    pub cause: Cause,
    /// When the evidence makes a plainer cause this one; `None` when [`crate::classify`] names it
    /// from the record alone, or the diagnosis from many events.
    pub condition: Option<Condition>,
    /// The evidence that tells this cause: it is shown first.
    pub telling: fn(&Evidence) -> bool,
    /// The runbook page.
    pub page: Page,
    /// What happened, in one sentence.
    pub sentence: fn(&Failure) -> String,
}

/// When a plainer cause is this one.
#[derive(Debug)]
pub struct Condition {
    /// The causes it is a finer name for.
    pub refines: &'static [Cause],
    /// Whether the evidence is there, and none against it.
    pub holds: fn(&Failure) -> bool,
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
