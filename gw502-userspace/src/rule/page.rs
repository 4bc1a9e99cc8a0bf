//! Runbook pages: what `explain` shows and the diagnosis takes its next steps from.

/// The page of a cause.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The cause in a line.
    pub title: &'static str,
    /// What is noticed without gw502: status codes, log lines.
    pub symptom: &'static [&'static str],
    /// What the kernel saw, and why that means this cause.
    pub kernel_saw: &'static [&'static str],
    /// Likely reasons, the likeliest first.
    pub reasons: &'static [&'static str],
    /// How to find out which one it is.
    pub check: &'static [Step],
    /// What to do about it.
    pub fix: &'static [Step],
}

/// Something to type, or to write into a configuration.
///
/// Placeholders such as `{port}` stand for facts of the failure at hand; [`super::steps`] knows
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// A command or a line of configuration.
    pub command: &'static str,
    /// The same with fewer placeholders, for when one of them is not known.
    pub fallback: Option<&'static str>,
    /// What it shows, or does.
    pub why: &'static str,
    /// Whom it is for.
    pub audience: Audience,
}

/// Whose configuration or command a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anybody.
    All,
    /// The proxy of this name.
    Proxy(&'static str),
    /// An upstream whose process name starts like this.
    App(&'static str),
}

impl Step {
    /// A step for everybody.
    pub(super) const fn new(command: &'static str, why: &'static str) -> Self {
        Self {
            command,
            fallback: None,
            why,
            audience: Audience::All,
        }
    }

    /// A step for one proxy alone.
    pub(super) const fn proxy(
        name: &'static str,
        command: &'static str,
        why: &'static str,
    ) -> Self {
        Self {
            audience: Audience::Proxy(name),
            ..Self::new(command, why)
        }
    }

    /// A step for one kind of upstream alone.
    pub(super) const fn app(name: &'static str, command: &'static str, why: &'static str) -> Self {
        Self {
            audience: Audience::App(name),
            ..Self::new(command, why)
        }
    }

    /// The same with fewer placeholders.
    pub(super) const fn or(self, fallback: &'static str) -> Self {
        Self {
            fallback: Some(fallback),
            ..self
        }
    }
}
